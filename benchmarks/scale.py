r"""What EncRL of three students costs at 960 and 100,000 hours: cache on disk, time of an epoch, what limits it.

Reckoned, not measured: from the rate that benchmarks/encrl_step.py measured on one device, and from the size of the
teacher's output (frames per second, width, bytes a value of the cache).

Run: python3 benchmarks/scale.py --rates docs/results/performance/encrl_step_cpu.csv \
         --output docs/results/performance/scale.md
"""

import argparse
import csv
import statistics
from collections import defaultdict
from pathlib import Path

from espnet_ext.errors import run_main
from espnet_ext.files import atomic
from espnet_ext.report.markdown import layout
from espnet_ext.report.table import Table
from espnet_ext.teachers.cache import DTYPES

HOURS = (960, 3 * 960, 100_000)  # LibriSpeech, the same with speed perturbation, a crawled corpus
DEVICES = (1, 8, 64)


def read_rates(path: Path) -> dict[str, float]:
    """Returns hours of audio per hour of one device, by procedure: the median of the rounds."""
    rates = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rates[row["procedure"]].append(float(row["audio_sec"]) / float(row["seconds"]))
    return {name: statistics.median(values) for name, values in rates.items()}


def size(num_bytes: float) -> str:
    """Returns a size in decimal units."""
    return f"{num_bytes / 1e12:.2f} TB" if num_bytes >= 1e12 else f"{num_bytes / 1e9:.1f} GB"


def duration(hours: float) -> str:
    """Returns days, hours or minutes."""
    if hours >= 48:
        return f"{hours / 24:.1f} d"
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def main() -> None:
    """Writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, required=True, help="CSV of benchmarks/encrl_step.py")
    parser.add_argument("--frames_per_sec", type=float, default=25.0, help="of the teacher's output")
    parser.add_argument("--width", type=int, default=256, help="of the teacher's output")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file")
    args = parser.parse_args()
    rates = read_rates(args.rates)
    live, cached = rates["b"], rates["c"]
    values_per_hour = 3600 * args.frames_per_sec * args.width
    disk = Table(["hours", *(f"cache {name}" for name in DTYPES)], [], 1)
    for hours in HOURS:
        disk.rows.append([f"{hours:,}", *(size(hours * values_per_hour * width) for _, width in DTYPES.values())])
    times = Table(["hours", "devices", "epoch, live teacher", "epoch, cached", "read, int16 cache"], [], 1)
    for hours in HOURS:
        for devices in DEVICES:
            read = devices * cached * values_per_hour * DTYPES["int16"][1] / 3600
            times.rows.append(
                [f"{hours:,}", str(devices), duration(hours / live / devices), duration(hours / cached / devices),
                 f"{read / 1e6:.1f} MB/s"]
            )  # fmt: skip
    text = [
        "# EncRL of three students at scale",
        f"Reckoned by `benchmarks/scale.py` from `{args.rates.name}`: one device trains on {live:.1f} hours of audio "
        f"an hour with a live teacher, on {cached:.1f} with a cached one. The teacher's output has "
        f"{args.frames_per_sec:g} frames a second and {args.width} values a frame. Several devices are assumed to be "
        "as many times as fast, which nothing here measures.",
        layout(disk),
        layout(times),
    ]
    with atomic(args.output) as temporary:
        temporary.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print("\n\n".join(text))


if __name__ == "__main__":
    run_main(main)
