"""The command `encrl VERB ...`, also `python3 -m espnet_ext VERB ...`: one module a verb, imported when asked for."""

import sys
from importlib import import_module
from types import ModuleType

from espnet_ext.errors import UserError, did_you_mean, run_main

VERBS = {
    "run": "Runs a recipe, in the directory of the recipe; ./run.sh does that.",
    "experiments": "Runs tables of experiments through a recipe, and reports them.",
    "check": "Checks data directories, a corpus, or a teacher.",
    "cache": "Stores a teacher's outputs on disk, so that EncRL runs no teacher.",
    "label": "Lets a teacher transcribe a set without text, and leaves out what is likely wrong.",
    "derive": "Makes a model of another one: of its layers, pruned, of EncRL, or its tokens alone.",
    "decode": "Decodes data sets with a CTC model; chooses the scores of beam search.",
    "score": "Counts the errors of decoded sets, by sclite or jiwer.",
    "report": "Compares scored models: tables and figures.",
    "progress": "Shows the epochs of a training, also while it runs.",
    "export": "Writes a model as ONNX files, and checks them against ESPnet.",
    "demo": "Writes a page that runs exported files in a browser.",
    "transcribe": "Transcribes audio files with an exported file or an ESPnet model.",
    "publish": "Uploads a packed model with a model card to the Hugging Face Hub.",
}


def main() -> None:
    """Runs the verb of the command line."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print("Usage: encrl VERB [options]\n\nVerbs (encrl VERB --help says more):")
        print("\n".join(f"    {verb:<12} {text}" for verb, text in VERBS.items()))
        return
    run_main(lambda: module_of(words[0]).main(words[1:]))


def module_of(verb: str) -> ModuleType:
    """Returns the module of a verb; its `main` takes the words after the verb.

    Raises:
        UserError: there is no such verb.
    """
    if verb not in VERBS:
        raise UserError(f"there is no verb '{verb}'; {did_you_mean(verb, VERBS)}")
    return import_module(f"espnet_ext.cli.{verb}")
