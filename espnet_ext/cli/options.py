"""What the command lines of all verbs share. Needs the standard library only: --help works at once."""

import argparse
import math
from collections.abc import Sequence
from typing import Any, NoReturn

from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.teachers.source import HELP

TEACHER = f"family:location. {HELP}"
MODEL = "an experiment directory, a checkpoint, a packed zip or a model-zoo tag"
AUDIO_FORMAT = "Format of the audio of a set that has no file audio_format: wav, flac, wav.ark or flac.ark"


class Parser(argparse.ArgumentParser):
    """Reads the words of a verb. What is wrong with them is a `UserError`: one line, as for all other errors.

    Args:
        **kwargs: of `argparse.ArgumentParser`.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs, formatter_class=_Formatter, allow_abbrev=False)

    def actions(self) -> "argparse._SubParsersAction[Parser]":
        """Returns what adds the parsers of a verb whose first word, `action`, says what to do."""
        return self.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)

    def error(self, message: str) -> NoReturn:
        """Raises what argparse finds as a `UserError`."""
        raise UserError(f"{message.removeprefix('argument ')} ({self.prog} --help says more)")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Names the nearest option of an unknown one, before anything else that is wrong or missing."""
        for word in args or () if self._subparsers is None else ():
            name = word.split("=")[0]
            if word.startswith("--") and name not in self._option_string_actions:
                known = [option for option in self._option_string_actions if option.startswith("--")]
                self.error(f"unknown option {name}; {did_you_mean(name, known)}")
        return super().parse_known_args(args, namespace)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows the default of each option that has one, unless its help tells it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        said, default = action.help or "", action.default
        if action.nargs == 0 or default in (None, "", [], argparse.SUPPRESS) or "default" in said:
            return said
        shown = default if isinstance(default, list | tuple) else [default]
        return f"{said} (default: {' '.join(str(one).lower() if isinstance(one, bool) else str(one) for one in shown)})"


def number(word: str) -> float:
    """Reads a finite number. With `nan` every comparison is false, so a limit of that would be none."""
    try:
        found = float(word)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise argparse.ArgumentTypeError(f"takes a finite number, not '{word}'")
    return found


def boolean(word: str) -> bool:
    """Reads `true` or `false`, as all options of the recipe spell it."""
    if word.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"takes true or false, not '{word}'")
    return word.lower() == "true"


def add_flag(parser: argparse.ArgumentParser, name: str, help: str, default: bool = False) -> None:
    """Adds an option that takes true or false."""
    parser.add_argument(name, type=boolean, default=default, metavar="{true,false}", help=help)


def parse_with_config(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Reads words for a parser that has the option --config: a YAML file whose values the other options overwrite.

    Raises:
        UserError: the file cannot be read, or holds an unknown key.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    if path := first.parse_known_args(words)[0].config:
        from espnet_ext.config import check_keys, option_names, read_config

        config = read_config(path)
        check_keys(config, option_names(parser), path)
        parser.set_defaults(**config)
    return parser.parse_args(words)
