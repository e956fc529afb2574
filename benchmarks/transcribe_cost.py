r"""What `encrl transcribe` of an exported file costs beside plain ONNX Runtime: time and peak memory.

Plain ONNX Runtime is a script of a few lines: it reads the same audio file with soundfile, gives it to the model in
pieces, and takes the best token of each frame. In the first row the pieces overlap as the windows of `transcribe` do.
In the second they do not, so words at their borders would be cut. Threads do not spin in either, because time that is
spent waiting would count. Each runs in a process of its own, in turns, and the least of the runs counts. The seconds
are the processor's, of all threads, loading included.

Run, in a recipe directory; without --audio it makes noise of --minutes:
    python3 ../../../benchmarks/transcribe_cost.py --model exp/asr_e6/onnx/model.int8.onnx --output exp/cost.md
With --compare before=<dir> the `transcribe` of another checkout is measured beside it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from espnet_ext.errors import UserError, run_main

_WINDOW_SEC, _CONTEXT_SEC = 30, 3  # the defaults of transcribe
_TRANSCRIBE = [sys.executable, "-m", "espnet_ext", "transcribe"]
_PLAIN = """
import sys
import numpy as np, onnxruntime, soundfile
model, audio, block, overlap = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
for speech in soundfile.blocks(audio, block, overlap, dtype="float32"):
    found, frames = session.run(None, {"x": speech[None], "x_lengths": np.array([len(speech)])})
    ids = found[0].argmax(-1)
    print(ids[(ids != 0) & (ids != np.roll(ids, 1))].tolist())
"""


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="An .onnx file that takes 16 kHz audio")
    parser.add_argument("--audio", type=Path, help="A 16 kHz mono file (default: noise)")
    parser.add_argument("--minutes", type=float, default=30.0, help="Length of the noise")
    parser.add_argument("--compare", help="NAME=DIR: another checkout of this project")
    parser.add_argument("--runs", type=int, default=3, help="Of each; the least counts")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        audio = args.audio or _noise(Path(folder) / "noise.wav", args.minutes)
        info = soundfile.info(audio)
        if (info.samplerate, info.channels) != (16000, 1):
            raise UserError(f"{audio} has {info.samplerate} Hz and {info.channels} channels; convert it to 16 kHz mono")
        plain = [sys.executable, "-c", _PLAIN, args.model, str(audio)]
        window, overlap = 16000 * _WINDOW_SEC, 2 * 16000 * _CONTEXT_SEC
        commands = {
            "ONNX Runtime, the same windows": [*plain, str(window), str(overlap)],
            "ONNX Runtime, windows without overlap": [*plain, str(window), "0"],
            "transcribe": [*_TRANSCRIBE, "--model", args.model, str(audio)],
        }
        if args.compare:
            name, _, tree = args.compare.partition("=")
            commands[f"transcribe, {name}"] = ["env", f"PYTHONPATH={Path(tree).resolve()}", *commands["transcribe"]]
        runs = [{name: _measure(command) for name, command in commands.items()} for _ in range(args.runs)]
    least = {name: tuple(map(min, zip(*(run[name] for run in runs), strict=True))) for name in commands}
    first = next(iter(least.values()))
    # Only now: what this process holds would count as its children's peak.
    from espnet_ext.files import atomic
    from espnet_ext.report.markdown import layout
    from espnet_ext.report.table import Table

    rows = [
        [name, f"{cpu:.2f}", f"{memory / 1e6:.0f}", f"{cpu / first[0]:.2f}"] for name, (cpu, memory) in least.items()
    ]
    header = ["", "processor time (s)", "peak memory (MB)", "time, ratio to the first"]
    size = Path(args.model).stat().st_size / 1e6
    text = (
        f"# transcribe beside plain ONNX Runtime (`{Path(args.model).name}`, {size:.1f} MB)"
        f"\n\n{layout(Table(header, rows, 1))}\n\n"
        f"- {info.duration / 60:g} minutes of audio, windows of {_WINDOW_SEC} s; least of {args.runs} runs, in turns.\n"
    )
    with atomic(args.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


def _noise(path: Path, minutes: float) -> Path:
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as file:
        for _ in range(round(6 * minutes)):
            file.write(0.1 * rng.standard_normal(10 * 16000))
    return path


def _measure(command: list[str]) -> tuple[float, int]:
    """Returns the processor seconds and the peak memory, bytes, of a command."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        message = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"{command[:3]} failed: {message.decode()[-500:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


if __name__ == "__main__":
    run_main(main)
