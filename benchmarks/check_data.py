"""Time and memory of `encrl check data` on data directories of many utterances, as a Markdown table.

The directories are synthetic: all lines of wav.scp name one file of noise, one second long (100 with segments), so
headers come from the cache of the file system. The time is CPU time, which other load of the machine disturbs less.

Example:
    % python3 benchmarks/check_data.py --utterances 30000 300000
    % python3 benchmarks/check_data.py --utterances 30000 300000 --package /path/of/another/checkout
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
UTTERANCES_PER_RECORDING = 100
WORDS = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AND THEN IT SLEEPS UNTIL THE MORNING COMES AGAIN"


def make_data_dir(directory: Path, number: int, segments: bool) -> None:
    """Writes a data directory of `number` utterances, with or without a file segments."""
    directory.mkdir()
    per_recording = UTTERANCES_PER_RECORDING if segments else 1
    audio = directory / "noise.flac"
    soundfile.write(audio, np.random.default_rng(0).normal(0, 0.1, per_recording * RATE), RATE)
    names = [f"speaker{i // 1000:05d}-{i:08d}" for i in range(number // per_recording)]
    (directory / "wav.scp").write_text("".join(f"{name} {audio}\n" for name in names))
    if segments:
        names = [f"{name}-{i:03d}" for name in names for i in range(per_recording)]
        rows = (f"{name} {name[:-4]} {int(name[-3:])} {int(name[-3:]) + 1}\n" for name in names)
        (directory / "segments").write_text("".join(rows))
    (directory / "text").write_text("".join(f"{name} {WORDS}\n" for name in names))
    (directory / "utt2spk").write_text("".join(f"{name} {name[:12]}\n" for name in names))


def measure(directory: Path, nj: int, package: Path) -> tuple[float, float]:
    """Returns CPU seconds, and peak memory in MB, of a check."""
    ran = subprocess.run(
        [sys.executable, "-c", _COMMAND, str(directory), "--nj", str(nj)],
        env={**os.environ, "PYTHONPATH": str(package)},
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        sys.exit(ran.stderr)
    seconds, memory = ran.stderr.split()[-2:]
    return float(seconds), float(memory)


# Not getrusage's ru_maxrss, which begins at what the parent held.
_COMMAND = """
import sys, time
from espnet_ext.cli.check import main
main(["data", *sys.argv[1:]])
with open("/proc/self/status") as status:
    peak_kib = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(time.process_time(), int(peak_kib) / 1024, file=sys.stderr)
"""


def main() -> None:
    """Makes the directories, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, nargs="+", default=[30000, 300000])
    parser.add_argument("--nj", type=int, default=2, help="files read at the same time (default: 2)")
    parser.add_argument("--package", type=Path, default=Path(__file__).parents[1], help="checkout that is measured")
    args = parser.parse_args()
    print("| utterances | segments | CPU time (s) | peak memory (MB) |\n|---:|---|---:|---:|")
    for number in args.utterances:
        for segments in (False, True):
            with tempfile.TemporaryDirectory() as work_dir:
                make_data_dir(Path(work_dir) / "data", number, segments)
                seconds, memory = measure(Path(work_dir) / "data", args.nj, args.package.resolve())
            print(f"| {number:,} | {'yes' if segments else 'no'} | {seconds:.1f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
