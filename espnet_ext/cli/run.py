"""`run`: a recipe, in its directory."""

import os
import signal
import sys
from pathlib import Path

from espnet_ext.errors import UserError
from espnet_ext.recipe.options import Options
from espnet_ext.recipe.words import espnet_file, help_text, read_asr_names


def main(words: list[str]) -> None:
    """Runs the stages that the options ask for."""
    names = read_asr_names(espnet_file("asr.sh"))
    if {"--help", "-h"} & set(words):
        print(help_text([word for word in words if word not in ("--help", "-h")], names))
        return
    if not Path("asr.sh").is_file():
        raise UserError(f"{Path.cwd()} is no recipe, or not installed: there is no asr.sh; use ./run.sh")
    options = Options.parse(words, names)
    from espnet_ext.recipe.recipe import Recipe

    recipe = Recipe(options)
    if options.list_models:
        print(recipe.listing(), end="")
        return
    from espnet_ext.recipe.processes import adopt_orphans

    adopt_orphans()
    # Also where a shell started this in the background, with interrupts ignored; but nohup keeps its meaning.
    hang_up = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else []
    for number in (signal.SIGINT, signal.SIGTERM, *hang_up):
        signal.signal(number, signal.default_int_handler)
    try:
        recipe.run()
    except KeyboardInterrupt:
        from espnet_ext.recipe.processes import end_children

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end_children()
        print("\nStopped. What is finished is kept; the same command continues.", file=sys.stderr, flush=True)
        os._exit(130)  # threads may still wait for what has just ended
