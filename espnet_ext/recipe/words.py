"""The words of a command line: what a recipe's run.sh and asr.sh know, and what --help shows. Standard library only."""

import re
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from espnet_ext.conf_dirs import REPOSITORY
from espnet_ext.errors import UserError
from espnet_ext.recipe.options import MANAGED, Options, Words

STAGES = """\
Stages (asr.sh's numbers):
    1-5    data preparation, speed perturbation, formatting, filtering, token list
    6-9    language model and n-gram; skipped unless --use_lm / --use_ngram true
    10     statistics, once for teacher and students
    11     training: teacher (unless --teacher names one or no student needs it), EncRL of all students, CTC finetuning
    12-13  decoding and scoring of every model; comparison tables (--results)
    14     packing (--skip_packing false), ONNX export and a page to try (--skip_export false) of every student
    15     upload of every student with a model card (--skip_upload_hf false --hf_repo user/name --hf_license NAME)
What is finished is kept, what is half done goes on. What no longer matches is named: see --on_change.
"""


def espnet_file(name: str) -> Path:
    """Returns a script of the recipe, the current directory; before path.sh has linked it, ESPnet's."""
    return Path(name) if Path(name).is_file() else REPOSITORY / "tools/espnet/egs2/TEMPLATE/asr1" / name


def read_asr_names(asr_sh: Path) -> list[str]:
    """Returns the names of the options of asr.sh; none where it is not installed yet."""
    if not asr_sh.is_file():
        return []
    names, inside = [], False
    for line in asr_sh.read_text(encoding="utf-8").splitlines():
        inside = (inside or line.startswith("# General configuration")) and not line.startswith("help_message")
        if inside and (match := re.match(r"([a-z_0-9]+)=", line)):
            names.append(match[1])
    return names


def recipe_words(run_sh: Path) -> list[str]:
    """Returns the options that a recipe's run.sh gives before the user's.

    Raises:
        UserError: it gives them to something else.
    """
    _, found, rest = run_sh.read_text(encoding="utf-8").replace("\\\n", " ").partition("espnet_ext run")
    words = shlex.split(rest.splitlines()[0] if found else "")
    if not words or words[-1] != "$@":
        raise UserError(f'{run_sh} must end in: python3 -m espnet_ext run --name value ... "$@"')
    return words[:-1]


def help_text(recipe_words: Sequence[str], asr_names: Sequence[str]) -> str:
    """Returns what --help prints.

    Args:
        recipe_words: what the recipe's run.sh gives before the user's options.
        asr_names: names of the options of asr.sh.
    """
    lines = [f"This recipe sets: {shlex.join(recipe_words)}\n"] if recipe_words else []
    lines += ["Usage: ./run.sh [--name value ...]\n", STAGES, "Options:"]
    own = [item for item in fields(Options) if item.name != "asr"]
    for item in own:
        if item.metadata["group"]:
            lines.append(f"\n  {item.metadata['group']}")
        default = " ".join(item.default) if item.type is Words else str(item.default).replace("True", "true")
        shown = default.replace("False", "false") if "(default" not in item.metadata["help"] else ""
        said = item.metadata["help"] + (f" (default: {shown})" if shown else "")
        wrapped = textwrap.wrap(said, 92)
        lines.append(f"    --{item.name:<22} {wrapped[0]}")
        lines += [" " * 29 + line for line in wrapped[1:]]
    others = [f"--{name}" for name in asr_names if name not in {item.name for item in own} and name not in MANAGED]
    lines += ["\nEvery other option of asr.sh is passed on to it:"]
    lines += textwrap.wrap(
        " ".join(others), 110, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    return "\n".join(lines)
