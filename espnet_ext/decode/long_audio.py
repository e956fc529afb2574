"""Transcribes audio of any length in bounded memory: overlapping windows, joined frame by frame.

A conformer gets a whole utterance at once and does not stream. In windows it gets only what is near: each window is
computed with context on both sides, whose frames are then dropped, and one greedy search runs over the joined frames.
So a word at a border is neither cut nor said twice.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from espnet_ext.constants import BLANK_ID
from espnet_ext.data.words import Word, group_words
from espnet_ext.decode.recognizer import Recognizer
from espnet_ext.errors import UserError


def window_samples(recognizer: Recognizer, window_sec: float, context_sec: float) -> tuple[int, int]:
    """Returns samples of a window and of the overlap of two, whole numbers of output frames.

    Args:
        recognizer: the model.
        window_sec: audio that it gets at once.
        context_sec: of it, on each side, what is context and not transcribed.
    """
    frame = recognizer.frame_samples
    context = max(1, round(context_sec * recognizer.sample_rate / frame))
    window = max(4 * context, round(window_sec * recognizer.sample_rate / frame))
    return window * frame, 2 * context * frame


def transcribe(recognizer: Recognizer, blocks: Iterable[tuple[int, np.ndarray]], overlap: int) -> Iterator[Word]:
    """Transcribes successive blocks; yields a word as soon as no later block can change it.

    Args:
        recognizer: the model.
        blocks: first sample and (samples,) float32 audio of each, as `espnet_ext.decode.audio.read_blocks` gives them.
        overlap: samples that a block shares with the one before.

    Raises:
        UserError: the model's output is not a number.
    """
    path = _best_path(recognizer, blocks, overlap)
    tokens = ((recognizer.tokens[token], frame) for frame, token in path)
    return group_words(tokens, recognizer.frame_samples / recognizer.sample_rate, recognizer.token_type)


def _best_path(
    recognizer: Recognizer, blocks: Iterable[tuple[int, np.ndarray]], overlap: int
) -> Iterator[tuple[int, int]]:
    """Yields frame and id of the tokens of the best path, without blanks and repetitions."""
    last = BLANK_ID
    for frame, token in enumerate(_best_ids(recognizer, blocks, overlap)):
        if token not in (BLANK_ID, last):
            yield frame, token
        last = token


def _best_ids(recognizer: Recognizer, blocks: Iterable[tuple[int, np.ndarray]], overlap: int) -> Iterator[int]:
    """Yields the best token of each frame.

    Of the overlap of two blocks the first half is the earlier one's, the second half the later one's.
    """
    samples, half = recognizer.frame_samples, overlap // recognizer.frame_samples // 2
    decided = 0  # frames
    rest: list[int] = []  # the latest block's frames from there on
    for start, speech in blocks:
        first = start // samples
        ids = _best_of_block(recognizer, speech, start)
        kept = first + half if first else 0
        rest = rest[: kept - decided]
        # A convolution without padding gives a few frames less than there is audio for.
        rest += [BLANK_ID] * (kept - decided - len(rest)) + ids[kept - first :]
        ended = max(0, first + len(speech) // samples - half - decided)
        yield from rest[:ended]
        decided, rest = decided + len(rest[:ended]), rest[ended:]
    yield from rest


def _best_of_block(recognizer: Recognizer, speech: np.ndarray, start: int) -> list[int]:
    log_probs = recognizer(speech)
    if np.isnan(log_probs.max(initial=0.0)):
        second = start / recognizer.sample_rate
        raise UserError(f"the model's output for the audio from {second:.1f} s on is not a number; train it again")
    return log_probs.argmax(axis=-1).tolist()
