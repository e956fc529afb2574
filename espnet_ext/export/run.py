"""Exports a model: writes, compares, and gives the files their names only when the comparison holds."""

import bisect
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.text import read_text
from espnet_ext.decode.beam import BeamOptions, BeamSearch, read_words
from espnet_ext.decode.greedy import decode_batch
from espnet_ext.decode.model import CTCModel, load_model
from espnet_ext.decode.recognizer import EspnetRecognizer
from espnet_ext.directories import MARKER, check_ours, move_into_place, renew
from espnet_ext.errors import UserError
from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.export.graph import write_graph
from espnet_ext.export.onnx_file import OPSET, add_metadata, write_int8, write_onnx
from espnet_ext.export.parity import Parity, compare
from espnet_ext.export.report import REPORT, read_report
from espnet_ext.export.sherpa import check_sherpa, mean_level, transcribe, write_sherpa
from espnet_ext.export.sherpa_files import GRAPH
from espnet_ext.files import file_sha256
from espnet_ext.score.by_jiwer import score

_BATCH_SIZES = (1, 4)
_EQUAL_UTTERANCES = 0.999
FILES = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
FIXED = "model.fixed.onnx"
SHERPA = "sherpa_onnx"


@dataclass(frozen=True)
class Export:
    """What is exported, and how it is compared.

    Attributes:
        exp_dir: the model: experiment directory, checkpoint, packed zip or tag.
        data_dir: formatted set with transcripts to compare on, never a test set.
        output_dir: directory of the files, made anew.
        asr_model_file: file in `exp_dir`; None: the best average that is there.
        utterances: how many are compared, evenly spaced over the set.
        precisions: keys of `FILES`; float32 is always written.
        fixed_seconds: write also a file that takes one utterance, padded to so many seconds; 0 for none.
        sherpa: write a folder for sherpa-onnx too.
        lexicon_text: words of the decoding graph in that folder, see `read_words`; None for no graph.
        search: n-gram and scores of the graph.
        tolerance: largest difference of log-probabilities of a float32 file.
        max_wer_loss: points of WER that any other file may lose.
        audio_format: of a set without a file `audio_format`.
    """

    exp_dir: str
    data_dir: Path
    output_dir: Path
    asr_model_file: str | None = None
    utterances: int = 100
    precisions: Sequence[str] = tuple(FILES)
    fixed_seconds: float = 0.0
    sherpa: bool = False
    lexicon_text: Path | None = None
    search: BeamOptions = BeamOptions()
    tolerance: float = 1e-3
    max_wer_loss: float = 1.0
    audio_format: str = "flac"


def export(args: Export) -> Iterator[str]:
    """Writes the files, yields lines for the user.

    Raises:
        UserError: the model cannot be exported, there is no data, or a file differs more than is allowed.
    """
    model = load_model(args.exp_dir, args.asr_model_file, "cpu")
    if model.model.frontend is None:
        raise UserError(f"{args.exp_dir}: the model was trained on features, not audio; it cannot be exported")
    if args.sherpa:
        check_sherpa(model)
    words = read_words(args.lexicon_text) if args.lexicon_text else []
    if "checkpoint_sha256" not in read_report(args.output_dir):  # no earlier export
        check_ours(args.output_dir)
    recognizer = EspnetRecognizer(model, "cpu")
    names, signals, references, left_out = _utterances(args, recognizer)
    if left_out:
        yield (
            f"{len(left_out)} utterances of {args.data_dir} are too short for the model and are not compared, e.g. "
            f"{left_out[0]}"
        )
    partial = args.output_dir.with_name(f"{args.output_dir.name}.partial")
    renew(partial)
    checkpoint = find_model_files(args.exp_dir, args.asr_model_file)[1].absolute()
    # The file is published: no path of this machine.
    source = f"{checkpoint.parent.name}/{checkpoint.name}"
    metadata = _metadata(model, source, recognizer.frame_samples)
    report: dict[str, dict] = {}
    reference_wer = None
    # First that in float32, of which the others are made.
    precisions = [name for name in FILES if name == "fp32" or name in args.precisions]
    for precision in precisions:
        name = FILES[precision]
        path = partial / name
        if precision == "fp32":
            exported = ExportedCTC(model.model)
            write_onnx(exported, _example(model), path)
            metadata["min_samples"] = exported.shortest
        else:
            write_int8(partial / FILES["fp32"], path)
        add_metadata(path, metadata | {"input": "waveform", "precision": precision})
        found = [compare(model.model, path, signals, size) for size in _BATCH_SIZES]
        hypotheses = {n: model.text(model.tokens(ids)) for n, ids in zip(names, found[0].ids, strict=True)}
        wer = score(references, hypotheses, {}).wer
        reference_wer = wer if reference_wer is None else reference_wer
        entry = report[name] = _entry(found, path, wer)
        yield (
            f"{name}: {entry['bytes'] / 2**20:.1f} MiB, log-probabilities within {entry['max_difference']:.2g}, "
            f"{100 * entry['equal_utterances']:.1f} % of {len(names)} utterances with the same tokens, WER {wer:.2f} %"
        )
        _check(name, precision, entry, wer - reference_wer, args)
    if args.fixed_seconds:
        report[FIXED], line = _write_fixed(model, partial / FIXED, signals, metadata, args)
        yield line
    if args.sherpa:
        folder = partial / SHERPA
        write_sherpa(model, mean_level(signals), recognizer.frame_samples, folder, bool(words))
        if words:
            write_graph(model, words, args.search, folder / GRAPH)
        for name in ("model.onnx", "model.int8.onnx"):
            texts = transcribe(folder, name, signals, model.sample_rate)
            wer = score(references, dict(zip(names, texts, strict=True)), {}).wer
            report[f"{SHERPA}/{name}"] = {"bytes": (folder / name).stat().st_size, "wer_percent": round(wer, 4)}
            yield f"{SHERPA}/{name}: {(folder / name).stat().st_size / 2**20:.1f} MiB, WER {wer:.2f} % in sherpa-onnx"
            _check_wer(f"{SHERPA}/{name}", wer - reference_wer, args)
        if words:
            entry = report[f"{SHERPA}/{GRAPH}"] = _with_graph(model, folder, names, signals, references, words, args)
            yield (
                f"{SHERPA}/{GRAPH}: {entry['bytes'] / 2**20:.1f} MiB, {entry['words']} words, WER with it "
                f"{entry['wer_percent']:.2f} %, of encrl decode --search lexicon {entry['beam_search_wer_percent']} %"
            )
    with (partial / "tokens.txt").open("w", encoding="utf-8") as file:
        file.writelines(f"{token} {i}\n" for i, token in enumerate(model.model.token_list))
    summary = {
        "source": source,
        "checkpoint_sha256": file_sha256(checkpoint),
        "data": args.data_dir.absolute().name,
        "min_samples": metadata["min_samples"],
        "files": report,
    }
    (partial / REPORT).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    # As a whole, so that no file of another model stays beside the new ones.
    (partial / MARKER).unlink()  # from here on the report tells whose folder it is
    move_into_place(partial, args.output_dir)


def _utterances(
    args: Export, recognizer: EspnetRecognizer
) -> tuple[list[str], list[Tensor], dict[str, str], list[str]]:
    """Returns what is compared on, evenly spaced over the lengths of a set.

    Returns:
        Names, audio and transcripts, and the names of the utterances of which ESPnet makes no frame.
    """
    data = DecodingSet.open(args.data_dir, args.audio_format)
    data.check_rate(recognizer.sample_rate)
    references = read_text(args.data_dir / "text")
    names = sorted((name for name in data.samples if references.get(name)), key=lambda name: data.samples[name])
    if not names or args.utterances < 1:
        raise UserError(f"{args.data_dir / 'text'}: no utterance to compare on; prepare the data (stages 1-5)")
    shortest = bisect.bisect_left(
        range(recognizer.sample_rate), True, key=lambda samples: len(recognizer(torch.zeros(samples))) > 0
    )
    left_out = [name for name in names if data.samples[name] < shortest]
    names = names[len(left_out) :]
    count = min(args.utterances, len(names))
    names = [names[i * len(names) // count] for i in range(count)]
    signals = {name: data.read(name).float() for name in names}
    left_out += [name for name in names if len(signals[name]) < shortest]  # other than utt2num_samples tells
    names = [name for name in names if len(signals[name]) >= shortest]
    if not names:
        raise UserError(
            f"{args.data_dir}: every utterance is shorter than the model's shortest, {shortest} samples; give a set of "
            "ordinary length (--data_dir)"
        )
    return names, [signals[name] for name in names], {name: references[name] for name in names}, left_out


def _example(model: CTCModel) -> tuple[Tensor, Tensor]:
    """Returns two signals of different lengths to trace with."""
    size = int(1.5 * model.sample_rate)
    signals = torch.randn(2, size, generator=torch.Generator().manual_seed(0)) * 0.1
    return signals, torch.tensor([size, size // 2])


def _metadata(model: CTCModel, source: str, frame_samples: int) -> dict[str, object]:
    """Returns what a runtime has to know, in the words of sherpa-onnx where it has some."""
    frontend = model.model.frontend
    return {
        "model_type": "espnet_ctc",
        "source": source,
        "opset": OPSET,
        "sample_rate": model.sample_rate,
        "vocab_size": len(model.model.token_list),
        "tokens": list(model.model.token_list),
        "token_type": model.token_type,
        "blank_id": model.model.blank_id,
        "hop_length": frontend.hop_length if hasattr(frontend, "hop_length") else frontend.stft.hop_length,
        "frame_samples": frame_samples,
        "normalization": type(model.model.normalize).__name__ if model.model.normalize is not None else "none",
    }


def _entry(found: list[Parity], path: Path, wer: float | None) -> dict[str, float]:
    """Returns what the report says of a file: the worst over batch sizes."""
    return {
        "bytes": path.stat().st_size,
        "max_difference": max(one.max_difference for one in found),
        "equal_frames": min(one.equal_frames / one.frames for one in found),
        "equal_utterances": min(one.equal_utterances / one.utterances for one in found),
    } | ({} if wer is None else {"wer_percent": round(wer, 4)})


def _write_fixed(
    model: CTCModel, path: Path, signals: list[Tensor], metadata: dict[str, object], args: Export
) -> tuple[dict[str, float], str]:
    """Writes the file without free dimensions; returns what the report says of it, and a line for the user."""
    samples = round(args.fixed_seconds * model.sample_rate)
    short = [signal for signal in signals if len(signal) <= samples]
    if not short:
        raise UserError(f"--fixed_seconds {args.fixed_seconds:g}: every utterance of {args.data_dir} is longer")
    example = torch.randn(1, samples, generator=torch.Generator().manual_seed(0)) * 0.1
    write_onnx(ExportedCTC(model.model), (example, torch.tensor([samples])), path, fixed=True)
    add_metadata(path, metadata | {"input": "waveform", "precision": "fp32", "fixed_samples": samples})
    found = compare(model.model, path, short, 1, samples)
    entry = _entry([found], path, None)
    _check(path.name, "fp32", entry, 0.0, args)
    return entry, (
        f"{path.name}: {entry['bytes'] / 2**20:.1f} MiB, no free dimension, log-probabilities within "
        f"{entry['max_difference']:.2g} on {found.utterances} utterances of up to {args.fixed_seconds:g} s"
    )


def _with_graph(
    model: CTCModel,
    folder: Path,
    names: list[str],
    signals: list[Tensor],
    references: dict[str, str],
    words: list[str],
    args: Export,
) -> dict[str, float | None]:
    """Returns what the report says of the graph: the WER with it, and that of the beam search with the same scores."""
    graph, file = folder / GRAPH, "model.onnx"
    texts = transcribe(folder, file, signals, model.sample_rate, graph=True)
    rates = [score(references, dict(zip(names, texts, strict=True)), {}).wer]
    try:
        search = BeamSearch(model, words, args.search)
    except UserError:  # where its package is not
        rates.append(None)
    else:
        found = [decode_batch(model.model, [signal], search)[0] for signal in signals]
        texts = [model.text(model.tokens(one.token_ids)) for one in found]
        rates.append(score(references, dict(zip(names, texts, strict=True)), {}).wer)
    wer, beam_wer = (None if rate is None else round(rate, 4) for rate in rates)
    sizes = {"bytes": graph.stat().st_size, "words": len(words)}
    return sizes | {"wer_percent": wer, "beam_search_wer_percent": beam_wer}


def _check(name: str, precision: str, entry: dict[str, float], wer_loss: float, args: Export) -> None:
    if precision == "fp32":
        too_far = entry["max_difference"] > args.tolerance or entry["equal_utterances"] < _EQUAL_UTTERANCES
        if too_far:
            raise UserError(
                f"{name} does not compute what ESPnet does: log-probabilities differ by {entry['max_difference']:.3g} "
                f"(--tolerance {args.tolerance:g}), {100 * entry['equal_utterances']:.1f} % of the utterances have the "
                "same tokens; no file is kept but in the folder .partial"
            )
    else:
        _check_wer(name, wer_loss, args)


def _check_wer(name: str, wer_loss: float, args: Export) -> None:
    if wer_loss > args.max_wer_loss:
        raise UserError(
            f"{name} loses {wer_loss:.2f} points of WER on {args.data_dir.name} (--max_wer_loss "
            f"{args.max_wer_loss:g}); leave it out with --precisions or --sherpa, or allow the loss"
        )
