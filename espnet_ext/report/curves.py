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
from espnet_ext.report.plot import style, write_figure
from espnet_ext.report.results import Results

_PHASES = {"train": "--", "valid": "-"}


@dataclass
class _Panel:
    """Curves of one statistic: (statistic, training) by label; several seeds share a label."""

    title: str
    unit: str
    curves: dict[str, list[tuple[str, Training]]] = field(default_factory=dict)

    def add(self, label: str, key: str, training: Training) -> None:
        present = [run.exp_dir for _, run in self.curves.get(label, [])]
        if training.exp_dir not in present:
            self.curves.setdefault(label, []).append((key, training))


def plot_curves(results: Results, path: Path) -> bool:
    """Draws every epoch: the CTC loss, a panel per start; every criterion of EncRL, a panel each, a line per student.

    Returns:
        Whether there was anything to draw; otherwise no file is written.
    """
    groups = [_ctc_panels(results), _encrl_panels(results)]
    panels = [(panel, _styles(group)) for group in groups for panel in group]
    if not panels:
        return False
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.6 * rows), squeeze=False)
    for axes, (panel, styles) in zip(grid.flat, panels, strict=False):
        _draw(axes, panel, styles)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    write_figure(figure, path)
    return True


def _ctc_panels(results: Results) -> list[_Panel]:
    panels: dict[str, _Panel] = {}
    for system in results.systems:
        for run in system.runs:
            if run.lineage.training.history:
                start = run.lineage.start
                panel = panels.setdefault(start, _Panel(f"CTC training, start: {start}", "CTC loss"))
                panel.add(system.model if results.by_start else system.label, "loss", run.lineage.training)
    return list(panels.values())


def _encrl_panels(results: Results) -> list[_Panel]:
    runs = [run for system in results.systems for run in system.runs if run.lineage.encrl]
    # Variants of EncRL (by the start of the models trained from them) share the panels, so that they can be compared.
    variants = {run.lineage.start for run in runs}
    panels: dict[str, _Panel] = {}
    for run in runs:
        encrl = run.lineage.encrl
        for student in encrl.students:
            label = student if len(variants) == 1 else f"{student} {run.lineage.start}"
            for criterion in _criteria(encrl, student):
                panel = panels.setdefault(criterion, _Panel(f"EncRL: {criterion}", criterion))
                panel.add(label, f"{student}_{criterion}", encrl)
    return sorted(panels.values(), key=lambda panel: panel.unit != "loss")  # the total first


def _criteria(encrl: Training, student: str) -> list[str]:
    """Returns what is reported of a student as `<student>_<criterion>`."""
    stats = encrl.history[-1].stats
    keys = dict.fromkeys(key for phase in _PHASES for key in stats.get(phase, {}))
    return [key.removeprefix(f"{student}_") for key in keys if key.startswith(f"{student}_")]


def _styles(panels: list[_Panel]) -> dict[str, dict[str, str]]:
    """Returns colour and marker by label, the same in all panels."""
    labels = dict.fromkeys(label for panel in panels for label in panel.curves)
    return {label: style(number) for number, label in enumerate(labels)}


def _draw(axes: Axes, panel: _Panel, styles: dict[str, dict[str, str]]) -> None:
    handles, phases = [], set()
    for label, runs in panel.curves.items():
        for key, training in runs:
            epochs = [epoch.epoch for epoch in training.history]
            for phase, dashes in _PHASES.items():
                values = [epoch.get(phase, key) for epoch in training.history]
                if any(map(math.isfinite, values)):
                    axes.plot(epochs, values, linestyle=dashes, **styles[label], markersize=3, linewidth=1.2)
                    phases.add(phase)
        name = label if len(runs) == 1 else f"{label} ({len(runs)} seeds)"
        handles.append(Line2D([], [], **styles[label], markersize=3, label=name))
    handles += [
        Line2D([], [], color="gray", linestyle=_PHASES[phase], label=phase) for phase in _PHASES if phase in phases
    ]
    axes.set(title=panel.title, xlabel="epoch", ylabel=panel.unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(handles=handles, fontsize=7, handlelength=2.5)
