"""The pauses around and between spoken words, and what is heard in them.

A recognizer that never heard a pause puts words into it, and one that never heard digital silence (samples that are
exactly zero) does so where a recording begins or ends with it. So pauses are drawn up to two seconds, and each is
filled by the noise that is behind the speech too, by digital silence, or by another noise.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from noise import pink_noise, white_noise
from split import SAMPLE_RATE


class PauseRanges(Protocol):
    """What pauses draw from.

    Attributes:
        pause_sec: Shortest and longest pause; short ones are much more frequent (the median is an eighth of the range).
        clean_share: How many utterances have no noise behind the speech.
        zeros_share: How many pauses are filled with digital silence.
        other_share: How many pauses are filled with a noise of their own.
        other_dbfs: RMS of that noise, which may be louder than the speech: it is not its level that makes a word.
        hold_sec: How long the noise behind the speech goes on into a pause that is filled with something else.
    """

    pause_sec: tuple[float, float]
    clean_share: float
    zeros_share: float
    other_share: float
    other_dbfs: tuple[float, float]
    hold_sec: tuple[float, float]


def draw_pause(ranges: PauseRanges, rng: np.random.Generator) -> int:
    """Returns the length of one pause in samples: mostly short, with a tail to the longest."""
    low, high = ranges.pause_sec
    return int(SAMPLE_RATE * (low + (high - low) * rng.uniform() ** 3))


def draw_backgrounds(
    lengths: Sequence[int], noises: Sequence[Callable[..., np.ndarray]], ranges: PauseRanges, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws what is heard besides the speech.

    Args:
        lengths: Samples of pause, speech, pause, speech, ..., pause.
        noises: One is drawn for the noise behind the speech; each takes the number of samples and `rng`.
        ranges: What is drawn from.
        rng: Source of every choice.

    Returns:
        The noise behind the speech, of any scale and zero where a pause is filled with something else, and what other
        noise these pauses have, at its own level; both float64, (num_samples,).
    """
    total = sum(lengths)
    make_noise = noises[rng.integers(len(noises))]
    noise = np.zeros(total) if rng.uniform() < ranges.clean_share else make_noise(total, rng=rng)
    other = np.zeros(total)
    bounds = np.cumsum([0, *lengths])
    for number in range(0, len(lengths), 2):
        fill = rng.uniform()
        if fill > ranges.zeros_share + ranges.other_share:
            continue
        first, last = number == 0, number == len(lengths) - 1
        hold_before, hold_after = (int(SAMPLE_RATE * rng.uniform(*ranges.hold_sec)) for _ in range(2))
        begin = bounds[number] + (0 if first else hold_before)
        end = bounds[number + 1] - (0 if last else hold_after)
        if begin >= end:
            continue
        noise[begin:end] = 0.0
        if fill > ranges.zeros_share:
            fresh = (white_noise, pink_noise)[rng.integers(2)](end - begin, rng)
            level = 10 ** (rng.uniform(*ranges.other_dbfs) / 20)
            other[begin:end] = fresh * (level / np.sqrt(np.mean(fresh**2)))
    return noise, other
