"""Chooses a recipe by `--corpus NAME` and hands all other options to its run.sh. Needs the standard library only."""

import os
import sys
from pathlib import Path

from espnet_ext.errors import UserError, did_you_mean, run_main

DEFAULT = "mini_digits"
EGS = Path("egs2")


def choose(words: list[str]) -> tuple[str, list[str]]:
    """Returns the name of the corpus and the other words.

    Raises:
        UserError: there is no such recipe.
    """
    recipes, corpus, others = recipes_here(), DEFAULT, []
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "--corpus" and not words:
            raise UserError(f"--corpus needs a name: {', '.join(recipes)}")
        if word == "--corpus":
            corpus = words.pop(0)
        elif word.startswith("--corpus="):
            corpus = word.removeprefix("--corpus=")
        else:
            others.append(word)
    if corpus not in recipes:
        # The same name but for the separator or a missing part
        plain = corpus.replace("-", "").replace("_", "")
        near = next((name for name in recipes if plain and plain in name.replace("_", "")), None)
        said = f"did you mean '{near}'?" if near else did_you_mean(corpus, recipes)
        raise UserError(
            f"--corpus {corpus}: there is no egs2/{corpus}/encrl1/run.sh; {said} Choose one of: {' '.join(recipes)}"
        )
    return corpus, others


def recipes_here() -> dict[str, str]:
    """Returns what the second line of each recipe's run.sh says of it, by corpus."""
    paths = sorted(EGS.glob("*/encrl1/run.sh"))
    return {path.parts[1]: path.read_text(encoding="utf-8").splitlines()[1].lstrip("# ") for path in paths}


def main() -> None:
    """Hands over to the recipe."""
    corpus, words = choose(sys.argv[1:])
    if {"--help", "-h"} & set(words):
        print("Usage: ./run.sh [--corpus NAME] [options of the recipe]\n\nCorpora (default: mini_digits):")
        for name, text in recipes_here().items():
            print(f"    {name:<18} {text}")
        print(f"\nOptions of {corpus}:", flush=True)
        words = ["--help"]
    os.chdir(EGS / corpus / "encrl1")
    os.execv("./run.sh", ["./run.sh", *words])


if __name__ == "__main__":
    run_main(main)
