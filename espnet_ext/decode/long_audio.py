"""Transcribes audio of any length in bounded memory: overlapping windows, joined frame by frame.

A conformer gets a whole utterance at once and does not stream. In windows it gets only what is near: each window is
computed with context on both sides, whose frames are then dropped, and one greedy search runs over the joined frames.
So a word at a border is neither cut nor said twice.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from espnet_ext.decode.greedy import BLANK_ID
from espnet_ext.decode.recognizer import Recognizer
from espnet_ext.decode.words import Word, group_words


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


def transcribe(recognizer: Recognizer, blocks: Iterable[tuple[int, Tensor]], overlap: int) -> list[Word]:
    """Transcribes successive blocks.

    Args:
        recognizer: the model.
        blocks: first sample and (samples,) float audio of each, as `espnet_ext.decode.audio.read_blocks` gives them.
        overlap: samples that a block shares with the one before.
    """
    frame = recognizer.frame_samples
    best: list[int] = []  # token id of each frame of the file
    for start, speech in blocks:
        first = start // frame
        # Of the overlap the first half is the last block's, the second half this one's.
        kept = first + overlap // frame // 2 if best else 0
        ids = recognizer(torch.as_tensor(speech)).argmax(dim=-1).tolist()
        best = best[:kept] + ids[kept - first :]
    begins = [i for i, token in enumerate(best) if token != BLANK_ID and (i == 0 or token != best[i - 1])]
    return group_words([recognizer.tokens[best[i]] for i in begins], begins, frame / recognizer.sample_rate)
