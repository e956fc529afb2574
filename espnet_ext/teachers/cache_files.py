"""The files of a teacher cache as they were written: a cache with a file that is not so any more is of no use."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from espnet_ext.files import file_sha256

UNKNOWN = "-"


def file_state(path: str | os.PathLike) -> str:
    """Returns what changes whenever somebody writes to a file, or `UNKNOWN` where there is no such file.

    The time of the last change of the inode is among it: unlike the others, no program can set it back.
    """
    try:
        stat = os.stat(path)
    except OSError:
        return UNKNOWN
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


@dataclass(frozen=True)
class StoredFile:
    """A file as it was written.

    Attributes:
        num_bytes: its size.
        sha256: hash of what it held.
        state: `file_state` when the hash was taken; while that stays, the file is not read again.
    """

    num_bytes: int
    sha256: str
    state: str

    @classmethod
    def of(cls, path: Path) -> "StoredFile":
        """Describes a file that was just written, after bringing it to the disk: it survives a loss of power."""
        with path.open("rb") as file:
            os.fsync(file.fileno())
        state = file_state(path)
        return cls(path.stat().st_size, file_sha256(path), state)


def stored_files(paths: Iterable[Path]) -> dict[str, StoredFile]:
    """Describes some files by their names."""
    return {path.name: StoredFile.of(path) for path in paths}


def check_files(directory: Path, files: Mapping[str, StoredFile]) -> tuple[dict[str, str], dict[str, StoredFile]]:
    """Compares files with what was written.

    A file is read only where its state differs (copied, touched, damaged).

    Args:
        directory: where they are.
        files: by their names.

    Returns:
        What is wrong with a file, by its name; and the files with their present states.
    """
    wrong, present = {}, {}
    for name, stored in files.items():
        path, state = directory / name, file_state(directory / name)
        present[name] = replace(stored, state=state)
        if state == UNKNOWN:
            wrong[name] = "is gone"
        elif (size := path.stat().st_size) != stored.num_bytes:
            wrong[name] = f"has {size} bytes and had {stored.num_bytes}"
        elif state != stored.state and file_sha256(path) != stored.sha256:
            wrong[name] = "holds something else than was written"
    return wrong, present
