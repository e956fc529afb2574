"""The figures: WER against parameters, and training curves."""

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from espnet_ext.files import atomic
from espnet_ext.report.collect import Experiment, Training

# Okabe and Ito's palette (jfly.uni-koeln.de/color) is safe for colour-blind readers; markers repeat the distinction.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "*"]
_DOTS_PER_INCH = 120


def plot_wer(experiments: list[Experiment], test_sets: list[str], title: str, path: Path) -> bool:
    """Draws WER against parameters: a panel per test set, a line per start.

    Returns:
        Whether there was anything to draw; otherwise no file is written.
    """
    points = [run for run in experiments if run.parameters and any(run.scores.values())]
    if not points:
        return False
    figure, panels = plt.subplots(1, len(test_sets), figsize=(1 + 4.6 * len(test_sets), 4.2), squeeze=False)
    starts = list(dict.fromkeys(_series(run) for run in points))
    sizes: dict[float, list[str]] = {}  # the models of every size name the ticks
    for run in points:
        names = sizes.setdefault(run.parameters / 1e6, [])
        names += [run.model] if run.model not in names else []
    for panel, name in zip(panels[0], test_sets, strict=True):
        for number, start in enumerate(starts):
            runs = sorted(
                (run for run in points if _series(run) == start and run.scores[name]), key=lambda run: run.parameters
            )
            x = [run.parameters / 1e6 for run in runs]
            y = [run.scores[name].wer for run in runs]
            style = number % len(_COLOURS)
            panel.plot(x, y, color=_COLOURS[style], marker=_MARKERS[style], markersize=7, label=start)
        panel.set_xscale("log")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xticks(list(sizes), [f"{', '.join(names)}\n{size:.3g}" for size, names in sizes.items()])
        panel.margins(x=0.15, y=0.12)
        panel.set_ylim(bottom=0)
        panel.set(title=name, xlabel="model and its parameters (millions, log scale)", ylabel="word error rate (%)")
        panel.grid(alpha=0.3)
    panels[0][0].legend(title="start")
    figure.suptitle(title)
    _write(figure, path)
    return True


def plot_curves(experiments: list[Experiment], path: Path) -> bool:
    """Draws the loss of every epoch: a panel per start, and a panel per criterion of every EncRL training.

    Returns:
        Whether there was anything to draw; otherwise no file is written.
    """
    panels: list[tuple[str, str, list[tuple[str, str, Training]]]] = []  # title, unit, (label, statistic, training)
    for start in dict.fromkeys(_series(run) for run in experiments):
        runs = [(run.model, "loss", run.training) for run in experiments if _series(run) == start]
        panels.append((f"CTC training, start: {start}", "loss", [run for run in runs if run[2].history]))
    for encrl in {run.encrl.exp_dir: run.encrl for run in experiments if run.encrl}.values():
        for criterion in _criteria(encrl):
            lines = [(student, f"{student}_{criterion}", encrl) for student in encrl.students]
            panels.append((f"EncRL: {criterion}", criterion, lines))
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return False
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.4 * rows), squeeze=False)
    for axes, (title, unit, lines) in zip(grid.flat, panels, strict=False):
        for number, (label, key, training) in enumerate(lines):
            colour = _COLOURS[number % len(_COLOURS)]
            epochs = [epoch.epoch for epoch in training.history]
            for phase, dashes in (("train", "--"), ("valid", "-")):
                values = [epoch.get(phase, key) for epoch in training.history]
                if any(map(math.isfinite, values)):
                    axes.plot(epochs, values, dashes, color=colour, marker=".", label=f"{label} {phase}")
        axes.set(title=title, xlabel="epoch", ylabel=unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=7, handlelength=3)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    _write(figure, path)
    return True


def _series(run: Experiment) -> str:
    """The teacher is a series of its own; students are grouped by their start."""
    if run.start == "teacher":
        return "teacher" if run.model == "teacher" else "layers of the teacher"
    return run.start


def _criteria(encrl: Training) -> list[str]:
    """Returns what is reported of every student (`<student>_<criterion>`), the total loss first."""
    last = encrl.history[-1]
    keys = list(last.stats.get("train", {}) | last.stats.get("valid", {}))
    found = {}
    for student in encrl.students:
        for key in keys:
            if key.startswith(f"{student}_"):
                found[key.removeprefix(f"{student}_")] = None
    return sorted(found, key=lambda name: name != "loss")


def _write(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, format=path.suffix.removeprefix(".") or "png")
    plt.close(figure)
