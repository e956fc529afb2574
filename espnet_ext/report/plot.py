"""Figures of the word error rate: against parameters, and against the cost of training."""

from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

from espnet_ext.files import atomic
from espnet_ext.report.palette import Palette
from espnet_ext.report.results import Results
from espnet_ext.report.system import System

_DOTS_PER_INCH = 120
_INTERVAL = "bars: 95 % interval"
SIZE_LABEL = "parameters (millions, log scale)"
COST_LABEL = "training, own and share of EncRL (s, log scale)"


def millions(system: System) -> float | None:
    """Returns a model's parameters in millions."""
    return system.parameters / 1e6 if system.parameters else None


def cost_sec(system: System) -> float | None:
    """Returns the seconds of a model's training, its own and its share of EncRL."""
    return system.mean(lambda run: run.total_sec)


def plot_parameters(results: Results, path: Path) -> bool:
    """Draws WER against parameters: a panel per test set, a grey line per start (or points alone for rows of a file).

    Returns:
        Whether there was anything to draw; otherwise no file is written.
    """
    return _plot(results, millions, SIZE_LABEL, path, lines=results.by_start)


def plot_cost(results: Results, path: Path) -> bool:
    """Draws WER against the seconds of training (own plus the share of EncRL): a panel per test set.

    Returns:
        Whether there was anything to draw; otherwise no file is written.
    """
    return _plot(results, cost_sec, COST_LABEL, path, lines=False)


def drawable(results: Results, position: Callable[[System], float | None]) -> list[System]:
    """Returns the rows that have a position and a WER on some set."""
    return [system for system in results.systems if position(system)
            and any(system.rate(name, "wer") is not None for name in results.test_sets)]  # fmt: skip


def _plot(results: Results, position: Callable[[System], float | None], label: str, path: Path, lines: bool) -> bool:
    """Draws WER with its interval against `position`."""
    systems, palette = drawable(results, position), Palette(results)
    if not systems:
        return False
    places = side_by_side({system.label: position(system) for system in systems})
    figure, grid = plt.subplots(
        1, len(results.test_sets), figsize=(1 + 4.6 * len(results.test_sets), 4.4), squeeze=False
    )
    for panel, name in zip(grid[0], results.test_sets, strict=True):
        comparison = results.comparisons[name, "wer"]
        scored = [(system, estimate) for system in systems
                  if (estimate := comparison.estimate(system.label)) is not None]  # fmt: skip
        for series in dict.fromkeys(results.series(system) for system, _ in scored) if lines else []:
            points = sorted((places[system.label], estimate.value) for system, estimate in scored
                            if results.series(system) == series)  # fmt: skip
            panel.plot(*zip(*points, strict=True), color="0.7", linewidth=1.2, zorder=1)
        for system, estimate in scored:
            below = max(0.0, estimate.value - _or(estimate.low, estimate.value))
            above = max(0.0, _or(estimate.high, estimate.value) - estimate.value)
            look = palette.of(system)
            panel.errorbar(places[system.label], estimate.value, yerr=[[below], [above]], color=look.colour,
                           marker=look.marker, markersize=6, capsize=3, linewidth=1.2)  # fmt: skip
        panel.set_xscale("log")
        panel.margins(x=0.15, y=0.12)
        panel.set_ylim(bottom=0)
        panel.set(title=name, xlabel=label, ylabel="word error rate (%)")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
    figure.suptitle(results.title)
    # Below all panels: labels of rows are long, and nothing is printed over a point.
    figure.legend(handles=_legend(results, systems, palette), loc="upper center", bbox_to_anchor=(0.5, 0), fontsize=8,
                  title=_INTERVAL, title_fontsize=8, ncols=4 if results.by_start else 1)  # fmt: skip
    write_figure(figure, path)
    return True


def _legend(results: Results, systems: list[System], palette: Palette) -> list[Line2D]:
    def handle(label: str, colour: str, marker: str) -> Line2D:
        return Line2D([], [], linestyle="none", label=label, color=colour, marker=marker, markersize=6)

    if not results.by_start:
        return [handle(system.label, palette.of(system).colour, palette.of(system).marker) for system in systems]
    models = {system.model: palette.of(system).colour for system in systems}
    starts = {f"start: {results.series(system)}": palette.of(system).marker for system in systems}
    return [
        *(handle(model, colour, "s") for model, colour in models.items()),
        *(handle(start, "0.4", marker) for start, marker in starts.items()),
    ]


def side_by_side(positions: dict[str, float]) -> dict[str, float]:
    """Moves points of one position a little apart, so that no interval hides another."""
    step = max(1.01, (max(positions.values()) / min(positions.values())) ** 0.02)
    equal: dict[float, list[str]] = {}
    for label, position in positions.items():
        equal.setdefault(position, []).append(label)
    return {
        label: position * step ** (place - (len(labels) - 1) / 2)
        for position, labels in equal.items()
        for place, label in enumerate(labels)
    }


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def write_figure(figure: Figure, path: Path) -> None:
    """Writes a figure that appears complete or not at all, in the format of the file's suffix.

    Its texts are plain: a dollar sign in a name begins no formula. Labels of ticks are formulas on logarithmic axes.
    """
    axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    ticks = {label for axis in axes for label in axis.get_ticklabels(which="both")}
    for text in figure.findobj(Text):
        text.set_parse_math(text in ticks)
    figure.tight_layout()
    with atomic(path) as temporary:
        figure.savefig(
            temporary, dpi=_DOTS_PER_INCH, format=path.suffix.removeprefix(".") or "png", bbox_inches="tight"
        )
    plt.close(figure)
