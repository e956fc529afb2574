"""The form of a corpus's transcripts, into which a teacher's text is brought: letters, punctuation, tokens."""

import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from espnet_ext.errors import UserError

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4\u0060", "'"))


class Form:
    """Writes text as a corpus does.

    Args:
        case: see `Settings`.
        cleaner: see `Settings`.
        like: transcripts of the corpus; none where it has none.
        tokenize: makes tokens of text, as the training does; None: there is no list of tokens yet.
        tokens: the list.
    """

    def __init__(
        self,
        case: str = "auto",
        cleaner: str = "none",
        like: Iterable[str] = (),
        tokenize: Callable[[str], list[str]] | None = None,
        tokens: Iterable[str] = (),
    ):
        self.clean, self.tokenize, self.tokens = text_cleaner(cleaner), tokenize, frozenset(tokens)
        self.characters = frozenset().union(*like)
        has_upper, has_lower = (any(test(one) for one in self.characters) for test in (str.isupper, str.islower))
        if case == "auto":
            case = "keep" if has_upper == has_lower else "upper" if has_upper else "lower"
        self.case = case

    def __call__(self, text: str) -> str:
        """Returns the text in the form of the corpus.

        Punctuation and symbols that no transcript of the corpus has become blanks; apostrophes stay, or are left out
        where the corpus has none.
        """
        text = unicodedata.normalize("NFKC", self.clean(text).translate(_APOSTROPHES))
        text = {"upper": text.upper(), "lower": text.lower()}.get(self.case, text)
        return " ".join("".join(map(self._written, text)).split())

    def _written(self, character: str) -> str:
        if character in self.characters:
            return character
        if character == "'":
            return "" if self.characters else character
        # Punctuation, symbols, separators, control characters.
        return " " if unicodedata.category(character)[0] in "PSZC" else character

    def unknown(self, text: str) -> list[str]:
        """Returns the tokens of a text that are not in the list; without a list, the characters that are new."""
        if self.tokenize is not None:
            return [token for token in self.tokenize(text) if token not in self.tokens]
        return [one for one in text if self.characters and one not in self.characters and one != " "]


def text_cleaner(name: str) -> Callable[[str], str]:
    """Returns ESPnet's text cleaner of a name, or of several, separated by blanks; `none` changes nothing.

    Raises:
        UserError: there is none, or its package is missing.
    """
    from espnet2.text.cleaner import TextCleaner

    try:
        cleaner = TextCleaner([] if name == "none" else name.split())
        cleaner("a")
    except (RuntimeError, ImportError) as error:
        raise UserError(f"cleaner {name}: {error}; give another one, or none") from error
    return cleaner


def tokenizer(
    token_type: str, bpemodel: Path | None, nlsyms_txt: str = "none", cleaner: str = "none", g2p: str = "none"
) -> Callable[[str], list[str]]:
    """Returns what makes tokens of text as ESPnet's training does; the arguments are those of its training.

    Raises:
        UserError: it cannot be made.
    """
    from espnet2.text.build_tokenizer import build_tokenizer

    symbols = None if nlsyms_txt == "none" else nlsyms_txt
    try:
        built = build_tokenizer(
            token_type,
            bpemodel,
            non_linguistic_symbols=symbols,
            g2p_type=None if g2p in ("none", "") else g2p,
            nonsplit_symbol=symbols,
        )
        built.text2tokens("a")
    except Exception as error:  # of sentencepiece and of whatever --g2p names
        raise UserError(f"tokens of type {token_type} cannot be made: {error}; run stage 5 again") from error
    clean = text_cleaner(cleaner)
    return lambda text: built.text2tokens(clean(text))
