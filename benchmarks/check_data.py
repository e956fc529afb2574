"""Time and memory of `espnet_ext.bin.check_data` on data directories of many utterances, as a Markdown table.

The directories are synthetic: every line of wav.scp is a hard link to noise of one second (100 with segments), so that
headers come from the cache of the file system. CPU time is that of the process, the same on a busy machine.

Example:
    % python3 benchmarks/check_data.py --utterances 30000 300000
    % python3 benchmarks/check_data.py --utterances 30000 300000 --package /path/of/another/checkout
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
LINKS_PER_FILE = 30000  # fewer than any file system allows
UTTERANCES_PER_RECORDING = 100
WORDS = "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AND THEN IT SLEEPS UNTIL THE MORNING COMES AGAIN"


def make_data_dir(directory: Path, number: int, segments: bool) -> None:
    """Writes a data directory of `number` utterances, with or without a file segments."""
    audio = directory / "audio"
    audio.mkdir(parents=True)
    recordings = [
        f"speaker{i // 100:05d}-{i:08d}" for i in range(number // UTTERANCES_PER_RECORDING if segments else number)
    ]
    samples = np.random.default_rng(0).normal(0, 0.1, (UTTERANCES_PER_RECORDING if segments else 1) * RATE)
    for i, name in enumerate(recordings):
        if i % LINKS_PER_FILE == 0:
            source = audio / f"{name}.flac"
            soundfile.write(source, samples, RATE)
        else:
            os.link(source, audio / f"{name}.flac")
    (directory / "wav.scp").write_text("".join(f"{name} {audio}/{name}.flac\n" for name in recordings))
    utterances = recordings
    if segments:
        utterances = [f"{name}-{i:03d}" for name in recordings for i in range(UTTERANCES_PER_RECORDING)]
        rows = (f"{name} {name[:-4]} {int(name[-3:])} {int(name[-3:]) + 1}\n" for name in utterances)
        (directory / "segments").write_text("".join(rows))
    (directory / "text").write_text("".join(f"{name} {WORDS}\n" for name in utterances))
    (directory / "utt2spk").write_text("".join(f"{name} {name[:12]}\n" for name in utterances))


def measure(directory: Path, nj: int, package: Path) -> list[float]:
    """Returns wall-clock and CPU seconds, and peak memory in MB, of a check."""
    begin = time.perf_counter()
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
    return [time.perf_counter() - begin, *map(float, ran.stderr.split()[-2:])]


# Of the process itself; Linux gives its peak in KiB.
_COMMAND = """
import resource, sys
from espnet_ext.bin.check_data import main
main()
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)
"""


def main() -> None:
    """Makes the directories, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, nargs="+", default=[30000, 300000])
    parser.add_argument("--nj", type=int, default=2, help="files read at the same time (default: 2)")
    parser.add_argument("--package", type=Path, default=Path(__file__).parents[1], help="checkout that is measured")
    parser.add_argument("--work_dir", type=Path, help="where the directories are made (default: that of the system)")
    args = parser.parse_args()
    print("| utterances | segments | time (s) | CPU time (s) | peak memory (MB) |\n|---:|---|---:|---:|---:|")
    for number in args.utterances:
        for segments in (False, True):
            work_dir = Path(tempfile.mkdtemp(dir=args.work_dir))
            try:
                make_data_dir(work_dir / "data", number, segments)
                figures = measure(work_dir / "data", args.nj, args.package.resolve())
            finally:
                shutil.rmtree(work_dir)
            print(
                f"| {number:,} | {'yes' if segments else 'no'} | {' | '.join(f'{x:.0f}' for x in figures)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
