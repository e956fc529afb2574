"""Sets without transcripts that join the training set: --unlabelled_set in EncRL, --pseudo_label_sets after it."""

from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.data.tables import read_lines
from espnet_ext.errors import UserError

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe


def more_audio(recipe: "Recipe") -> list[str]:
    """Returns sets without text that join the training set; stage 3 formats them as it does test sets."""
    names = [recipe.options.unlabelled_set, *recipe.options.labels_more]
    return [name for name in dict.fromkeys(names) if name]


def formatted_set(recipe: "Recipe", option: str, name: str) -> Path:
    """Returns the directory of a set that is to join the training set.

    Raises:
        UserError: it is not formatted, or shares an utterance with the training set.
    """
    options = recipe.options
    directory, joined = options.data / name, options.data / (options.train_set + options.sp)
    if not (directory / "utt2num_samples").is_file():
        raise UserError(
            f"{directory.absolute()} is not there: {option} {name} is formatted in stage 3 from data/{name} (wav.scp, "
            "utt2spk, spk2utt, segments if any)"
        )
    known, own = ({line.split()[0] for _, line in read_lines(one / "utt2spk")} for one in (joined, directory))
    if twice := sorted(known & own)[:1]:
        raise UserError(f"{option} {name}: utterance {twice[0]} is in {joined.name} too; rename it")
    return directory


def duration_limits(recipe: "Recipe") -> list[float]:
    """Returns the shortest and the longest utterance, seconds, as stage 4 has them."""
    given = recipe.options.asr
    return [float(given.get(f"{kind}_wav_duration", value)) for kind, value in (("min", 0.1), ("max", 20))]
