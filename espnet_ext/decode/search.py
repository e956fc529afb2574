"""Which search turns a model's outputs into text."""

from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.decode.beam import BeamOptions, BeamSearch, read_words
from espnet_ext.decode.greedy import Search, best_paths
from espnet_ext.errors import UserError

if TYPE_CHECKING:
    from espnet_ext.decode.model import CTCModel

SEARCHES = ("greedy", "beam", "lexicon")


def make_search(model: "CTCModel", name: str, lexicon_text: Path | None, options: BeamOptions) -> Search:
    """Returns a search for a model.

    Args:
        model: whose tokens are decoded.
        name: greedy (the best token of each frame), beam (any tokens), or lexicon (the words of a text).
        lexicon_text: Kaldi text file of the words that may be said, of lexicon only.
        options: scores of beam and lexicon.

    Raises:
        UserError: options that do not belong together.
    """
    if (name == "lexicon") != (lexicon_text is not None):
        raise UserError("--search lexicon and --lexicon_text belong together: the lexicon is the words of that text")
    if name == "greedy":
        if options != BeamOptions():
            raise UserError("--search greedy knows no beam, n-gram or scores; give --search beam or lexicon with them")
        return best_paths
    if name == "beam" and options.word_score:
        raise UserError("--word_score belongs to --search lexicon: without a lexicon there are no words")
    return BeamSearch(model, read_words(lexicon_text) if lexicon_text else None, options)
