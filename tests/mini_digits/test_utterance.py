"""What an utterance of the embedded corpus is drawn from."""

import numpy as np
import pytest

from espeak import Espeak
from noise import white_noise
from pauses import draw_pause
from split import SAMPLE_RATE
from utterance import RANGES, make_utterance


def test_pauses_are_mostly_short_with_a_tail_to_two_seconds():
    rng = np.random.default_rng(0)
    seconds = np.array([draw_pause(RANGES, rng) for _ in range(4000)]) / SAMPLE_RATE
    assert np.median(seconds) == pytest.approx(0.25, abs=0.03)
    assert seconds.min() < 0.001 and 1.99 < seconds.max() < 2
    assert np.mean(seconds > 1) == pytest.approx(1 - 0.5 ** (1 / 3), abs=0.02)


def test_same_numbers_same_utterance_and_words_with_pauses_stay_whole():
    espeak, babble = Espeak(), white_noise(SAMPLE_RATE, np.random.default_rng(0))
    texts, durations = [], []
    for seed in range(20):
        made = [make_utterance(espeak, babble, "en-us+f3", (5.0, 20.0), np.random.default_rng(seed)) for _ in range(2)]
        assert made[0][0] == made[1][0] and np.array_equal(made[0][1], made[1][1])
        texts.append(made[0][0].split())
        durations.append(len(made[0][1]) / SAMPLE_RATE)
    spoken = sum(map(len, texts))
    # at most 250 words a minute, and pauses come on top
    assert spoken * 0.15 < sum(durations) < spoken * 0.5 + 20 * 4 + spoken * 2
    assert {len(words) for words in texts} == set(range(1, 8))
