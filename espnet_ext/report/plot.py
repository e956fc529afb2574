"""Figures of the word error rate: against parameters, and against the cost of training."""

from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

from espnet_ext.files import atomic
from espnet_ext.report.results import Results
from espnet_ext.report.system import System

# Okabe and Ito's palette (jfly.uni-koeln.de/color) is safe for colour-blind readers; markers repeat the distinction.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "*"]
_DOTS_PER_INCH = 120
_INTERVAL = "bars: 95 % interval"


def style(number: int) -> dict[str, str]:
    """Returns colour and marker of a series; the first 49 differ."""
    turn, place = divmod(number, len(_COLOURS))
    return {"color": _COLOURS[place], "marker": _MARKERS[(place + turn) % len(_MARKERS)]}


def plot_parameters(results: Results, path: Path) -> bool:
    """Draws WER against parameters: a panel per test set, a line per start (or a point per row of a file).

    Returns:
        Whether there was anything to draw; otherwise no file is written.
    """

    def millions(system: System) -> float | None:
        return system.parameters / 1e6 if system.parameters else None

    panels = _panels(results, millions, "model and its parameters (millions, log scale)", lines=results.by_start)
    if panels is None:
        return False
    sizes: dict[float, list[str]] = {}  # the models of every size name the ticks
    for system in results.systems:
        if (size := millions(system)) is not None:
            names = sizes.setdefault(size, [])
            name = system.model.replace("$", r"\$")  # no formula; the figure's other texts: `write_figure`
            names += [name] if results.by_start and name not in names else []
    for panel in panels:
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xticks(list(sizes), ["\n".join([*([", ".join(names)] if names else []), f"{size:.3g}"])
                                       for size, names in sizes.items()])  # fmt: skip
    write_figure(panels[0].figure, path)
    return True


def plot_cost(results: Results, path: Path) -> bool:
    """Draws WER against the seconds of training (own plus the share of EncRL): a panel per test set.

    Returns:
        Whether there was anything to draw; otherwise no file is written.
    """

    def cost(system: System) -> float | None:
        return system.mean(lambda run: run.total_sec)

    panels = _panels(
        results, cost, "training with the share of EncRL, without the teacher's (s, log scale)", lines=False
    )
    if panels is None:
        return False
    for panel, name in zip(panels, results.test_sets, strict=True):
        for system in results.systems if results.by_start else []:
            if cost(system) and (rate := system.rate(name, "wer")) is not None:
                top = _or(results.comparisons[name, "wer"].estimate(system.label).high, rate)
                # Upright, as models of one start often cost nearly the same.
                panel.annotate(system.model, (cost(system), top), xytext=(0, 5), textcoords="offset points",
                               rotation=90, ha="center", va="bottom", fontsize=7)  # fmt: skip
        panel.margins(y=0.2)
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
    write_figure(panels[0].figure, path)
    return True


def _panels(results: Results, position: Callable[[System], float | None], label: str, lines: bool) -> list[Axes] | None:
    """Draws WER with its interval against `position`; None when there is no point."""
    systems = [system for system in results.systems if position(system)]
    systems = [system for system in systems if any(system.rate(name, "wer") is not None for name in results.test_sets)]
    if not systems:
        return None
    series = list(dict.fromkeys(map(results.series, systems)))
    places = _side_by_side({system.label: position(system) for system in systems})
    figure, grid = plt.subplots(
        1, len(results.test_sets), figsize=(1 + 4.6 * len(results.test_sets), 4.4), squeeze=False
    )
    panels = list(grid[0])
    for panel, name in zip(panels, results.test_sets, strict=True):
        comparison = results.comparisons[name, "wer"]
        for number, title in enumerate(series):
            points = {places[system.label]: estimate for system in systems if results.series(system) == title
                      and (estimate := comparison.estimate(system.label)) is not None}  # fmt: skip
            points = dict(sorted(points.items(), key=lambda point: point[0]))
            below = [max(0.0, point.value - _or(point.low, point.value)) for point in points.values()]
            above = [max(0.0, _or(point.high, point.value) - point.value) for point in points.values()]
            panel.errorbar(
                list(points), [point.value for point in points.values()], yerr=[below, above], label=title,
                **style(number), linestyle="-" if lines else "none", markersize=6, capsize=3, linewidth=1.2,
            )  # fmt: skip
        panel.set_xscale("log")
        panel.margins(x=0.15, y=0.12)
        panel.set_ylim(bottom=0)
        panel.set(title=name, xlabel=label, ylabel="word error rate (%)")
        panel.grid(alpha=0.3)
    figure.suptitle(results.title)
    if results.by_start:
        panels[0].legend(title=f"start ({_INTERVAL})", fontsize=8, title_fontsize=8)
    else:  # the labels of a file's rows are long, so below all panels
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), title=_INTERVAL, fontsize=8, title_fontsize=8
        )
    return panels


def _side_by_side(positions: dict[str, float]) -> dict[str, float]:
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
