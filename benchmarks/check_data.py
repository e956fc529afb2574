r"""What `encrl check data` costs on corpora of two sizes: processor time and peak memory.

Each set has an utterance a line in every file, transcripts of ten words, and 200 utterances a speaker:
- single: a recording for each utterance, whose header is read,
- scored: the same, for a test set, without the audio,
- segments: a recording for each hundred utterances.
All lines name one of a few short recordings, so that only the number of lines grows. Each set is checked by a process
of its own.

Run:
    python3 benchmarks/check_data.py --output docs/results/performance/check_data.md
With --compare before=<dir> the check of another checkout is measured beside it, where it knows the options.
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic
from espnet_ext.report.markdown import layout
from espnet_ext.report.table import Table

# The system's own count of the peak begins with that of the parent.
_RUN = """
import re, runpy, sys
module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""
_CHECK = ["espnet_ext", "check", "data"]
_FORMER_CHECK = ["espnet_ext.bin.check_data"]
_SETS = {"single": [], "scored": ["--audio", "false", "--scored", "true"], "segments": []}
_RECORDINGS = 100
_WORDS = "WHAT IS SAID HERE HAS AS MANY WORDS AS THIS".split()


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, nargs="+", default=[30_000, 300_000], help="Sizes of the sets")
    parser.add_argument("--compare", help="NAME=DIR: another checkout of this project")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    cells: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        audio = _recordings(Path(folder))
        for (kind, options), number in itertools.product(_SETS.items(), args.utterances):
            data_dir = _make(Path(folder, f"{kind}_{number}"), kind, number, audio)
            cells.setdefault(kind, []).extend(_measure([*_CHECK, *options, str(data_dir)], Path(__file__).parents[1]))
            if args.compare and not options:
                name, _, tree = args.compare.partition("=")
                new = Path(tree, "espnet_ext/cli/check.py").is_file()
                command = [*(_CHECK if new else _FORMER_CHECK), str(data_dir)]
                cells.setdefault(f"{kind}, {name}", []).extend(_measure(command, Path(tree)))
    header = ["set"]
    for number in args.utterances:
        header += [f"{number:,} utterances: processor time (s)", "peak memory (MB)"]
    text = (
        f"# encrl check data\n\n{layout(Table(header, [[kind, *row] for kind, row in cells.items()], 1))}\n\n"
        "- single: a recording for each utterance, whose header is read.\n"
        "- scored: the same for a test set, without the audio.\n"
        "- segments: a recording for each hundred utterances.\n"
    )
    with atomic(args.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


def _recordings(folder: Path) -> list[Path]:
    """Writes short ones, and one of the length of a hundred segments."""
    paths = [folder / f"{number}.flac" for number in range(_RECORDINGS)]
    rng = np.random.default_rng(0)
    for path in paths:
        soundfile.write(path, 0.1 * rng.standard_normal(16000), 16000)
    soundfile.write(folder / "long.flac", np.zeros(16000 * 100, np.int16), 16000)
    return [*paths, folder / "long.flac"]


def _make(directory: Path, kind: str, number: int, audio: list[Path]) -> Path:
    directory.mkdir()
    names = [f"speaker{i // 200:05d}-{i:07d}" for i in range(number)]
    (directory / "text").write_text("".join(f"{name} {' '.join(_WORDS)}\n" for name in names))
    (directory / "utt2spk").write_text("".join(f"{name} {name.split('-')[0]}\n" for name in names))
    if kind == "segments":
        recordings = [f"recording{i:05d}" for i in range((number + 99) // 100)]
        lines = (f"{name} {recordings[i // 100]} {i % 100} {i % 100 + 1}\n" for i, name in enumerate(names))
        (directory / "segments").write_text("".join(lines))
        entries = [f"{name} {audio[-1]}\n" for name in recordings]
    else:
        entries = [f"{name} {audio[i % _RECORDINGS]}\n" for i, name in enumerate(names)]
    (directory / "wav.scp").write_text("".join(entries))
    return directory


def _measure(words: list[str], tree: Path) -> list[str]:
    """Returns the processor seconds and the peak memory of a command that runs with the code of a checkout."""
    command = [sys.executable, "-c", _RUN, *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(tree.resolve())}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{' '.join(words)} failed: {done.stderr[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [f"{seconds:.1f}", f"{int(done.stdout.split()[-1]) * 1024 / 1e6:.0f}"]


if __name__ == "__main__":
    run_main(main)
