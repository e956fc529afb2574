"""Reads `conf/experiments/*.yaml`: each file is a table, each row a system of it.

Keys of a row, all but `label` optional:

- `label`: unique in the file.
- `students`: what `run.sh --students` gets; none where the row is the teacher. Rows with the same students and options
  share one run.
- `model`: which of the students the row shows; default: the only one, or the teacher.
- `options`: options of `run.sh`. `{conf}` stands for the variant's directory of configurations, `{NAME}` for a
  parameter of the corpus.
- `teacher`: label of the row whose model is the teacher of this one (default: the teacher that `run.sh` trains).
- `prune`: {amount, modules}: the teacher is pruned first (`encrl derive pruned`).
- `compare_to`: label of the row that the report compares with.
- `published`: the paper's numbers, e.g. {LibriSpeech test-clean: 5.60}.
- `note`: free text for the report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espnet_ext.config import check_keys, read_config
from espnet_ext.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Row:
    """One system of a table; the module's documentation describes the fields."""

    label: str
    students: str = ""
    model: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    teacher: str = ""
    prune: Mapping[str, Any] = field(default_factory=dict)
    compare_to: str = ""
    published: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A named list of rows."""

    name: str
    title: str
    rows: Sequence[Row]

    def row(self, label: str) -> Row:
        """Returns the row of that label."""
        return next(row for row in self.rows if row.label == label)


def read_tables(directory: Path) -> dict[str, Table]:
    """Reads every table of a directory, by the names of the files.

    Raises:
        UserError: No table there, or one that is not as the module's documentation says.
    """
    tables = {path.stem: _read_table(path) for path in sorted(directory.glob("*.yaml"))}
    if not tables:
        raise UserError(f"{directory} holds no experiment (*.yaml); give --matrix another directory")
    return tables


def choose(tables: Mapping[str, Table], names: Sequence[str]) -> list[Table]:
    """Returns the tables of some names, in their order; `all` stands for every one.

    Raises:
        UserError: There is no such experiment.
    """
    for name in names:
        if name != "all" and name not in tables:
            raise UserError(f"experiment '{name}' does not exist; {did_you_mean(name, tables)} (or all)")
    return list(tables.values()) if "all" in names else [tables[name] for name in dict.fromkeys(names)]


def _read_table(path: Path) -> Table:
    config = read_config(path)
    check_keys(config, ("title", "rows"), path)
    entries = config.get("rows")
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: rows must be a list of {{label, students, options, ...}}")
    rows = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}: row {number}"
        if not isinstance(entry, Mapping) or not entry.get("label"):
            raise UserError(f"{where} must be a mapping with a label")
        check_keys(entry, Row.__dataclass_fields__, where)
        rows.append(_checked(Row(**entry), where))
    labels = [row.label for row in rows]
    for row in rows:
        where = f"{path}: {row.label}"
        if labels.count(row.label) > 1:
            raise UserError(f"{where}: the label is used twice")
        for key in ("teacher", "compare_to"):
            label = getattr(row, key)
            if label and (label not in labels or label == row.label):
                raise UserError(f"{where}: {key} must be the label of another row; {did_you_mean(label, labels)}")
    return Table(path.stem, str(config.get("title", path.stem)), rows)


def _checked(row: Row, where: str) -> Row:
    names = row.students.split()
    model = row.model or (names[0] if len(names) == 1 else "" if names else "teacher")
    if model not in [*names, "teacher"]:
        raise UserError(f"{where} ({row.label}): model must be one of {', '.join(names)}, or teacher")
    if row.prune:
        check_keys(row.prune, ("amount", "modules"), f"{where} ({row.label}): prune")
    options = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in row.options.items()}
    return Row(**{**vars(row), "model": model, "options": options})
