"""The command: `python3 -m espnet_ext VERB ...`, one module a verb, imported when it is asked for."""

import sys
from importlib import import_module

from espnet_ext.errors import UserError, did_you_mean, run_main

VERBS = {
    "run": "Runs a recipe, in the recipe's directory (./run.sh does that).",
    "experiments": "Runs tables of experiments, and reports them.",
}


def main() -> None:
    """Runs the verb of the command line."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print("Usage: python3 -m espnet_ext VERB [options]; VERB --help says more.\n")
        print("\n".join(f"    {verb:<12} {text}" for verb, text in VERBS.items()))
        return
    run_main(lambda: _verb(words[0]).main(words[1:]))


def _verb(name: str):
    if name not in VERBS:
        raise UserError(f"there is no verb '{name}'; {did_you_mean(name, VERBS)}")
    return import_module(f"espnet_ext.cli.{name}")
