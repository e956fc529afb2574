r"""Transcribes an hour (--hours) of audio in windows: memory, speed, and the cost against utterance by utterance.

The hour is utterances of a set one after another, so its transcript is known.

Run, in a recipe directory:
    python3 ../../../benchmarks/long_audio.py --model exp/asr_e6_encrl_raw_en_char/onnx/model.onnx \
        --data_dir dump/raw/dev_clean --output exp/long_audio.md
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile
import torch
from tqdm import tqdm

from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.text import read_text
from espnet_ext.decode.long_audio import transcribe
from espnet_ext.decode.recognizer import open_recognizer
from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic
from espnet_ext.report.markdown import layout
from espnet_ext.report.table import Table
from espnet_ext.score.by_jiwer import score

_MEMORY = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from espnet_ext.cli.transcribe import main
from measure_runtime import peak_memory
main(sys.argv[1:])
print(peak_memory(), file=sys.stderr)
"""


def main() -> None:
    """Transcribes and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    data = DecodingSet.open(args.data_dir)
    references = read_text(args.data_dir / "text")
    recognizer = open_recognizer(args.model)
    rate = recognizer.sample_rate
    names, samples = [], 0
    for name, count in data.samples.items():
        if samples >= args.hours * 3600 * rate:
            break
        names.append(name)
        samples += count
    reference = " ".join(references[name] for name in names)
    by_utterance = []
    for name in tqdm(names, desc="by utterance"):
        words = transcribe(recognizer, [(0, data.read(name).float().numpy())], 0)
        by_utterance += [word.text for word in words]
    rows = [["utterance by utterance", "-", wer(reference, " ".join(by_utterance)), "-", "-"]]
    with tempfile.TemporaryDirectory() as folder:
        for minutes in (args.hours * 60 / 6, args.hours * 60):
            path = Path(folder) / "long.wav"
            used = join(path, names, data, rate, minutes * 60)
            command = [sys.executable, "-c", _MEMORY, "--model", args.model, str(path)]
            start = time.perf_counter()
            result = subprocess.run(command, capture_output=True, text=True)
            seconds = time.perf_counter() - start
            if result.returncode:
                raise UserError(f"transcribe failed: {result.stderr[-500:]}")
            text = result.stdout.split("\t", 1)[1]
            memory = int(result.stderr.splitlines()[-1]) / 1e6
            whole = " ".join(references[name] for name in used)
            rows.append([f"one file of {minutes:g} min", f"{memory:.0f}", wer(whole, text), f"{seconds:.1f}",
                         f"{seconds / minutes / 60:.5f}"])  # fmt: skip
    table = Table(["audio", "peak memory (MB)", "WER (%)", "seconds, loading included", "RTF"], rows, 1)
    text = (
        f"# Long audio in windows (`{Path(args.model).name}`, {args.data_dir.name})\n\n{layout(table)}\n\n"
        "- `encrl transcribe` with its default windows (30 s, of them 3 s of context on each side).\n"
        "- The memory is that of the whole process.\n"
    )
    with atomic(args.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


def join(path: Path, names: list[str], data: DecodingSet, rate: int, seconds: float) -> list[str]:
    """Writes utterances one after another, up to some length; returns their names."""
    used, written = [], 0
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        for name in names:
            if written >= seconds * rate:
                break
            speech = data.read(name)
            file.write(torch.as_tensor(speech).numpy())
            used.append(name)
            written += len(speech)
    return used


def wer(reference: str, text: str) -> str:
    """Returns the word error rate of one long text, percent."""
    return f"{score({'all': reference}, {'all': text}, {}).wer:.2f}"


if __name__ == "__main__":
    run_main(main)
