"""What the charts of the HTML page show, as data for its script."""

import math
from collections.abc import Callable
from typing import Any

from espnet_ext.report.curves import PHASES, Panel, panels_of
from espnet_ext.report.palette import Palette
from espnet_ext.report.plot import COST_LABEL, SIZE_LABEL, cost_sec, drawable, millions, side_by_side
from espnet_ext.report.results import Results
from espnet_ext.report.system import System
from espnet_ext.report.table import number, rate_cell, seconds


def scatter_charts(results: Results) -> list[dict[str, Any]]:
    """Returns WER against parameters and against the cost of training, a chart per test set."""
    charts = []
    for title, position, label, lines in (
        ("WER against size", millions, SIZE_LABEL, results.by_start),
        ("WER against training cost", cost_sec, COST_LABEL, False),
    ):
        charts += [_scatter(results, name, title, position, label, lines) for name in results.test_sets]
    return [chart for chart in charts if chart["series"]]


def curve_charts(results: Results) -> list[dict[str, Any]]:
    """Returns the losses of every epoch, a chart per statistic."""
    return [_curves(panel) for panel in panels_of(results)]


def _scatter(
    results: Results, test_set: str, title: str, position: Callable[[System], float | None], label: str, lines: bool
) -> dict[str, Any]:
    palette = Palette(results)
    systems = [system for system in drawable(results, position) if system.rate(test_set, "wer") is not None]
    places = side_by_side({system.label: position(system) for system in systems}) if systems else {}
    series: dict[str, dict[str, Any]] = {}
    for system in systems:
        look, estimate = palette.of(system), results.comparisons[test_set, "wer"].estimate(system.label)
        one = series.setdefault(results.series(system), {"marker": look.web_marker, "points": []})
        point = {"x": places[system.label], "y": estimate.value, "colour": look.colour, "name": system.label}
        point |= {"yMin": estimate.low, "yMax": estimate.high} if estimate.low is not None else {}
        point["tag"] = system.model if results.by_start else ""
        point["facts"] = [
            f"WER {rate_cell(results, system, test_set, 'wer')} %",
            f"{number(millions(system), '.3f')} M parameters",
            f"training {seconds(cost_sec(system))} s",
        ]
        one["points"].append(point)
    for one in series.values():
        one["points"].sort(key=lambda point: point["x"])
    return {
        "kind": "scatter", "title": f"{title}: {test_set}", "x": label, "y": "word error rate (%)", "lines": lines,
        "series": [{"label": f"start: {name}" if results.by_start else name} | one for name, one in series.items()],
    }  # fmt: skip


def _curves(panel: Panel) -> dict[str, Any]:
    series = []
    for label, runs in panel.curves.items():
        for key, training in runs:
            for phase in PHASES:
                values = [(epoch.epoch, epoch.get(phase, key)) for epoch in training.history]
                points = [{"x": epoch, "y": value} for epoch, value in values if math.isfinite(value)]
                if points:
                    series.append({"label": f"{label}, {phase}", "colour": panel.looks[label].colour,
                                   "marker": panel.looks[label].web_marker, "dashed": phase == "train",
                                   "points": points})  # fmt: skip
    return {"kind": "curves", "title": panel.title, "x": "epoch", "y": panel.unit, "series": series}
