"""Files that appear whole or not at all, are what they seem, and directories that one process writes at a time."""

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from espnet_ext.errors import UserError

_POINTER = b"version https://git-lfs.github.com/spec/"


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary path in the same directory, and renames what was written there to `path` at the end.

    The temporary name is drawn at random, so that it is nobody else's.

    Example:
        with atomic(exp_dir / "model.pth") as temporary:
            torch.save(state, temporary)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def file_sha256(path: str | os.PathLike) -> str:
    """Returns the hash of what a file holds, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_not_pointer(path: Path) -> None:
    """Checks that a file is not one of the short texts that git-lfs leaves until the files themselves are fetched.

    Raises:
        UserError: it is.
    """
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise UserError(
                f"{path} is a git-lfs pointer, not the file itself; fetch it with: git lfs pull "
                "(in the repository that it was cloned from)"
            )


@contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Waits until no other process holds the lock of this file, then holds it; a process that dies lets it go.

    A lock is an empty file. It is made where there is none, and stays.

    Raises:
        UserError: something else of that name is there; it is left as it is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Without O_TRUNC: whatever is there belongs to somebody. O_NONBLOCK: a pipe must not stop us here.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except IsADirectoryError as error:
        raise UserError(f"{path} is a directory, but a lock file must be made there; move it away") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size:
            raise UserError(f"{path} is no lock file of this program (those are empty); move it away")
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
