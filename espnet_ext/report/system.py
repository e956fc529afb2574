"""One row of the report: a model, trained once or with several seeds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from espnet_ext.errors import UserError
from espnet_ext.report.collect import Experiment, collect
from espnet_ext.report.scores import KINDS, Score


@dataclass
class System:
    """One row. `cells` name it in the first columns, `label` (unique) everywhere else.

    Attributes:
        label: Unique name.
        cells: First cells of its row in every table.
        runs: The same model, trained and decoded with several seeds (mostly one).
        compare_to: Label of the system it is compared with.
        published: Error rates of a paper in percent, by the name of ITS test set; never compared with ours.
        note: Free text for the notes.
    """

    label: str
    cells: tuple[str, ...]
    runs: list[Experiment]
    compare_to: str | None = None
    published: dict[str, float] = field(default_factory=dict)
    note: str | None = None

    def scores(self, test_set: str, kind: str) -> list[Score]:
        """Returns the scores of the seeds that were scored."""
        return [score for run in self.runs if (score := run.scores[test_set][kind]) is not None]

    def rate(self, test_set: str, kind: str) -> float | None:
        """Returns the error rate in percent, the mean over seeds."""
        return mean(score.wer for score in self.scores(test_set, kind))

    def first(self, value: Callable[[Experiment], object]) -> object | None:
        """Returns a value that all seeds share, from the first seed that knows it."""
        return next((found for run in self.runs if (found := value(run)) is not None), None)

    def mean(self, value: Callable[[Experiment], float | None]) -> float | None:
        """Returns the mean of a value over the seeds that know it."""
        return mean(value(run) for run in self.runs)

    @property
    def parameters(self) -> int | None:
        """Trainable parameters."""
        return self.first(lambda run: run.size.parameters)

    @property
    def start(self) -> str:
        """What the training began with, by `lineage.yaml`; `-` where not known."""
        return self.runs[0].lineage.start if self.runs else "-"

    @property
    def model(self) -> str:
        """Name of the model, by `lineage.yaml`."""
        return self.runs[0].lineage.model if self.runs else "-"


def mean(values: Iterable[float | None]) -> float | None:
    """Returns the mean of the known values, None where there is none."""
    known = [value for value in values if value is not None]
    if len(known) == 1:
        return known[0]  # a count stays a whole number
    return sum(known) / len(known) if known else None


def systems_of(exp_dirs: Iterable[Path], inference_tag: str, test_sets: list[str]) -> list[System]:
    """Reads experiment directories, a row each; each is compared with the same model from scratch if that is unique.

    Args:
        exp_dirs: Directories of teacher and finetuned students.
        inference_tag: Directory of the decoding results in each of them.
        test_sets: Names of the sets.

    Returns:
        Largest first, so that rows of one size stand together; the given order within a size.

    Raises:
        UserError: A directory does not exist, or a file in it cannot be understood.
    """
    systems = []
    for exp_dir in dict.fromkeys(exp_dirs):
        if not exp_dir.is_dir():
            raise UserError(f"--exp_dirs: {exp_dir} does not exist; train this model (stage 11) or leave it out")
        run = collect(exp_dir / inference_tag, test_sets)
        cells = (run.lineage.model, run.lineage.start)
        label = cells[0] if cells[0] == cells[1] else " ".join(cells)
        if any(other.label == label for other in systems):
            label = f"{label} ({exp_dir.name})"
        systems.append(System(label, cells, [run]))
    for system in systems:
        scratch = [other for other in systems if other.model == system.model and other.start == "scratch"]
        if system.start != "scratch" and len(scratch) == 1:
            system.compare_to = scratch[0].label
    return sorted(systems, key=lambda system: -(system.parameters or 0))


def check_comparable(systems: list[System], test_sets: list[str]) -> None:
    """Checks that all models were scored on the same utterances and reference words.

    Where a score file has no counts per utterance, the totals are compared.

    Raises:
        UserError: Two were not; the message names the first utterance that differs.
    """
    for name in test_sets:
        for kind in KINDS:
            scored = [(run.decode_dir, score) for system in systems for run in system.runs
                      if (score := run.scores[name][kind]) is not None]  # fmt: skip
            # Compared with the first one that has utterances, so that one old file does not hide a difference.
            scored.sort(key=lambda item: item[1].utterances is None)
            for other_dir, other in scored[1:]:
                first_dir, first = scored[0]
                if (difference := _difference(first, other)) is not None:
                    raise UserError(
                        f"test set {name} ({kind.upper()}): {first_dir} and {other_dir} were not scored on the same "
                        f"sentences: {difference}; decode and score both again (stages 12-13)"
                    )


def _difference(first: Score, other: Score) -> str | None:
    if first.utterances is not None and other.utterances is not None:
        for name, utterance in first.utterances.items():
            if name not in other.utterances:
                return f"utterance {name} is only in the first"
            if (words := other.utterances[name].words) != utterance.words:
                return f"the reference of utterance {name} has length {utterance.words} in one, {words} in the other"
        new = next((name for name in other.utterances if name not in first.utterances), None)
        return None if new is None else f"utterance {new} is only in the second"
    if (first.sentences, first.words) != (other.sentences, other.words):
        return (
            f"{first.sentences} with a reference length of {first.words} in the first, {other.sentences} with "
            f"{other.words} in the second"
        )
    return None
