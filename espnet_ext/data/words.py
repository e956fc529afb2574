"""Joins the tokens of a CTC path to text and to words with times, as the tokenizer does that ESPnet would load.

The rules are those of sentencepiece and of ESPnet's tokenizers, so neither they nor a `bpe.model` is needed.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from espnet_ext.errors import UserError

TOKEN_TYPES = ("bpe", "char", "word", "phn")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
# What sentencepiece prints for pieces that are no text.
_SPECIAL = {"<unk>": " ⁇ ", "<s>": "", "</s>": ""}
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


@dataclass
class Word:
    """A word and when it is said, seconds from the beginning of the audio; CTC peaks late and short."""

    text: str
    start: float
    end: float


def check_token_type(token_type: str) -> None:
    """Checks that tokens of this type can be joined here.

    Raises:
        UserError: they cannot.
    """
    if token_type not in TOKEN_TYPES:
        raise UserError(
            f"tokens of the type {token_type} cannot be joined to words with times ({', '.join(TOKEN_TYPES)} can); "
            "decode the experiment with encrl decode"
        )


def guess_token_type(tokens: Iterable[str]) -> str:
    """Returns the type of the tokens of a file that does not name it: only sentencepiece marks beginnings of words."""
    return "bpe" if any("▁" in token for token in tokens) else "char"


def join_tokens(tokens: Iterable[str], token_type: str) -> str:
    """Returns the text of some tokens, with the very blanks that ESPnet's `tokens2text` gives.

    Args:
        tokens: of the best path, without blanks and repetitions.
        token_type: one of `TOKEN_TYPES`.
    """
    return "".join(text for text, _, _ in _surfaces(((token, 0) for token in tokens), token_type))


def group_words(tokens: Iterable[tuple[str, int]], frame_sec: float, token_type: str) -> Iterator[Word]:
    """Yields words as soon as they are complete, which is when the next one begins.

    Args:
        tokens: of the best path, without blanks and repetitions, each with the output frame in which it begins.
        frame_sec: seconds from one output frame to the next.
        token_type: one of `TOKEN_TYPES`.

    Yields:
        Words from the beginning of their first token's frame to the end of their last one's.
    """
    word = None
    for text, first, last in _surfaces(tokens, token_type):
        for part in re.findall(r"\s+|\S+", text):
            if part.isspace():
                if word:
                    yield word
                word = None
                continue
            if word is None:
                word = Word("", first * frame_sec, 0.0)
            word.text += part
            word.end = (last + 1) * frame_sec
    if word:
        yield word


def _surfaces(tokens: Iterable[tuple[str, int]], token_type: str) -> Iterator[tuple[str, int, int]]:
    """Yields pieces of the text, each with the frames in which its first and its last token begin."""
    if token_type == "bpe":
        yield from _sentencepiece(tokens)
        return
    for number, (token, frame) in enumerate(tokens):
        if token_type == "char":
            yield " " if token == "<space>" else token, frame, frame
        elif token_type == "word":
            yield f" {token}" if number else token, frame, frame
        else:
            yield token, frame, frame


def _sentencepiece(tokens: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int, int]]:
    """Follows `SentencePieceProcessor.DecodePieces`: marks of words, the unknown token, characters given as bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    empty = True  # a mark at the very beginning is no blank
    pending: tuple[int, int] | None = None  # frames of the first and last byte of a character that lacks some
    for token, frame in tokens:
        byte = _BYTE.fullmatch(token)
        if byte:
            text = decoder.decode(bytes.fromhex(byte[1]))
            first = pending[0] if pending else frame
            pending = None if not decoder.getstate()[0] else (first if not text else frame, frame)
            if text:
                yield _replace(text), first, frame
                empty = False
            continue
        if pending:
            yield _replace(decoder.decode(b"", final=True)), *pending
            pending, empty = None, False
            decoder.reset()
        text = _SPECIAL.get(token)
        if text is None:
            text = (token.removeprefix("▁") if empty else token).replace("▁", " ")
        if text:
            yield text, frame, frame
            empty = False
    if pending:
        yield _replace(decoder.decode(b"", final=True)), *pending


def _replace(text: str) -> str:
    """Shows each byte that is part of no character as sentencepiece does."""
    return _ESCAPED_BYTE.sub("\N{REPLACEMENT CHARACTER}", text)
