"""One row of the report: a model, trained once or with several seeds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from espnet_ext.errors import UserError
from espnet_ext.report.collect import Experiment, collect
from espnet_ext.score.results import KINDS, Score


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
        """What the training began with, by `run.json`; `-` where not known."""
        return self.runs[0].lineage.start if self.runs else "-"

    @property
    def model(self) -> str:
        """Name of the model, by `run.json`."""
        return self.runs[0].lineage.model if self.runs else "-"


def mean(values: Iterable[float | None]) -> float | None:
    """Returns the mean of the known values, None where there is none."""
    known = [value for value in values if value is not None]
    if len(known) == 1:
        return known[0]  # a count stays a whole number
    return sum(known) / len(known) if known else None


def systems_of(decode_dirs: Iterable[Path], test_sets: list[str]) -> list[System]:
    """Reads decoded experiments, a row each; each is compared with the same model from scratch if that is unique.

    Args:
        decode_dirs: Directories of the decoding results, in the experiment directories of teacher and students.
        test_sets: Names of the sets.

    Returns:
        Largest first, so that rows of one size stand together; the given order within a size. A row is named by model
        and start; where that is not enough, by what differs between the rows.

    Raises:
        UserError: A directory does not exist, or a file in it cannot be understood.
    """
    systems: list[System] = []
    for decode_dir in dict.fromkeys(decode_dirs):
        exp_dir = decode_dir.parent
        if not exp_dir.is_dir():
            raise UserError(f"--exp_dirs: {exp_dir} does not exist; train this model (stage 11) or leave it out")
        run = collect(decode_dir, test_sets)
        systems.append(System("", (run.lineage.model, run.lineage.start), [run]))
    tags = {_decoding(system) for system in systems}
    for system in systems:
        alike = [other for other in systems if other.cells == system.cells]
        said = _differences(system, alike)
        said += [_decoding(system)] if len(tags) > 1 and len({_decoding(other) for other in alike}) > 1 else []
        system.label = " ".join(dict.fromkeys(system.cells)) + (f" ({', '.join(said)})" if said else "")
    for system in systems:
        if sum(other.label == system.label for other in systems) > 1:
            system.label += f" ({system.runs[0].exp_dir.name})"
        system.cells = (system.model, system.label.removeprefix(system.model).strip() or system.start)
    for system in systems:
        scratch = [other for other in systems if other.model == system.model and other.start == "scratch"]
        if len(scratch) > 1:
            scratch = [other for other in scratch if _decoding(other) == _decoding(system)]
        if system.start != "scratch" and len(scratch) == 1:
            system.compare_to = scratch[0].label
    return sorted(systems, key=lambda system: -(system.parameters or 0))


def _decoding(system: System) -> str:
    return system.runs[0].decode_dir.name.partition("_asr_model_")[0]


def _differences(system: System, alike: list[System]) -> list[str]:
    """Returns the options by which a system differs from those of the same model and start."""
    own = system.runs[0].lineage.differs
    others = [other.runs[0].lineage.differs for other in alike]
    varied = [key for key in dict.fromkeys(key for one in others for key in one)
              if len({one.get(key) for one in others}) > 1]  # fmt: skip
    return [
        own[key] if key.endswith("_args") else f"{key.removesuffix('_config')} {own[key]}"
        for key in varied
        if key in own
    ]


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
