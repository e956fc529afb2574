"""Paths of this machine in what is published: user names and folders that nobody else has or should see."""

import re
from pathlib import Path

_WORD = r"[^\s/:,;'\"()\[\]<>|`]+"
# At least two parts, so that `/` and `/o/` (a phone) stay; not within an address, a relative path or `#!/usr/bin/env`.
_ABSOLUTE = re.compile(rf"(?<![\w.~:/!-])/(?:{_WORD}/)+(?:{_WORD})?")


def public_path(path: str | Path, root: Path | None = None) -> str:
    """Returns a path as others may see it: from the recipe directory on, only its last part if it is elsewhere.

    Args:
        path: of a file or folder, which need not exist.
        root: the recipe directory; the current one if it is None.
    """
    root = (root or Path.cwd()).absolute()
    path = Path(path)
    if not path.is_absolute() and ".." not in path.parts:
        return str(path)
    for one in ((root / path), (root / path).resolve()):
        for base in (root, root.resolve()):
            if ".." not in one.parts and one.is_relative_to(base) and one != base:
                return str(one.relative_to(base))
    return path.resolve().name


def without_local_paths(text: str, root: Path | None = None) -> str:
    """Returns a text whose absolute paths are replaced by their `public_path`.

    Args:
        text: of any kind.
        root: as in `public_path`.
    """
    root = (root or Path.cwd()).absolute()
    for folder in {str(root), str(root.resolve())} - {"/"}:
        text = text.replace(f"{folder}/", "")  # also where a blank in it would end the path below
    return _ABSOLUTE.sub(lambda found: public_path(found[0], root), text)


def local_folders(root: Path | None = None) -> list[str]:
    """Returns the folders that no published file may name: the recipe's and the user's own.

    Args:
        root: as in `public_path`.
    """
    root = (root or Path.cwd()).absolute()
    folders = {str(root), str(root.resolve()), str(Path.home()), str(Path.home().resolve())}
    return sorted(f"{folder}/" for folder in folders - {"/"})
