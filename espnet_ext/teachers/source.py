"""What `--teacher` takes: `family:location,option=value`, or a location alone for an ESPnet ASR model.

This module is read before any work, so it imports no family.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from espnet_ext.errors import UserError, did_you_mean, require

_OPTIONS = re.compile(r"(,[a-z_]+=[^,]*)+$")
_PREFIX = re.compile(r"([A-Za-z][\w-]*):(.*)", re.DOTALL)


@dataclass(frozen=True)
class Family:
    """One family of teachers.

    Attributes:
        module: module and class that implement it, `module:Class`.
        takes: what stands after the prefix, for help texts.
        packages: that it imports and that `extra` installs.
        extra: of pyproject.toml.
        options: names that may follow the location, with what they mean.
        has_head: whether its models have a CTC output.
    """

    module: str
    takes: str
    packages: tuple[str, ...] = ()
    extra: str = ""
    options: dict[str, str] = field(default_factory=dict)
    has_head: bool = True


ESPNET = "espnet"
FAMILIES = {
    ESPNET: Family(
        "espnet_ext.teachers.espnet:EspnetTeacher",
        "experiment directory, checkpoint, packed zip or model-zoo tag of an ASR model; the prefix may be left out",
    ),
    "owsm_ctc": Family(
        "espnet_ext.teachers.owsm_ctc:OwsmCtcTeacher",
        "the same of an OWSM-CTC or POWSM-CTC model (ESPnet's task s2t_ctc)",
        options={"language": "e.g. eng; default: that of an unknown language", "task": "e.g. asr or pr"},
    ),
    "transformers": Family(
        "espnet_ext.teachers.transformers:TransformersTeacher",
        "local directory or user/name on the Hugging Face Hub",
        ("transformers",),
        "transformers",
        {"language": "adapter of an MMS model, e.g. deu; language that a Whisper model is told, e.g. de"},
    ),
    "whisper": Family(
        "espnet_ext.teachers.whisper:WhisperTeacher",
        "size such as base, file of openai-whisper (.pt), or directory of CTranslate2 as faster-whisper reads it",
        ("whisper", "faster_whisper"),
        "whisper",
        options={"language": "e.g. de; default: detected", "beam": "hypotheses of the decoder; default: 5"},
        has_head=False,
    ),
}
HELP = "; ".join(f"{name}: {family.takes}" for name, family in FAMILIES.items())


@dataclass(frozen=True)
class Source:
    """A teacher as a user names it.

    Attributes:
        family: key of `FAMILIES`.
        location: path, tag or size.
        options: of the family.
    """

    family: str
    location: str
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, more: Mapping[str, str] = MappingProxyType({})) -> "Source":
        """Reads `family:location,option=value`.

        Args:
            text: of the user.
            more: options that overwrite those in `text`.

        Raises:
            UserError: no such family or option, or no location.
        """
        prefix = None if Path(text).exists() else _PREFIX.fullmatch(text)
        name, rest = prefix.groups() if prefix else (ESPNET, text)
        if name not in FAMILIES:
            raise UserError(
                f"teacher {text}: there is no family '{name}' of teachers; {did_you_mean(name, FAMILIES)} "
                f"({', '.join(f'{known}:...' for known in FAMILIES)}); a path alone is an ESPnet ASR model"
            )
        family = FAMILIES[name]
        found = _OPTIONS.search(rest) if family.options else None
        location = rest[: found.start()] if found else rest
        given = dict(word.split("=", 1) for word in found[0][1:].split(",")) if found else {}
        options = {**given, **more}
        for option in options:
            if option not in family.options:
                valid = did_you_mean(option, family.options) if family.options else "it has none"
                raise UserError(f"teacher {text}: {name} has no option '{option}'; {valid}")
        if not location:
            raise UserError(f"teacher {text}: nothing stands after {name}: ({family.takes})")
        return cls(name, location, options)

    def file_states(self) -> dict[str, str]:
        """Returns what changes when somebody writes to a local model: size and time of each file, by name."""
        path = Path(self.location)
        files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
        stats = {file.name: file.stat() for file in files if file.is_file()}
        return {name: f"{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats.items()}

    def check_packages(self) -> None:
        """Checks that the packages of the family are installed.

        Raises:
            UserError: names what is missing and the extra that installs it.
        """
        family = FAMILIES[self.family]
        if family.packages:
            require(*family.packages, extra=family.extra)
