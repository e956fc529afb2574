"""Directories that this program makes and may therefore replace: a marker tells them from those of a user."""

import os
import shutil
import tempfile
from pathlib import Path

from espnet_ext.errors import UserError

MARKER = ".made_by_espnet_ext"


def check_ours(directory: Path, marker: str = MARKER) -> None:
    """Checks that a directory may be deleted: there is none, it is empty, or it carries the marker.

    Args:
        directory: what is going to be replaced.
        marker: name of a file in it.

    Raises:
        UserError: it holds what this program has not made.
    """
    if not os.path.lexists(directory):
        return
    if directory.is_symlink() or not directory.is_dir():
        raise UserError(f"{directory} is no directory of this program, so it is not replaced; move it away")
    if not (directory / marker).is_file() and any(directory.iterdir()):
        raise UserError(
            f"{directory} holds files that this program has not made ({marker} is not in it), so it is not replaced; "
            "move it away, or name another place"
        )


def renew(directory: Path) -> None:
    """Makes an empty directory with the marker, in place of one that this program made before.

    Raises:
        UserError: see `check_ours`.
    """
    check_ours(directory)
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / MARKER).touch()


def make_beside(target: Path) -> Path:
    """Makes a hidden directory with the marker beside `target`, and removes those of interrupted calls."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    (made / MARKER).touch()
    made.chmod(0o755)  # mkdtemp makes it private
    return made


def remove_leftovers(target: Path) -> None:
    """Removes what `make_beside` made for `target`; a user's directory of such a name has no marker and stays."""
    for path in target.parent.iterdir():
        if path.name.startswith(f".{target.name}.") and (path / MARKER).is_file():
            shutil.rmtree(path)


def move_into_place(made: Path, target: Path) -> None:
    """Renames a directory to `target`, and deletes what was there; the caller has checked that it may."""
    if not target.exists():
        os.replace(made, target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    (old / MARKER).touch()
    os.replace(target, old / target.name)
    try:
        os.replace(made, target)
    except OSError:
        os.replace(old / target.name, target)
        shutil.rmtree(old)
        raise
    shutil.rmtree(old)
