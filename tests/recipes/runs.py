"""Options and recipes as a run of mini_an4 has them, without running it."""

from pathlib import Path

from espnet_ext.recipe.names import Names
from espnet_ext.recipe.options import Options
from espnet_ext.recipe.recipe import Recipe

WORDS = ("--train_set train --valid_set valid --test_sets test --lang en --token_type char --ngpu 0 --nj 1").split()
ASR = ["max_wav_duration", "skip_packing", "use_lm", "bpe_train_text"]


def options(*words: str) -> Options:
    """Returns the options of a command line after those of a small recipe."""
    return Options.parse([*WORDS, *words], ASR)


def names(*words: str) -> Names:
    """Returns the names of that run's experiments."""
    return Names(options(*words))


def recipe(directory: Path, *words: str) -> Recipe:
    """Returns that run in a directory that is the current one, with a cmd.sh that runs jobs here."""
    (directory / "cmd.sh").write_text("train_cmd=run.pl; cuda_cmd='run.pl --mem 1G'; decode_cmd=run.pl\n")
    return Recipe(options(*words))
