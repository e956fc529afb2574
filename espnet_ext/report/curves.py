"""The figure of the training curves."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from espnet_ext.report.lineage import Training
from espnet_ext.report.palette import Look, Palette
from espnet_ext.report.plot import write_figure
from espnet_ext.report.results import Results

PHASES = {"train": "--", "valid": "-"}  # and their dashes


@dataclass
class Panel:
    """Curves of one statistic.

    Attributes:
        title: heading.
        unit: label of the vertical axis.
        curves: (statistic, training) by label; several seeds share a label.
        looks: colour and marker by label.
    """

    title: str
    unit: str
    curves: dict[str, list[tuple[str, Training]]] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)

    def add(self, label: str, key: str, training: Training, look: Look) -> None:
        """Adds the curve of a training, once."""
        self.looks.setdefault(label, look)
        present = [run.exp_dir for _, run in self.curves.get(label, [])]
        if training.exp_dir not in present:
            self.curves.setdefault(label, []).append((key, training))


def panels_of(results: Results) -> list[Panel]:
    """Returns the CTC loss, a panel per start, and every criterion of EncRL, a panel each, with a line per student."""
    palette = Palette(results)
    return [*_ctc_panels(results, palette), *_encrl_panels(results, palette)]


def plot_curves(results: Results, path: Path) -> bool:
    """Draws every epoch of `panels_of`.

    Returns:
        Whether there was anything to draw; otherwise no file is written.
    """
    panels = panels_of(results)
    if not panels:
        return False
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.6 * rows), squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw(axes, panel)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    write_figure(figure, path)
    return True


def _ctc_panels(results: Results, palette: Palette) -> list[Panel]:
    panels: dict[str, Panel] = {}
    for system in results.systems:
        for run in system.runs:
            if run.lineage.training.history:
                start = run.lineage.start
                panel = panels.setdefault(start, Panel(f"CTC training, start: {start}", "CTC loss"))
                label = system.model if results.by_start else system.label
                panel.add(label, "loss", run.lineage.training, palette.of(system))
    return list(panels.values())


def _encrl_panels(results: Results, palette: Palette) -> list[Panel]:
    pairs = [(system, run) for system in results.systems for run in system.runs if run.lineage.encrl]
    # Variants of EncRL (by the start of the models trained from them) share the panels, so that they can be compared.
    variants = {run.lineage.start for _, run in pairs}
    panels: dict[str, Panel] = {}
    for system, run in pairs:
        encrl, start = run.lineage.encrl, run.lineage.start
        for student in encrl.students:
            if results.by_start:
                label = student if len(variants) == 1 else f"{student} {start}"
                look = palette.named(student, results.series(system))
            elif student == system.model or system.model not in encrl.students:
                label, look = system.label, palette.of(system)
            else:
                continue  # a student that is another row
            for criterion in _criteria(encrl, student):
                panel = panels.setdefault(criterion, Panel(f"EncRL: {criterion}", criterion))
                panel.add(label, f"{student}_{criterion}", encrl, look)
    return sorted(panels.values(), key=lambda panel: panel.unit != "loss")  # the total first


def _criteria(encrl: Training, student: str) -> list[str]:
    """Returns what is reported of a student as `<student>_<criterion>`."""
    stats = encrl.history[-1].stats
    keys = dict.fromkeys(key for phase in PHASES for key in stats.get(phase, {}))
    return [key.removeprefix(f"{student}_") for key in keys if key.startswith(f"{student}_")]


def _draw(axes: Axes, panel: Panel) -> None:
    handles, phases = [], set()
    for label, runs in panel.curves.items():
        look = {"color": panel.looks[label].colour, "marker": panel.looks[label].marker}
        for key, training in runs:
            epochs = [epoch.epoch for epoch in training.history]
            for phase, dashes in PHASES.items():
                values = [epoch.get(phase, key) for epoch in training.history]
                if any(map(math.isfinite, values)):
                    axes.plot(epochs, values, linestyle=dashes, **look, markersize=3, linewidth=1.2)
                    phases.add(phase)
        name = label if len(runs) == 1 else f"{label} ({len(runs)} seeds)"
        handles.append(Line2D([], [], **look, markersize=3, label=name))
    handles += [
        Line2D([], [], color="gray", linestyle=PHASES[phase], label=phase) for phase in PHASES if phase in phases
    ]
    axes.set(title=panel.title, xlabel="epoch", ylabel=panel.unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(handles=handles, fontsize=7, handlelength=2.5)
