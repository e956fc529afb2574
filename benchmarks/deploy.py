r"""What decoding and every exported file cost and lose, on one set, in one process.

Every system decodes the same utterances of real speech: ESPnet's own search (`asr_inference` with ctc_weight 1.0 and
beam_size 1, as its class `Speech2Text`), our greedy search in batches and one by one, ONNX Runtime and sherpa-onnx with
32-bit and 8-bit weights. Loading is not timed; reading the audio is not either. ESPnet's search is slow, so it gets the
first of the utterances only, and its ratio is to the greedy search on those.

Run, in a recipe directory, after encrl export --sherpa true --output_dir <exp_dir>/onnx:
    python3 ../../../benchmarks/deploy.py --exp_dir exp/asr_e6_encrl_raw_en_char --data_dir dump/raw/test_clean \
        --output exp/deploy.md
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from espnet2.bin.asr_inference import Speech2Text
from torch import Tensor
from tqdm import tqdm

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.data.batches import make_batches
from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.text import read_text
from espnet_ext.decode.greedy import best_paths
from espnet_ext.decode.model import CTCModel, load_model
from espnet_ext.decode.parallel import decode_batches
from espnet_ext.errors import UserError, run_main
from espnet_ext.export.run import FILES, SHERPA
from espnet_ext.export.runtime import OnnxCTC
from espnet_ext.export.sherpa import transcribe
from espnet_ext.export.sherpa_files import GRAPH
from espnet_ext.files import atomic
from espnet_ext.report.markdown import layout
from espnet_ext.report.table import Table
from espnet_ext.score.by_jiwer import score

Texts = dict[str, str]


@dataclass
class Decoded:
    """Texts by utterance and the seconds they took."""

    system: str
    texts: Texts
    seconds: float
    size: int | None = None


def timed(system: str, decode: Callable[[], Texts], size: int | None = None) -> Decoded:
    """Runs a decoder and takes the time."""
    start = time.perf_counter()
    texts = decode()
    return Decoded(system, texts, time.perf_counter() - start, size)


def by_search(exp_dir: Path, audio: dict[str, Tensor]) -> Decoded:
    """Decodes as ESPnet does."""
    config, checkpoint = find_model_files(exp_dir)
    search = Speech2Text(config, checkpoint, ctc_weight=1.0, lm_weight=0.0, beam_size=1, device="cpu")

    def decode() -> Texts:
        return {name: search(speech.numpy())[0][0] for name, speech in tqdm(audio.items(), desc="asr_inference")}

    return timed(f"ESPnet `asr_inference`, first {len(audio)}", decode)


def greedily(model: CTCModel, audio: dict[str, Tensor], system: str, batch_sec: float) -> Decoded:
    """Decodes with our search."""

    def decode() -> Texts:
        texts = {}
        lengths = {name: len(speech) for name, speech in audio.items()}
        batches = make_batches(lengths, int(batch_sec * model.sample_rate), 0.05)
        for batch in decode_batches(model.model, audio.__getitem__, batches):
            found = zip(batch.names, batch.hypotheses, strict=True)
            texts |= {name: model.text(model.tokens(one.token_ids)) for name, one in found}
        return texts

    return timed(system, decode)


def by_onnx(model: CTCModel, path: Path, audio: dict[str, Tensor], system: str, threads: int) -> Decoded:
    """Decodes one by one in ONNX Runtime."""
    runtime = OnnxCTC(path, threads)

    def decode() -> Texts:
        texts = {}
        for name, speech in audio.items():
            (found,) = best_paths(*runtime(speech[None], torch.tensor([len(speech)])))
            texts[name] = model.text(model.tokens(found.token_ids))
        return texts

    return timed(system, decode, path.stat().st_size)


def by_sherpa(
    model: CTCModel, path: Path, audio: dict[str, Tensor], system: str, threads: int, graph: bool = False
) -> Decoded:
    """Decodes one by one in sherpa-onnx; its loading, milliseconds, is in the time."""

    def decode() -> Texts:
        found = transcribe(path.parent, path.name, list(audio.values()), model.sample_rate, threads, graph)
        return dict(zip(audio, found, strict=True))

    return timed(system, decode, path.stat().st_size)


def to_table(decoded: list[Decoded], same: Decoded, references: Texts, seconds: dict[str, float]) -> Table:
    """Returns the table; `same` is what the others are compared with, `seconds` the audio of each utterance."""
    rows = []
    for one in decoded:
        names = list(one.texts)
        equal = sum(one.texts[name].split() == same.texts[name].split() for name in names)
        wer = score({name: references[name] for name in names}, one.texts, {}).wer
        rtf = one.seconds / sum(seconds[name] for name in names)
        size = "-" if one.size is None else f"{one.size / 1e6:.2f}"
        rows.append([one.system, str(len(names)), f"{wer:.2f}", f"{100 * equal / len(names):.2f}", f"{rtf:.5f}", size])
    return Table(["system", "utterances", "WER (%)", "same text as greedy (%)", "RTF", "file (MB)"], rows, 1)


def main() -> None:
    """Decodes with everything and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_dir", type=Path, required=True)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--utterances", type=int, default=1300, help="The first of the set")
    parser.add_argument("--searched", type=int, default=50, help="How many of them ESPnet's search decodes")
    parser.add_argument("--threads", type=int, default=1, help="Of the processor, for every system")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    folder = args.exp_dir / "onnx"
    if not (folder / SHERPA / FILES["fp32"]).is_file():
        raise UserError(f"{folder} has no exported files; run encrl export --sherpa true first")
    torch.set_num_threads(args.threads)
    data = DecodingSet.open(args.data_dir)
    references = {name: text for name, text in read_text(args.data_dir / "text").items() if text}
    names = [name for name in data.samples if name in references][: args.utterances]
    audio = {name: data.read(name).float() for name in names}
    model = load_model(args.exp_dir, None, "cpu")
    data.check_rate(model.sample_rate)
    first = {name: audio[name] for name in names[: args.searched]}

    greedily(model, first, "warm-up", 60.0)
    ours = greedily(model, first, f"greedy in batches, first {len(first)}", 60.0)
    search = by_search(args.exp_dir, first)
    single = greedily(model, audio, "greedy, one by one", 0.0)
    decoded = [search, ours, greedily(model, audio, "greedy in batches", 60.0), single]
    for runtime, path, decode in (("ONNX Runtime", folder, by_onnx), ("sherpa-onnx", folder / SHERPA, by_sherpa)):
        for precision, file in FILES.items():
            if (path / file).is_file():
                decoded.append(decode(model, path / file, audio, f"{runtime} {precision}", args.threads))
    if (folder / SHERPA / GRAPH).is_file():
        path = folder / SHERPA / FILES["fp32"]
        decoded.append(by_sherpa(model, path, audio, "sherpa-onnx fp32, with the graph", args.threads, graph=True))
    seconds = {name: len(speech) / model.sample_rate for name, speech in audio.items()}
    ratio = search.seconds / ours.seconds
    text = (
        f"# Decoding and exported files of `{args.exp_dir}` on {args.data_dir.name}\n\n"
        f"{layout(to_table(decoded, single, references, seconds))}\n\n"
        f"- Threads: {args.threads}; one process. RTF: seconds of computing for a second of audio.\n"
        f"- Greedy search in batches is {ratio:.1f} times as fast as ESPnet's on the first {len(first)} utterances.\n"
        "- *same text as greedy*: as PyTorch's, one by one.\n"
    )
    with atomic(args.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    run_main(main)
