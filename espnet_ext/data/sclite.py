"""What the scorer sclite reads as its own syntax, in texts and in ids, instead of as words.

Found by running it: of the characters that mean something in NIST's formats these are the ones that change its counts.
"""

import string

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold_case(text: str) -> str:
    """Returns the text as sclite compares it: ASCII letters in lower case, all others as they are."""
    return text.translate(_LOWER)


def text_problem(text: str) -> str | None:
    """Returns what of a transcript or hypothesis sclite does not take as a word; None where it takes all."""
    if "{" in text:
        return "'{' begins an alternation of sclite, which may end it with a segmentation fault"
    if "@" in text:
        return "'@' is no word for sclite, and no character where characters are scored"
    if (begin := text.lstrip()[:2]) in (";;", "**"):
        return f"'{begin}' at the beginning makes the line a comment of sclite"
    return None


def id_problem(identifier: str) -> str | None:
    """Returns why sclite cannot hold an identifier `<speaker>-<utterance>`; None where it can."""
    if "(" in identifier:
        return "'(' begins an identifier of sclite"
    return None
