"""The tables of the report, as text cells; `markdown.py` and `html_page.py` lay them out."""

from dataclasses import dataclass

from espnet_ext.report.compare import Estimate
from espnet_ext.report.results import Results
from espnet_ext.report.system import System, mean
from espnet_ext.score.results import KINDS

PUBLISHED = "published"  # heading of what others measured; the layouts emphasise it


@dataclass
class Table:
    """Plain text in each cell. The first `names` columns hold names, the others numbers."""

    head: list[str]
    rows: list[list[str]]
    names: int


def main_table(results: Results) -> Table:
    """Returns size, speed, WER, the comparisons of every row, and the cost of its training, what a user asks first."""
    seeds = any(len(system.runs) > 1 for system in results.systems)
    compared = any(system.compare_to for system in results.systems) and not results.by_start
    exported = any(system.first(lambda run: run.exported_bytes) for system in results.systems)
    taught = any(results.teacher_of(system) for system in results.systems)
    head = [*results.name_columns, "MB", *(["MB int8"] if exported else []), "RTF"]
    for name in results.test_sets:
        suffix = f" {name}" if len(results.test_sets) > 1 else ""
        head.append(f"WER {name} (%)")
        head += [f"seeds {name}"] if seeds else []
        head += [f"vs teacher{suffix}"] if taught else []
        head += [f"vs scratch{suffix}"] if results.by_start else []
        head += [f"difference {name} (points)"] if compared else []
    head += ["compared to"] if compared else []
    head += [*(["layers"] if results.by_start else []), "params (M)", "MMACs/s", "training (s)"]
    head += [PUBLISHED] if results.published_sets else []
    rows = []
    for system in results.systems:
        row = [*system.cells, _mega(system.first(lambda run: run.size.bytes), ".2f")]
        row += [_mega(system.first(lambda run: run.exported_bytes), ".2f")] if exported else []
        row.append(number(system.mean(lambda run: run.rtf), ".4f"))
        for name in results.test_sets:
            row.append(rate_cell(results, system, name, "wer"))
            row += [_range(system, name)] if seeds else []
            teacher = results.teacher_of(system)
            row += [_difference_cell(results, system, name, "wer", teacher, with_interval=False)] if taught else []
            row += [_relative_cell(results, system, name)] if results.by_start else []
            row += (
                [_difference_cell(results, system, name, "wer", system.compare_to, with_interval=False)]
                if compared
                else []
            )
        row += [system.compare_to or "-"] if compared else []
        row += [number(system.first(lambda run: run.size.layers), "d")] if results.by_start else []
        row += [_mega(system.parameters, ".3f"), _mega(system.first(lambda run: run.size.macs_per_sec), ".1f")]
        row.append(seconds(system.mean(lambda run: run.total_sec)))
        if results.published_sets:
            row.append(" / ".join(number(system.published.get(name), "g") for name in results.published_sets))
        rows.append(row)
    return Table(head, rows, len(results.name_columns))


def error_table(results: Results, test_set: str) -> Table:
    """Returns sclite's row (Corr, Sub, Del, Ins, Err, S.Err) and the CER of every model scored on one test set."""
    head = [*results.name_columns, "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err [95 %]", "S.Err", "CER [95 %]"]
    rows = []
    for system in results.systems:
        scores = system.scores(test_set, "wer")
        if not scores:
            continue
        row = [*system.cells, str(scores[0].sentences), str(scores[0].words)]
        for part in ("correct", "substitutions", "deletions", "insertions"):
            row.append(number(mean(score.percent(getattr(score, part)) for score in scores), ".2f"))
        row.append(rate_cell(results, system, test_set, "wer"))
        row.append(number(mean(100 * score.sentence_errors / score.sentences for score in scores), ".2f"))
        row.append(rate_cell(results, system, test_set, "cer"))
        rows.append(row)
    return Table(head, rows, len(results.name_columns))


def difference_table(results: Results, test_set: str) -> Table:
    """Returns the difference of every model to the one it is compared with: WER and CER, interval and p-value."""
    head = [*results.name_columns, "compared to"]
    head += [f"{kind.upper()} difference (points)" for kind in KINDS]
    rows = []
    for system in results.systems:
        cells = [_difference_cell(results, system, test_set, kind, system.compare_to) for kind in KINDS]
        if cells != ["-"] * len(KINDS):
            rows.append([*system.cells, system.compare_to, *cells])
    return Table(head, rows, len(results.name_columns) + 1)


def pairwise_table(results: Results, test_set: str, kind: str) -> Table:
    """Returns the p-values of all pairs; above the diagonal, as the matrix is symmetric."""
    comparison = results.comparisons[test_set, kind]
    systems = [system for system in results.systems if comparison.estimate(system.label) is not None]
    labels = [system.label for system in systems]
    rows = []
    for place, label in enumerate(labels[:-1]):
        pairs = [comparison.difference(label, other) for other in labels[place + 1 :]]
        cells = ["-" if pair is None or pair.p is None else p_text(pair.p) for pair in pairs]
        rows.append([label, *[""] * place, *cells])
    return Table(["p-value", *labels[1:]], rows, 1)


def cost_table(results: Results) -> Table:
    """Returns what each stage cost. The teacher is shown once and is in no sum."""
    head = [*results.name_columns, "seeds", "own epochs", "own (s)", "EncRL epochs", "EncRL share (s)",
            "own + share (s)", "of it EncRL", "teacher, not added (s)"]  # fmt: skip
    rows = []
    shown: set[frozenset] = set()
    for system in results.systems:
        share, total = system.mean(lambda run: run.encrl_share_sec), system.mean(lambda run: run.total_sec)
        trained = sum(run.total_sec is not None for run in system.runs)
        row = [*system.cells, str(trained) if trained == len(system.runs) else f"{trained} of {len(system.runs)}"]
        row.append(number(system.mean(lambda run: run.own_epochs), "g"))
        row.append(seconds(system.mean(lambda run: run.own_sec)))
        row.append(number(system.mean(lambda run: run.encrl_epochs), "g"))
        row += [seconds(share), seconds(total)]
        row.append(f"{100 * share / total:.0f} %" if share is not None and total else "-")
        teachers = frozenset(run.lineage.teacher.exp_dir for run in system.runs if run.lineage.teacher)
        row.append("same" if teachers in shown else seconds(system.mean(lambda run: run.teacher_sec)))
        shown |= {teachers} if teachers else set()
        rows.append(row)
    return Table(head, rows, len(results.name_columns))


def rate_cell(results: Results, system: System, test_set: str, kind: str) -> str:
    """Returns e.g. `15.23 [13.9, 16.6]`."""
    estimate = results.comparisons[test_set, kind].estimate(system.label)
    if estimate is None:
        return "-"
    jiwer = any(score.tool == "jiwer" for score in system.scores(test_set, kind))
    return f"{estimate.value:.2f}{_interval(estimate, '.1f')}" + (" (jiwer)" if jiwer else "")


def p_text(p: float) -> str:
    """Returns e.g. `0.031` or `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def number(value: float | None, style: str) -> str:
    """Formats a value, `-` where it is not known."""
    return "-" if value is None else format(value, style)


def seconds(value: float | None) -> str:
    """Formats seconds."""
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _interval(estimate: Estimate, style: str) -> str:
    return "" if estimate.low is None else f" [{estimate.low:{style}}, {estimate.high:{style}}]"


def _p(estimate: Estimate) -> str:
    if estimate.p is None:
        return ""
    text = p_text(estimate.p)
    return f" (p{text})" if text.startswith("<") else f" (p={text})"


def _mega(value: float | None, style: str) -> str:
    return number(None if value is None else value / 1e6, style)


def _difference_cell(
    results: Results, system: System, test_set: str, kind: str, base: str | None, with_interval: bool = True
) -> str:
    difference = results.comparisons[test_set, kind].difference(system.label, base)
    if difference is None:
        return "-"
    return f"{difference.value:+.2f}{_interval(difference, '+.1f') if with_interval else ''}{_p(difference)}"


def _relative_cell(results: Results, system: System, test_set: str) -> str:
    comparison = results.comparisons[test_set, "wer"]
    relative = comparison.relative(system.label, system.compare_to)
    if relative is None:
        return "-"
    return f"{relative:+.1f} %{_p(comparison.difference(system.label, system.compare_to))}"


def _range(system: System, test_set: str) -> str:
    rates = [score.wer for score in system.scores(test_set, "wer")]
    return f"{min(rates):.2f} to {max(rates):.2f} ({len(rates)})" if len(rates) > 1 else "-"
