r"""Size, speed, latency and memory of models on one thread, in every runtime that they were exported for.

Each experiment directory is measured in ESPnet and in what the export wrote to its folder `onnx`: ONNX Runtime and
sherpa-onnx. Every file runs in a process of its own on noise (the time does not depend on what is said).

Run, in a recipe directory:
    python3 ../../../benchmarks/runtimes.py --exp_dirs exp/asr_e2_encrl_raw_en_bpe29 exp/asr_e6_encrl_raw_en_bpe29 \
        --output exp/runtimes.md
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.config import read_config
from espnet_ext.errors import UserError, run_main
from espnet_ext.export.report import check_made_of
from espnet_ext.export.run import FILES, SHERPA
from espnet_ext.files import atomic
from espnet_ext.report.markdown import layout
from espnet_ext.report.size import Size, model_size, sample_rate
from espnet_ext.report.table import Table

SECONDS = (1.0, 5.0, 15.0)


@dataclass(frozen=True)
class Subject:
    """A file in a runtime: `espnet`, `onnx` or `sherpa`."""

    model: str
    runtime: str
    precision: str
    path: Path
    file: Path
    sample_rate: int


@dataclass(frozen=True)
class Measured:
    """What `measure` found.

    Attributes:
        subject: of what.
        size: of the file, bytes.
        latency: seconds for an utterance of each of `SECONDS`, a value a run.
        peak_memory: of the process, bytes.
    """

    subject: Subject
    size: int
    latency: dict[float, list[float]]
    peak_memory: int

    @property
    def rtf(self) -> list[float]:
        """Seconds of computing for a second of audio, a value a run over all lengths."""
        return [sum(run) / sum(self.latency) for run in zip(*self.latency.values(), strict=True)]


def find_subjects(exp_dirs: Iterable[Path]) -> Iterator[Subject]:
    """Yields each experiment in ESPnet, and the files in its folder `onnx`.

    Raises:
        UserError: no model there, or exported files of another one.
    """
    for exp_dir, name in model_names(exp_dirs).items():
        config, checkpoint = find_model_files(exp_dir)
        rate = sample_rate(read_config(config))
        yield Subject(name, "espnet", "fp32", exp_dir, checkpoint, rate)
        folder = exp_dir / "onnx"
        if folder.is_dir():
            check_made_of(folder, checkpoint)
        for runtime, base in (("onnx", folder), ("sherpa", folder / SHERPA)):
            for precision, file in FILES.items():
                if (base / file).is_file():
                    yield Subject(name, runtime, precision, base / file, base / file, rate)


def model_names(exp_dirs: Iterable[Path]) -> dict[Path, str]:
    """Returns what each experiment is called in the table: as many parts of its path as tell it from the others."""
    paths = {exp_dir: exp_dir.absolute().parts for exp_dir in exp_dirs}
    for count in range(1, max(map(len, paths.values()), default=0) + 1):
        names = {exp_dir: "/".join(parts[-count:]) for exp_dir, parts in paths.items()}
        if len(set(names.values())) == len(names):
            break
    return names


def measure(subject: Subject, runs: int) -> Measured:
    """Measures in a process of its own, on one thread.

    Raises:
        UserError: the model does not run.
    """
    command = [sys.executable, str(Path(__file__).with_name("measure_runtime.py")), subject.runtime, str(subject.path)]
    command += ["--runs", str(runs), "--sample_rate", str(subject.sample_rate), "--seconds", *map(str, SECONDS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{subject.path} does not run in {subject.runtime}: {last}")
    found = json.loads(result.stdout.splitlines()[-1])
    latency = {float(seconds): values for seconds, values in found["latency_sec"].items()}
    return Measured(subject, subject.file.stat().st_size, latency, found["peak_memory"])


def to_rows(measured: Iterable[Measured], sizes: dict[str, Size]) -> list[dict]:
    """Returns a row of the table for each.

    Args:
        measured: what was measured.
        sizes: of each model.
    """
    rows = []
    for one in measured:
        size = sizes[one.subject.model]
        row = {
            "model": one.subject.model,
            "runtime": one.subject.runtime,
            "precision": one.subject.precision,
            "params (M)": _scaled(size.parameters, 1e6),
            "of them head (M)": _scaled(size.head_parameters, 1e6),
            "MMACs/s": _scaled(size.macs_per_sec, 1e6),
            "file (MB)": one.size / 1e6,
            "RTF": statistics.mean(one.rtf),
            "RTF sd": statistics.stdev(one.rtf) if len(one.rtf) > 1 else 0.0,
        }
        row |= {f"{sec:g} s (ms)": 1000 * statistics.mean(values) for sec, values in one.latency.items()}
        rows.append(row | {"peak memory (MB)": one.peak_memory / 1e6})
    return rows


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def main(cmd: list[str] | None = None) -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_dirs", nargs="+", type=Path, required=True, help="experiment directories")
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured, after a warm-up")
    parser.add_argument("--output", type=Path, required=True, help="file of the table (.md)")
    args = parser.parse_args(cmd)
    if args.runs < 1:
        raise UserError("--runs must be at least 1")
    subjects = list(find_subjects(args.exp_dirs))
    measured = []
    for number, subject in enumerate(subjects, 1):
        print(f"{number}/{len(subjects)} {subject.model}: {subject.runtime} {subject.precision}", flush=True)
        measured.append(measure(subject, args.runs))
    notes: list[str] = []
    rows = to_rows(measured, {name: model_size(exp_dir, notes) for exp_dir, name in model_names(args.exp_dirs).items()})
    table = layout(Table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows], 3))
    text = (
        f"# Runtimes\n\n{table}\n\n- One thread of this CPU, {args.runs} runs after a warm-up; a process for each row, "
        "its peak memory with all that it loads.\n- RTF: seconds of computing for a second of audio, over utterances "
        f"of {', '.join(f'{sec:g}' for sec in SECONDS)} s; then the time for one of them.\n"
        "- ONNX and sherpa-onnx files hold the front end too.\n"
    )
    with atomic(args.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print("\n".join([*notes, table]))


if __name__ == "__main__":
    run_main(main)
