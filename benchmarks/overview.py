"""Draws the picture of the README: the teacher, its students, and the same students from scratch, WER against size.

python3 benchmarks/overview.py --csv docs/results/mini_librispeech/core_ours.csv --output docs/overview.svg
"""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# By the start of a row in the report's CSV: name, colour (Okabe and Ito), marker.
KINDS = {
    "teacher": ("teacher", "#000000", "o"),
    "encrl": ("student by EncRL and CTC finetuning", "#0072B2", "o"),
    "scratch": ("the same student from scratch", "#D55E00", "s"),
}
OFFSETS = {"teacher": (-50, -34), "encrl": (8, -13), "scratch": (8, 5)}  # points; no text over a point or an arrow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, required=True, help="CSV that encrl report wrote")
    parser.add_argument("--test_set", default="test_clean", help="Set whose WER is drawn")
    parser.add_argument(
        "--title", default="5 hours of LibriSpeech, test_clean; bars: 95 % interval", help="What the numbers are of"
    )
    parser.add_argument("--output", type=Path, required=True, help="SVG file to write")
    args = parser.parse_args()
    with args.csv.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["test_set"] == args.test_set and row["start"] in KINDS]
    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "overview", "font.family": "sans-serif", "font.size": 11}
    figure, axes = plt.subplots(figsize=(8, 3.6))
    points = {}
    for row in rows:
        name, colour, marker = KINDS[row["start"]]
        size, wer, low, high = (float(row[key]) for key in ("parameters", "wer_percent", "wer_low", "wer_high"))
        points[row["start"], row["model"]] = size / 1e6, wer
        axes.errorbar(size / 1e6, wer, yerr=[[wer - low], [high - wer]], color=colour, marker=marker, markersize=9,
                      capsize=3, linestyle="none")  # fmt: skip
        who = "teacher, " if row["start"] == "teacher" else ""
        axes.annotate(f"{who}{row['layers']} layers", (size / 1e6, wer), xytext=OFFSETS[row["start"]],
                      textcoords="offset points", color=colour, fontsize=9)  # fmt: skip
    (teacher,) = (place for (start, _), place in points.items() if start == "teacher")
    for (start, _), place in points.items():
        if start == "encrl":
            axes.annotate("", place, teacher, arrowprops={"arrowstyle": "->", "color": "#0072B2", "alpha": 0.4,
                          "shrinkA": 8, "shrinkB": 8, "connectionstyle": "arc3,rad=0.15"})  # fmt: skip
    for name, colour, marker in KINDS.values():
        axes.plot([], [], color=colour, marker=marker, linestyle="none", label=name)
    axes.set(xlabel="parameters (millions)", ylabel="word error rate (%)", title=args.title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12, y=0.15)
    axes.grid(alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, fontsize=9, frameon=False)
    figure.savefig(args.output, bbox_inches="tight", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
