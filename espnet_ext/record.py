"""`run.json`: what an experiment is, what it was made of, whether it is finished. This module alone writes it.

    {"kind": "student", "model": "e6", "init": "encrl", "state": "finished",
     "made_of": {"config": {...}, "arguments": "...", "inputs": {"training text": "3f2a..."}, "parents": {...}},
     "outputs": {"valid.cer_ctc.ave.pth": {"bytes": 1, "mtime_ns": 2, "sha256": "..."}},
     "code": "0.1.0", "command": "...", "started": "...", "ended": "...", "seconds": 12.3,
     "cost": {"forward": 4.5, ...}}

`made_of` alone is compared: an experiment that is made of the same is kept or goes on, another one is named with the
difference. The other keys are for readers.
"""

import hashlib
import json
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from espnet_ext.errors import UserError
from espnet_ext.files import atomic, file_sha256

RECORD = "run.json"
# Keys of a configuration that may change while a training goes on: of any other it would be another experiment.
MAY_CHANGE = ("max_epoch", "patience", "num_workers", "log_interval", "keep_nbest_models", "use_tensorboard")


@dataclass
class Record:
    """The content of one `run.json`, which `write` puts to disk.

    Attributes:
        directory: it belongs to.
        content: as above.
    """

    directory: Path
    content: dict[str, Any] = field(default_factory=dict)
    _clock: float = field(default_factory=time.monotonic, repr=False)

    @classmethod
    def read(cls, directory: Path) -> "Record | None":
        """Reads a record; None where there is none.

        Raises:
            UserError: it cannot be understood.
        """
        path = directory / RECORD
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or not {"kind", "state", "made_of"} <= content.keys():
                raise ValueError("it lacks kind, state or made_of")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} is not as it was written: {error}; put the file back, or delete it and run again"
            ) from error
        return cls(directory, content)

    @classmethod
    def all(cls, expdir: Path, *patterns: str) -> "Iterator[Record]":
        """Yields the records in a directory of experiments; a file of that name that is none may be another program's.

        Args:
            expdir: the directory.
            *patterns: of the directories in it.
        """
        for path in sorted(path for pattern in patterns for path in expdir.glob(f"{pattern}/{RECORD}")):
            try:
                record = cls.read(path.parent)
            except UserError:
                continue
            if record is not None:
                yield record

    @classmethod
    def begin(cls, directory: Path, kind: str, made_of: Mapping[str, Any], **about: Any) -> "Record":
        """Writes that something is being made."""
        before = next(cls.all(directory, "."), None)
        spent = before.seconds if before is not None and not before.changes(made_of) else 0.0
        content = {"kind": kind, **about, "state": "begun", "made_of": plain(made_of), "outputs": {}}
        content |= {"code": _code_version(), "command": shlex.join(sys.argv), "host": socket.gethostname()}
        content |= {"started": datetime.now().isoformat(timespec="seconds"), "ended": None, "seconds": spent}
        record = cls(directory, content)
        record.write()
        return record

    def finish(self, outputs: Iterable[str] = (), state: str = "finished", **about: Any) -> None:
        """Writes that it is made.

        Args:
            outputs: files in the directory whose content is checked from now on.
            state: how it ended.
            about: further keys.
        """
        self.content |= plain(about) | {"state": state, "ended": datetime.now().isoformat(timespec="seconds")}
        self.content["seconds"] = round(self.seconds + time.monotonic() - self._clock, 3)
        self.content["outputs"] = {name: stamp(self.directory / name) for name in outputs}
        self.write()

    def write(self) -> None:
        """Puts it to disk; a file that exists is whole."""
        with atomic(self.directory / RECORD) as temporary:
            temporary.write_text(json.dumps(self.content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @property
    def is_finished(self) -> bool:
        """Whether it is made, and each file is still as it was written."""
        return self.content["state"] == "finished" and not self.damaged()

    def damaged(self) -> list[str]:
        """Returns the files that are not as they were written."""
        outputs = self.content.get("outputs") or {}
        return [name for name, before in outputs.items() if not _is_same(self.directory / name, before)]

    @property
    def made_of(self) -> dict[str, Any]:
        """What it was made of."""
        return self.content["made_of"]

    @property
    def seconds(self) -> float:
        """What it took, all runs together."""
        return float(self.content.get("seconds") or 0.0)

    def changes(self, made_of: Mapping[str, Any]) -> list[str]:
        """Returns what differs from what it was made of, in words; [] for the same."""
        return differences(self.made_of, plain(made_of))


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """Returns the paths of the values that differ between two JSON values, `optim_conf.lr: 0.1, now 0.2`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = list(dict.fromkeys([*before, *now]))
        return [
            line
            for key in keys
            for line in differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
        ]
    if before == now:
        return []
    if all(isinstance(value, str) and len(value) == 64 for value in (before, now)):
        return [where]  # hashes
    shown = ["none" if value is None else str(value)[:60] for value in (before, now)]
    return [f"{where}: {shown[0]}, now {shown[1]}"]


def forbidden(changes: Iterable[str]) -> list[str]:
    """Returns the changes with which a training cannot go on."""
    return [change for change in changes if change.removeprefix("config.").split(":")[0] not in MAY_CHANGE]


def plain(value: Any) -> Any:
    """Returns a value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def stamp(path: Path) -> dict[str, Any]:
    """Returns size, time and hash of a file, to know it again by."""
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": file_sha256(path)}


def _is_same(path: Path, before: Mapping[str, Any]) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    if (status.st_size, status.st_mtime_ns) == (before["bytes"], before["mtime_ns"]):
        return True
    return status.st_size == before["bytes"] and stamp(path)["sha256"] == before["sha256"]


@cache
def _code_version() -> str:
    """Returns the version of the package and a digest of its code, which changes between versions too."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    try:
        return f"{version('espnet-encrl')}+{digest.hexdigest()[:8]}"
    except PackageNotFoundError:
        return f"unknown+{digest.hexdigest()[:8]}"
