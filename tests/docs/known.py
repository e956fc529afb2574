"""What commands may be called with: the parsers of the verbs, of the recipe's options, and of programs of this tree."""

import argparse
import contextlib
import importlib
import io
import re
from functools import cache
from pathlib import Path

from espnet_ext.cli import VERBS
from espnet_ext.errors import UserError
from espnet_ext.recipe.options import MANAGED, Options
from espnet_ext.recipe.words import read_asr_names, recipe_words
from tests.docs.commands import REPO

DEFAULT_CORPUS = "mini_digits"
OWN_CORPUS = "mycorpus"  # of "Add a corpus"; it begins as a copy of this one:
COPIED_CORPUS = "librispeech_100"
TEMPLATE = REPO / "tools/espnet/egs2/TEMPLATE/asr1"


class WrongCommandError(Exception):
    """A command that a document shows cannot be; the message says why."""


def check_recipe(words: list[str], corpus: str) -> None:
    """Parses the options of a recipe.

    Raises:
        WrongCommandError: with what the recipe would say.
    """
    if "--help" in words:
        return
    # Whether the file of this option exists is asked elsewhere: another command of the document may write it.
    words = ["--inference_args" if word == "--inference_config" else word for word in words]
    try:
        run_sh = REPO / "egs2" / (COPIED_CORPUS if corpus == OWN_CORPUS else corpus) / "encrl1/run.sh"
        if not run_sh.is_file():
            raise UserError(f"there is no recipe {corpus}")
        Options.parse([*recipe_words(run_sh), *words], read_asr_names(TEMPLATE / "asr.sh"))
    except UserError as error:
        raise WrongCommandError(str(error)) from error


def check_python(words: list[str], abridged: bool) -> None:
    """Parses what follows `python3`: `-m module ...`, or a program of this tree and its options.

    Raises:
        WrongCommandError: with what it would say.
    """
    if words[0] != "-m":
        check_options_of_source(Path(words[0]), words[1:])
    elif words[1] == "espnet_ext":
        check_verb(words[2:], abridged)
    elif words[1].startswith("espnet_ext.") and (parser := _parser_of(words[1])):
        check_parser(parser, words[2:], abridged)
    elif words[1].startswith("espnet_ext.") and (unknown := _options(words) - all_option_names()):
        raise WrongCommandError(f"unknown option {', '.join(sorted(unknown))}")


def check_verb(words: list[str], abridged: bool) -> None:
    """Parses what follows `encrl`.

    Raises:
        WrongCommandError: with what it would say.
    """
    if not words or words[0] in ("--help", "VERB"):
        return
    if words[0] not in VERBS:
        raise WrongCommandError(f"there is no verb {words[0]}")
    if words[0] == "run":
        check_recipe(words[1:], DEFAULT_CORPUS)
    else:
        own = words[1 : words.index("--")] if "--" in words else words[1:]
        check_parser(_parser_of(f"espnet_ext.cli.{words[0]}"), own, abridged)
        if "--" in words:
            check_recipe(words[words.index("--") + 1 :], DEFAULT_CORPUS)


def check_parser(parser: argparse.ArgumentParser, words: list[str], abridged: bool) -> None:
    """Parses words; of an abridged command only the names of the options are looked at.

    Raises:
        WrongCommandError: with what the parser says.
    """
    if "--help" in words:
        return
    if abridged:
        if unknown := _options(words) - option_names(parser):
            raise WrongCommandError(f"unknown option {', '.join(sorted(unknown))}")
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser.parse_args(words)
    except UserError as error:
        raise WrongCommandError(str(error)) from error
    except SystemExit as error:
        raise WrongCommandError(said.getvalue().strip().splitlines()[-1]) from error


def check_options_of_source(file: Path, words: list[str]) -> None:
    """Looks for options in the text of a program.

    Raises:
        WrongCommandError: it knows one of them not.
    """
    text = file.read_text(encoding="utf-8")
    for word in _options(words):
        if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text):
            raise WrongCommandError(f"{file.name} knows no option {word}")


@cache
def _parser_of(module: str) -> argparse.ArgumentParser | None:
    """Returns the parser of a module; None: ESPnet's parser reads what it is called with."""
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise WrongCommandError(f"there is no {module} ({error})") from error
    return loaded.get_parser() if hasattr(loaded, "get_parser") else None


def _options(words: list[str]) -> set[str]:
    return {word for word in words if word.startswith("--")}


def option_names(parser: argparse.ArgumentParser) -> set[str]:
    """Returns the options of a parser and of its sub-commands."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                found |= option_names(one)
    return found


@cache
def all_option_names() -> set[str]:
    """Returns every option of anything in this tree, of ESPnet's asr.sh, and of ESPnet's trainings."""
    found = {f"--{name}" for name in [*Options.__dataclass_fields__, *MANAGED, *read_asr_names(TEMPLATE / "asr.sh")]}
    for folder in ("espnet_ext", "benchmarks", "egs2", "tests", "tools"):
        for path in [*(REPO / folder).rglob("*.py"), *(REPO / folder).glob("*.sh"), *(REPO / folder).rglob("local/*")]:
            if path.is_file() and "espnet-" not in str(path):
                found |= _written_in(path)
    return found | _written_in(REPO / "tools/espnet/espnet2/tasks/abs_task.py")


def _written_in(file: Path) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]+", file.read_text(encoding="utf-8", errors="replace")))
