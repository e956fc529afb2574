"""Groups the tokens of a CTC path to words with times."""

from collections.abc import Sequence
from dataclasses import dataclass

_BEGINS = ("▁", "<space>")  # sentencepiece, characters


@dataclass
class Word:
    """A word and when it is said, seconds from the beginning of the audio; CTC peaks late and short."""

    text: str
    start: float
    end: float


def group_words(tokens: Sequence[str], frames: Sequence[int], frame_sec: float) -> list[Word]:
    """Joins tokens to words.

    Args:
        tokens: of the best path, without blanks and repetitions.
        frames: the output frame in which each token begins.
        frame_sec: seconds from one output frame to the next.

    Returns:
        Words from the beginning of their first token's frame to the end of their last one's.
    """
    words: list[Word] = []
    begins = True
    for token, frame in zip(tokens, frames, strict=True):
        begins = begins or token.startswith(_BEGINS)
        text = token.removeprefix("▁").removeprefix("<space>")
        if not text:
            continue
        if begins:
            words.append(Word("", frame * frame_sec, 0.0))
        words[-1].text += text
        words[-1].end = (frame + 1) * frame_sec
        begins = False
    return words
