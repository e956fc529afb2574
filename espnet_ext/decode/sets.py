"""Decodes one data set and writes the files that stage 13 of asr.sh scores."""

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import kaldiio
import soundfile
import torch
from espnet2.fileio.read_text import read_2columns_text
from espnet2.train.dataset import ESPnetDataset
from tqdm import tqdm

from espnet_ext.data.findings import Findings, summarise
from espnet_ext.data.tables import read_table
from espnet_ext.decode.greedy import Hypothesis, Search, best_paths, make_batches
from espnet_ext.decode.model import CTCModel
from espnet_ext.decode.parallel import DecodedBatch, decode_batches
from espnet_ext.decode.words import group_words
from espnet_ext.errors import UserError
from espnet_ext.files import atomic


def _read_table(path: Path, of_paths: bool = False) -> dict[str, str]:
    """Reads `<utterance> <value>` lines.

    Raises:
        UserError: One of them cannot be used.
    """
    findings = Findings()
    table = read_table(path, findings, of_paths)
    for key, value in table.items():
        if not value:
            findings.error(f"{path}: {key}: nothing follows the id; complete or remove the line")
    if findings.errors:
        raise UserError(summarise(path, findings))
    return table


@dataclass
class DecodingSet:
    """The utterances of a data directory: audio by name, and samples of each."""

    directory: Path
    audio: ESPnetDataset
    samples: dict[str, int]
    audio_format: str

    @classmethod
    def open(cls, directory: Path, default_audio_format: str = "flac") -> "DecodingSet":
        """Opens a data directory as stages 3-5 of asr.sh write it.

        Raises:
            UserError: It does not exist, has no utterance, a line that cannot be used, or segments.
        """
        scp = directory / "wav.scp"
        if not scp.is_file() or scp.stat().st_size == 0:
            raise UserError(f"{scp} does not exist or is empty; prepare the data (stages 1-5)")
        segments = directory / "segments"
        if segments.exists():
            raise UserError(f"{segments}: recordings are not cut here; let stage 3 of asr.sh cut them (in dump/raw)")
        names = list(_read_table(scp, of_paths=True))
        format_file = directory / "audio_format"
        audio_format = format_file.read_text().strip() if format_file.is_file() else default_audio_format
        kind = "kaldi_ark" if "ark" in audio_format else "sound"
        audio = ESPnetDataset([(str(scp), "speech", kind)])
        counts_file = directory / "utt2num_samples"
        counts = _read_table(counts_file) if counts_file.is_file() else {}
        for name, count in counts.items():
            if not count.isdecimal():
                raise UserError(
                    f"{counts_file}: {name}: '{count}' is no number of samples; remove the file, or correct it"
                )
        data = cls(directory, audio, {}, audio_format)
        # Only an order of decoding hangs on these: a set without the file has them read from its audio.
        data.samples = {name: int(counts[name]) if name in counts else len(data.read(name)) for name in names}
        return data

    def rate_hz(self) -> int:
        """Returns the sampling rate of the first file, which ESPnet's reader forgets.

        Raises:
            UserError: The file cannot be read.
        """
        name, path = next(iter(read_2columns_text(self.directory / "wav.scp").items()))
        try:
            return int(kaldiio.load_mat(path)[0]) if "ark" in self.audio_format else soundfile.info(path).samplerate
        except Exception as error:  # as in read
            raise UserError(f"{self.directory / 'wav.scp'}: the audio of {name} cannot be read: {error}") from error

    def check_rate(self, sample_rate: int) -> None:
        """Compares the sampling rate of the first file with a model's, Hz.

        Raises:
            UserError: They differ.
        """
        if (rate := self.rate_hz()) != sample_rate:
            raise UserError(
                f"{self.directory}: the audio has {rate} Hz, the model takes {sample_rate} Hz; format the set for it "
                f"(stages 3-5 with --fs {sample_rate})"
            )

    def read(self, name: str) -> torch.Tensor:
        """Reads the audio of an utterance, (samples,).

        Raises:
            UserError: It cannot be read, has several channels, or is not finite, of which a model would make no word.
        """
        try:
            _, item = self.audio[name]
        except Exception as error:  # missing, truncated or not an audio file: each library has errors of its own
            raise UserError(f"{self.directory / 'wav.scp'}: the audio of {name} cannot be read: {error}") from error
        signal = torch.as_tensor(item["speech"])
        if signal.dim() != 1:
            raise UserError(
                f"{self.directory / 'wav.scp'}: {name} has {signal.size(1)} channels, the model takes one; prepare "
                "the set again with a file of one channel, or in data/<set>/wav.scp with 'sox FILE -t wav - remix - |'"
            )
        if not signal.isfinite().all():
            raise UserError(
                f"{self.directory / 'wav.scp'}: the audio of {name} holds samples that are not finite; repair the "
                "recording or leave it out, then prepare the data again (stages 1-5)"
            )
        return signal


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
