"""What pseudo-labels look like and which of them are kept. Needs the standard library only: --help works at once."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from espnet_ext.errors import UserError, did_you_mean

CASES = ("auto", "upper", "lower", "keep")


def _setting(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Settings:
    """The keys of `conf/pseudo_labels.yaml`, each an option of `encrl label` too."""

    case: str = _setting(
        "auto", "Letters of the text: upper, lower, keep (as the teacher writes) or auto (as in --like)"
    )
    cleaner: str = _setting("none", "ESPnet's text cleaner that the teacher's text passes first, e.g. whisper_basic")
    min_character_rate: float = _setting(1.0, "Fewest characters a second. A slower text lacks words")
    max_character_rate: float = _setting(30.0, "Most characters a second. Nobody speaks faster")
    max_repetitions: int = _setting(
        3, "Most times that a phrase may stand there in a row. A decoder that is lost repeats itself"
    )
    min_confidence: float = _setting(0.5, "Least confidence of the teacher, 0 to 1. 0 takes every text")
    min_agreement: float = _setting(
        0.0,
        "Least agreement of two decodings, 0 to 1: 1 minus the character error rate of a second text. Above 0 the "
        "teacher hears everything twice",
    )
    agreement_speed: float = _setting(1.1, "Speed at which the audio is played for the second text")

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UserError: one cannot be.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            wanted = (str,) if item.type is str else (int,) if item.type is int else (int, float)
            if not isinstance(value, wanted) or isinstance(value, bool):
                kind = "a word" if item.type is str else "a number"
                raise UserError(f"pseudo-labels: {item.name} takes {kind}, not '{value}'")
        if self.case not in CASES:
            raise UserError(f"pseudo-labels: case is {', '.join(CASES[:-1])} or {CASES[-1]}, not '{self.case}'")
        for name in ("min_confidence", "min_agreement"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"pseudo-labels: {name} is between 0 and 1, not {getattr(self, name)}")
        if not 0.5 <= self.agreement_speed <= 2 or self.agreement_speed == 1:
            raise UserError(
                f"pseudo-labels: agreement_speed is between 0.5 and 2 but not 1, not {self.agreement_speed}"
            )
        if self.max_repetitions < 1:
            raise UserError("pseudo-labels: max_repetitions is at least 1, as every phrase stands there once")
        if not 0 <= self.min_character_rate < self.max_character_rate:
            raise UserError("pseudo-labels: min_character_rate is at least 0 and below max_character_rate")

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Settings":
        """Takes them out of the options that `add_options` added."""
        return cls(**{item.name: getattr(args, item.name) for item in fields(cls)})

    @classmethod
    def read(cls, config: Mapping[str, Any], words: Sequence[str] = ()) -> "Settings":
        """Takes a configuration, and the words of a command line that overwrite it; other options are left out.

        Raises:
            UserError: an unknown key, or a value that cannot be.
        """
        names = [item.name for item in fields(cls)]
        if unknown := next((key for key in config if key not in names), None):
            raise UserError(f"pseudo-labels: unknown key {unknown}; {did_you_mean(unknown, names)}")
        parser = _Parser(add_help=False, allow_abbrev=False)
        add_options(parser)
        parser.set_defaults(**config)
        return cls.of(parser.parse_known_args(words)[0])

    @property
    def second_speed(self) -> float | None:
        """Speed of the second decoding; None: there is none."""
        return float(self.agreement_speed) if self.min_agreement > 0 else None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"pseudo-labels: {message}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each setting."""
    for item in fields(Settings):
        choices = CASES if item.name == "case" else None
        parser.add_argument(
            f"--{item.name}", type=item.type, default=item.default, choices=choices, help=item.metadata["help"]
        )
