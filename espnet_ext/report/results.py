"""All that a report shows, computed once for Markdown, CSV, HTML and figures."""

from dataclasses import dataclass, field

from espnet_ext.report.compare import Comparison
from espnet_ext.report.system import System, check_comparable
from espnet_ext.score.results import KINDS


@dataclass
class Results:
    """The systems with the comparisons between them.

    Attributes:
        title: Heading.
        systems: The rows, in their order.
        test_sets: Names of the sets.
        decoding: How the sets were decoded, for the caption.
        by_start: The rows are experiment directories, named by model and start, and compared with the same model from
            scratch. Otherwise they come from a file and have labels.
        comparisons: By (test set, kind).
    """

    title: str
    systems: list[System]
    test_sets: list[str]
    decoding: str
    by_start: bool
    comparisons: dict[tuple[str, str], Comparison] = field(init=False)

    def __post_init__(self):
        check_comparable(self.systems, self.test_sets)
        self.comparisons = {
            (name, kind): Comparison(self.systems, name, kind) for name in self.test_sets for kind in KINDS
        }

    @property
    def name_columns(self) -> list[str]:
        """Headings of the columns that name a row."""
        return ["model", "start"] if self.by_start else ["system"]

    def series(self, system: System) -> str:
        """Returns the line of a figure a system belongs to: models of one start, or every row its own."""
        if not self.by_start:
            return system.label
        if system.start.startswith("teacher") and system.model != "teacher":
            return f"layers of the {system.cells[1]}"
        return system.cells[1]

    def teacher_of(self, system: System) -> str | None:
        """Returns the label of the row a model is held against: its own teacher, or the only one of the report."""
        teachers = {other.label: {run.exp_dir.resolve() for run in other.runs}
                    for other in self.systems if other.model == "teacher" or self._taught(other)}  # fmt: skip
        own = {run.lineage.teacher.exp_dir.resolve() for run in system.runs if run.lineage.teacher}
        found = [label for label, exp_dirs in teachers.items() if own & exp_dirs] or list(teachers)
        return found[0] if len(found) == 1 and found != [system.label] else None

    def _taught(self, system: System) -> bool:
        exp_dirs = {run.exp_dir.resolve() for run in system.runs}
        runs = [run for other in self.systems for run in other.runs if run.lineage.teacher]
        return any(run.lineage.teacher.exp_dir.resolve() in exp_dirs for run in runs)

    @property
    def published_sets(self) -> list[str]:
        """Returns the paper's test sets, in the order they are named."""
        return list(dict.fromkeys(name for system in self.systems for name in system.published))
