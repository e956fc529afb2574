"""Which finished experiment serves, and what a checkpoint's hash is."""

from pathlib import Path

from espnet_ext.files import file_sha256
from espnet_ext.recipe.names import Names
from espnet_ext.record import Record


def find_encrl(names: Names) -> Path:
    """Returns the EncRL training of the run: its own, or a finished one of more students, which serves as well."""
    if not names.options.students or names.encrl_exp.is_dir():
        return names.encrl_exp
    serving = (record.directory for record in Record.all(names.expdir, "*") if _serves(record, names))
    return next(serving, names.encrl_exp)


def encrl_of(names: Names, exp_dir: Path, encrl_exp: Path) -> Path:
    """Returns the EncRL training that a student's experiment is of.

    One that was trained after EncRL with other students beside it, on which it does not depend, is kept.
    """
    record = Record.read(exp_dir)
    if record is not None and (exp_dir / "checkpoint.pth").is_file() and (before := record.content.get("encrl")):
        parent = Record.read(Path(before))
        if parent is not None and parent.content.get("family") == names.family and parent.is_finished:
            return Path(before)
    return encrl_exp


def _serves(record: Record, names: Names) -> bool:
    if record.content["kind"] != "encrl" or record.content.get("family") != names.family or not record.is_finished:
        return False
    return set(names.options.students) <= set(record.made_of["config"]["students"])


def checkpoint_digest(path: Path) -> str:
    """Returns the hash of a checkpoint, from the record beside it where that is of the present file."""
    record = Record.read(path.parent)
    known = (record.content.get("outputs") or {}).get(path.name) if record is not None else None
    status = path.stat()
    if known and (known["bytes"], known["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
        return known["sha256"]
    return file_sha256(path)
