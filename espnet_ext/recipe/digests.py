"""What an experiment was made of, as hashes: by content; audio is read once for each size and time."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from espnet_ext.errors import UserError
from espnet_ext.files import atomic, file_sha256

Stat = tuple[int, int]  # bytes, time of the last change in ns


def digest(*values: Any) -> str:
    """Returns the hash of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def text_digest(path: Path, remedy: str = "run stages 1-5 first") -> str:
    """Returns the hash of a file.

    Raises:
        UserError: it is not there.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: {remedy}")
    return file_sha256(path)


def audio_files(scp: Path) -> Iterator[Path]:
    """Yields each file once that a Kaldi list names: by its path, with an offset (ark), or in a command."""
    seen = set()
    with scp.open(encoding="utf-8") as lines:
        for line in lines:
            for word in line.split()[1:]:
                name = word.rpartition(":")[0] if word.rpartition(":")[2].isdigit() else word
                if name not in seen and ("/" in name or "." in name):
                    seen.add(name)
                    if os.path.isfile(name):
                        yield Path(name)


def stats_of(paths: Iterable[Path]) -> dict[str, Stat]:
    """Returns size and time of files, by path."""
    return {str(path): (status.st_size, status.st_mtime_ns) for path in paths if (status := path.stat())}


class AudioDigests:
    """Hashes of the audio that lists name. Reading it all takes as long as the disk needs, so it is done once.

    Args:
        cache: a file that keeps the hash by what sizes and times were then.
    """

    def __init__(self, cache: Path):
        self.cache = cache

    def of(self, scp: Path) -> str:
        """Returns the hash of what a list names, utterances included.

        Raises:
            UserError: there is no such list.
        """
        if not scp.is_file():
            raise UserError(f"{scp} does not exist: run stages 1-5 first")
        now = digest(file_sha256(scp), stats_of(audio_files(scp)))
        known = self._read()
        if now not in known:
            known = self._read() | {now: digest(file_sha256(scp), [file_sha256(path) for path in audio_files(scp)])}
            with atomic(self.cache) as temporary:
                temporary.write_text(json.dumps(dict(list(known.items())[-200:]), indent=1), encoding="utf-8")
        return known[now]

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self.cache.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}


def source_files(scps: Iterable[Path]) -> dict[str, Stat]:
    """Returns sizes and times of a corpus, to notice what was added or corrected in it.

    That is everything around the audio that lists name: the directory that holds a set's audio, or its parent where
    that holds nothing but audio. Names that begin with a dot are left out.
    """
    roots = set()
    for scp in scps:
        audio = [path.absolute() for path in audio_files(scp)]
        if not audio:
            continue
        suffixes = {path.suffix for path in audio}
        root = Path(os.path.commonpath([path.parent for path in audio]))
        for _ in range(2):
            if root.parent == root or any(path.suffix not in suffixes for path in _walk(root)):
                break
            root = root.parent
        roots.add(root)
    outer = [root for root in roots if not any(other in root.parents for other in roots)]
    return stats_of(path for root in sorted(outer) for path in _walk(root))


def _walk(root: Path) -> Iterator[Path]:
    for directory, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (
            Path(directory, name)
            for name in sorted(files)
            if not name.startswith(".") and os.path.isfile(os.path.join(directory, name))
        )
