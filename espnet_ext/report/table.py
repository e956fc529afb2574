"""The comparison table: Markdown, terminal and CSV."""

import csv
import io
import platform
from importlib.metadata import version

from espnet_ext.report.collect import Experiment
from espnet_ext.report.scores import Score

_SCLITE_COLUMNS = ["Corr", "Sub", "Del", "Ins", "Err", "S.Err"]


def relative_to_scratch(experiment: Experiment, experiments: list[Experiment], test_set: str) -> float | None:
    """Returns 100 * (WER - WER of the same model from scratch) / WER of the same model from scratch, in percent.

    None for the model from scratch itself, and where one of the two scores or a unique counterpart is missing.
    """
    scratch = [other for other in experiments if other.model == experiment.model and other.start == "scratch"]
    if experiment.start == "scratch" or len(scratch) != 1:
        return None
    own, base = experiment.scores[test_set], scratch[0].scores[test_set]
    if own is None or base is None or base.wer == 0:
        return None
    return 100 * (own.wer - base.wer) / base.wer


def comparison(experiments: list[Experiment], test_sets: list[str]) -> str:
    """Returns the main table in Markdown, padded so that it reads as well in a terminal."""
    head = ["model", "start", "layers", "params (M)", "epochs", "EncRL epochs", "training (s)", "of it EncRL (s)"]
    for name in test_sets:
        head += [f"WER {name} (%)", "vs scratch (%)"]
    rows = []
    for run in experiments:
        row = [run.model, run.start, _number(run.layers, "d")]
        row.append(_number(None if run.parameters is None else run.parameters / 1e6, ".3f"))
        row.append(str(len(run.training.history) or "-"))
        row.append(str(len(run.encrl.history)) if run.encrl else "-")
        row.append(_seconds(run.total_sec) if run.total_sec else "-")
        share = run.encrl_share_sec
        row.append(f"{_seconds(share)} ({100 * share / run.total_sec:.0f} %)" if run.encrl and run.total_sec else "-")
        for name in test_sets:
            row += [_wer(run.scores[name]), _number(relative_to_scratch(run, experiments, name), "+.1f")]
        rows.append(row)
    return _markdown(head, rows)


def sclite_rows(experiments: list[Experiment], test_set: str) -> str:
    """Returns sclite's row of every model that was scored on one test set."""
    head = ["model", "start", "Snt", "Wrd", *_SCLITE_COLUMNS]
    rows = []
    for run in experiments:
        if (score := run.scores[test_set]) is not None:
            counts = [str(score.sentences), str(score.words)]
            rows.append([run.model, run.start, *counts, *(f"{value:.2f}" for value in score.rows())])
    return _markdown(head, rows) if rows else "Not scored yet."


def notes(experiments: list[Experiment], test_sets: list[str]) -> list[str]:
    """Returns what a reader must know about the numbers, and the reason of every missing one."""
    lines = [
        "start: what the training began with: scratch = random values, encrl = a student aligned with the teacher, "
        "teacher = layers copied from the teacher (the teacher itself: random values).",
        "vs scratch: 100 * (WER - WER of the same model trained from scratch) / the latter; negative = fewer errors.",
        "training: seconds of the trainer (training and validation of all epochs); the teacher's training is in its "
        "own row only.",
    ]
    for encrl in {run.encrl.exp_dir: run.encrl for run in experiments if run.encrl}.values():
        count = len(encrl.students)
        lines.append(
            f"EncRL of {', '.join(encrl.students)} ({encrl.exp_dir.name}) took {_seconds(encrl.seconds)} s together; "
            f"each is charged {_seconds(encrl.seconds / count)} s."
        )
    if any(score and score.tool == "jiwer" for run in experiments for score in run.scores.values()):
        lines.append(
            "(jiwer): scored by jiwer because sclite was not there; alignments, and so WERs, can differ slightly."
        )
    for run in experiments:
        lines += [f"{run.exp_dir.name}: {note}." for note in run.notes]
    return lines


def environment() -> list[str]:
    """Returns the versions that the numbers depend on."""
    packages = [f"{name} {version(name)}" for name in ("espnet", "torch", "torchaudio")]
    return [f"python {platform.python_version()}", *packages, f"{platform.system()} {platform.machine()}"]


def to_markdown(
    experiments: list[Experiment], test_sets: list[str], title: str, decoding: str, plots: list[tuple[str, str]]
) -> str:
    """Returns the whole RESULTS.md.

    Args:
        experiments: The rows, in their order.
        test_sets: Names of the sets.
        title: Heading.
        decoding: How the sets were decoded, for the caption.
        plots: (title, path relative to RESULTS.md) of the figures.
    """
    parts = [f"# {title}", comparison(experiments, test_sets), decoding]
    parts.append("\n".join(f"- {line}" for line in notes(experiments, test_sets)))
    parts += [f"![{name}]({path})" for name, path in plots]
    parts += [f"## {name}: percent of words, by kind\n\n{sclite_rows(experiments, name)}" for name in test_sets]
    parts.append("## Environment\n\n" + "\n".join(f"- {line}" for line in environment()))
    return "\n\n".join(parts) + "\n"


def to_csv(experiments: list[Experiment], test_sets: list[str]) -> str:
    """Returns the unrounded values, one line per model and test set; empty where not known."""
    head = ["model", "start", "exp_dir", "layers", "parameters", "epochs", "encrl_epochs", "training_sec",
            "encrl_share_sec", "encrl_whole_sec", "test_set", "tool", "sentences", "words", "correct",
            "substitutions", "deletions", "insertions", "sentence_errors", "wer_percent",
            "relative_to_scratch_percent"]  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for run in experiments:
        encrl = (len(run.encrl.history), run.encrl.seconds) if run.encrl else (None, None)
        cost = [len(run.training.history), encrl[0], run.total_sec, run.encrl_share_sec, encrl[1]]
        for name in test_sets:
            score = run.scores[name]
            counts = [None] * 9
            if score is not None:
                counts = [score.tool, score.sentences, score.words, score.correct, score.substitutions,
                          score.deletions, score.insertions, score.sentence_errors, score.wer]  # fmt: skip
            relative = relative_to_scratch(run, experiments, name)
            size = [run.layers, run.parameters]
            writer.writerow([run.model, run.start, run.exp_dir, *size, *cost, name, *counts, relative])
    return out.getvalue()


def _wer(score: Score | None) -> str:
    if score is None:
        return "-"
    return f"{score.wer:.2f}" + (" (jiwer)" if score.tool == "jiwer" else "")


def _seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    """Pads the columns; names to the left, numbers to the right."""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        names = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
        return f"| {' | '.join(names + numbers)} |"

    rule = [f":{'-' * (width - 1)}" for width in widths[:2]] + [f"{'-' * (width - 1)}:" for width in widths[2:]]
    return "\n".join([line(head), f"| {' | '.join(rule)} |", *map(line, rows)])
