"""The unrounded values as CSV; empty where not known."""

import csv
import io
from itertools import combinations
from typing import Any

from espnet_ext.local_paths import public_path
from espnet_ext.report.compare import Estimate
from espnet_ext.report.results import Results
from espnet_ext.report.system import System, mean
from espnet_ext.score.results import KINDS


def systems_csv(results: Results) -> str:
    """Returns one line per system and test set. Means over seeds; `_sec` are seconds."""
    lines = []
    for system in results.systems:
        for name in results.test_sets:
            lines.append(_cost(system) | _score(results, system, name) | _published(results, system))
    return _write(lines)


def pairwise_csv(results: Results) -> str:
    """Returns one line per test set, kind of error rate and pair of systems; difference = first - second, in points."""
    lines = []
    for (name, kind), comparison in results.comparisons.items():
        for first, second in combinations([system.label for system in results.systems], 2):
            difference = comparison.difference(first, second)
            lines.append(
                {"test_set": name, "kind": kind, "first": first, "second": second}
                | _estimate("difference", difference)
                | {"p_value": difference.p if difference else None}
            )
    return _write(lines)


def _cost(system: System) -> dict[str, Any]:
    return {
        "system": system.label,
        "model": system.model,
        "start": system.start,
        "exp_dirs": " ".join(public_path(run.exp_dir) for run in system.runs),
        "seeds": len(system.runs),
        "layers": system.first(lambda run: run.size.layers),
        "parameters": system.parameters,
        "macs_per_sec": system.first(lambda run: run.size.macs_per_sec),
        "epochs": system.mean(lambda run: run.own_epochs),
        "encrl_epochs": system.mean(lambda run: run.encrl_epochs),
        "own_sec": system.mean(lambda run: run.own_sec),
        "encrl_share_sec": system.mean(lambda run: run.encrl_share_sec),
        "encrl_whole_sec": system.mean(lambda run: run.lineage.encrl.seconds if run.lineage.encrl else None),
        "training_sec": system.mean(lambda run: run.total_sec),
        "teacher_sec": system.mean(lambda run: run.teacher_sec),
        "training_with_teacher_sec": system.mean(lambda run: run.total_with_teacher_sec),
    }


def _score(results: Results, system: System, test_set: str) -> dict[str, Any]:
    scores = system.scores(test_set, "wer")
    comparison = results.comparisons[test_set, "wer"]
    cells: dict[str, Any] = {"test_set": test_set, "tool": " ".join(sorted({score.tool for score in scores}))}
    cells["seeds_scored"] = len(scores)
    for part in ("sentences", "words", "correct", "substitutions", "deletions", "insertions", "sentence_errors"):
        cells[part] = mean(getattr(score, part) for score in scores)
    for kind in KINDS:
        rates = [score.wer for score in system.scores(test_set, kind)]
        cells |= _estimate(kind, results.comparisons[test_set, kind].estimate(system.label))
        cells |= {f"{kind}_seed_min": min(rates, default=None), f"{kind}_seed_max": max(rates, default=None)}
    cells["resampled"] = f"{comparison.units} {comparison.unit}" if comparison.units else None
    cells["compared_to"] = system.compare_to
    cells["relative_difference_percent"] = comparison.relative(system.label, system.compare_to)
    for kind in KINDS:
        difference = results.comparisons[test_set, kind].difference(system.label, system.compare_to)
        cells |= _estimate(f"{kind}_difference", difference)
        cells[f"{kind}_p_value"] = difference.p if difference else None
    return cells


def _estimate(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    value, low, high = (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)
    unit = "points" if name.endswith("difference") else "percent"
    return {f"{name}_{unit}": value, f"{name}_low": low, f"{name}_high": high}


def _published(results: Results, system: System) -> dict[str, float | None]:
    return {f"published {name}": system.published.get(name) for name in results.published_sets}


def _write(lines: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    if lines:
        writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return out.getvalue()
