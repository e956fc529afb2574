"""Decodes one data set and writes the files that stage 13 of asr.sh scores."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tqdm import tqdm

from espnet_ext.data.batches import make_batches
from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.words import group_words
from espnet_ext.decode.greedy import Hypothesis, Search, best_paths
from espnet_ext.decode.model import CTCModel
from espnet_ext.decode.parallel import DecodedBatch, decode_batches
from espnet_ext.decode.recognizer import EspnetRecognizer
from espnet_ext.files import atomic


@dataclass
class Timing:
    """Seconds of audio and of decoding, reading included."""

    utterances: int
    audio_sec: float
    decoding_sec: float

    def __str__(self) -> str:
        """Returns one line for the log."""
        rtf = self.decoding_sec / self.audio_sec if self.audio_sec else 0.0
        return (
            f"{self.utterances} utterances, {self.audio_sec:.0f} s of audio in {self.decoding_sec:.1f} s, RTF {rtf:.5f}"
        )


def decode_set(
    model: CTCModel,
    data: DecodingSet,
    output_dir: Path,
    batch_sec: float,
    max_padding: float,
    search: Search = best_paths,
    frame_sec: float | None = None,
) -> Timing:
    """Decodes a set and writes `text`, `token`, `token_int`, `score` and the log for calculate_rtf.py.

    Every utterance of the set is in each file, in the order of `LC_ALL=C sort`, also one without any token. With
    `frame_sec`, seconds from one output frame to the next, `ctm` has the times of the words (greedy search only).
    """
    hypotheses: dict[str, Hypothesis] = {}
    log: list[str] = []
    batches = make_batches(data.samples, int(batch_sec * model.sample_rate), max_padding)
    begin = time.perf_counter()
    with tqdm(total=len(data.samples), desc=data.directory.name, unit="utt", mininterval=2.0) as bar:
        for batch in decode_batches(model.model, data.read, batches, search):
            hypotheses.update(zip(batch.names, batch.hypotheses, strict=True))
            log += _log_lines(batch)
            bar.update(len(batch.names))
    timing = Timing(len(hypotheses), sum(data.samples.values()) / model.sample_rate, time.perf_counter() - begin)
    _write(output_dir, model, hypotheses, frame_sec)
    log_file = output_dir / "logdir" / "asr_inference.1.log"
    with atomic(log_file) as temporary:
        temporary.write_text("".join(log), encoding="utf-8")
    return timing


def decode_sets(
    model: CTCModel,
    sets: Mapping[str, DecodingSet],
    output_dir: Path,
    batch_sec: float,
    max_padding: float,
    search: Search = best_paths,
    with_times: bool = False,
) -> Iterator[str]:
    """Decodes sets into directories of their names; yields a line for the user of each.

    Args:
        model: the model.
        sets: by name.
        output_dir: where the directories go.
        batch_sec: most audio in a batch, padding included, seconds.
        max_padding: see `espnet_ext.data.batches.make_batches`.
        search: finds the text.
        with_times: write `ctm` too (greedy search only).
    """
    frame_sec = None
    if with_times:
        device = next(model.model.parameters()).device.type
        frame_sec = EspnetRecognizer(model, device).frame_samples / model.sample_rate
    for name, data in sets.items():
        yield f"{name}: {decode_set(model, data, output_dir / name, batch_sec, max_padding, search, frame_sec)}"


def _write(output_dir: Path, model: CTCModel, hypotheses: dict[str, Hypothesis], frame_sec: float | None) -> None:
    lines: dict[str, list[str]] = {"token_int": [], "token": [], "score": [], "text": []}
    if frame_sec is not None:
        lines = {"ctm": [], **lines}
    for name in sorted(hypotheses, key=lambda name: name.encode()):
        hypothesis = hypotheses[name]
        tokens = model.tokens(hypothesis.token_ids)
        lines["token_int"].append(f"{name} {' '.join(map(str, hypothesis.token_ids))}")
        lines["token"].append(f"{name} {' '.join(tokens)}")
        lines["score"].append(f"{name} {hypothesis.score}")
        lines["text"].append(f"{name} {model.text(tokens)}")
        if frame_sec is not None:
            words = group_words(zip(tokens, hypothesis.frames, strict=True), frame_sec, model.token_type)
            lines["ctm"] += [f"{name} 1 {word.start:.2f} {word.end - word.start:.2f} {word.text}" for word in words]
    for file, rows in lines.items():  # text last: scoring looks for it
        with atomic(output_dir / file) as temporary:
            temporary.write_text("".join(f"{row.rstrip()}\n" for row in rows), encoding="utf-8")


def _log_lines(batch: DecodedBatch) -> list[str]:
    """Writes the markers of ESPnet's calculate_rtf.py; a batch's time is shared by the length of the utterances."""
    lines, clock, total = [], batch.begin, sum(batch.samples)
    for name, length in zip(batch.names, batch.samples, strict=True):
        end = clock + timedelta(seconds=batch.seconds * length / total if total else 0.0)
        for moment, message in ((clock, f"speech length: {length}"), (end, f"best hypo of {name}")):
            stamp = f"{moment:%Y-%m-%d %H:%M:%S},{moment.microsecond // 1000:03d}"
            lines.append(f"{stamp} (ctc_decode) INFO: {message}\n")
        clock = end
    return lines
