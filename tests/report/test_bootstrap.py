"""Intervals and p-values, against known distributions."""

import numpy as np
import pytest
from scipy.stats import kstest

from espnet_ext.report.bootstrap import error_rate, interval, p_value, resampled_rates

WORDS = np.full(200, 50.0)


def errors(rng, systems, mean, spread, units=200):
    return rng.normal(mean, spread, (systems, units))


def test_interval_has_the_width_of_the_known_variance():
    rates = resampled_rates(errors(np.random.default_rng(0), 20, mean=10, spread=4), WORDS)
    widths = [high - low for low, high in map(interval, rates)]
    # standard error of a mean of 200 values, in percent of 50 words; 2 * 1.96 of them
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 100 * 4 / 50 / np.sqrt(200), rel=0.03)


def test_interval_covers_the_true_rate_in_95_of_100_cases():
    rates = resampled_rates(errors(np.random.default_rng(1), 300, 10, 4, units=100), WORDS[:100], 999)
    covered = np.mean([low <= 20 <= high for low, high in map(interval, rates)])
    assert 0.91 <= covered <= 0.98


def test_speakers_as_units_give_wider_intervals_than_their_utterances():
    rng = np.random.default_rng(2)
    by_speaker = np.repeat(rng.uniform(0, 20, (1, 20)), 10, axis=1) + rng.normal(0, 1, (1, 200))
    low, high = interval(resampled_rates(by_speaker, WORDS)[0])
    speaker_low, speaker_high = interval(
        resampled_rates(by_speaker.reshape(20, 10).sum(axis=1), WORDS.reshape(20, 10).sum(axis=1))[0]
    )
    assert speaker_high - speaker_low > 2 * (high - low)


def test_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(3)
    common = errors(rng, 1, mean=10, spread=4)  # two systems fail on the same sentences, up to chance
    pairs = common + rng.normal(0, 1, (2, 300, 200))
    first, second = (resampled_rates(half, WORDS, resamples=999) for half in pairs)
    p_values = [p_value(one - other) for one, other in zip(first, second, strict=True)]
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09


def test_a_clear_difference_and_none():
    rng = np.random.default_rng(4)
    base = errors(rng, 1, mean=10, spread=4)
    better, same = resampled_rates(np.concatenate([base - 2 + rng.normal(0, 1, base.shape), base]), WORDS)
    assert p_value(better - same) == pytest.approx(2 / 10000)  # the least that 9999 resamples can show
    assert interval(better - same)[1] < 0
    assert p_value(same - same) == 1


def test_interval_and_p_value_agree():
    rng = np.random.default_rng(5)
    first, second = (resampled_rates(errors(rng, 200, mean=10, spread=3), WORDS, resamples=999) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        low, high = interval(one - other)
        assert (p_value(one - other) < 0.05) == (low > 0 or high < 0) or p_value(one - other) == pytest.approx(
            0.05, abs=2 / 1000
        )


def test_a_pair_does_not_depend_on_the_other_systems():
    many = errors(np.random.default_rng(6), 7, mean=10, spread=4, units=2000)
    words = np.full(2000, 50.0)
    assert np.array_equal(resampled_rates(many, words, 99)[[1, 5]], resampled_rates(many[[1, 5]], words, 99))
    assert not np.array_equal(resampled_rates(many, words, 99), resampled_rates(many, words, 99, seed=1))


def test_rate_is_of_sums_not_a_mean_of_rates():
    assert error_rate(np.array([1, 9]), np.array([10, 10])) == 50
    assert error_rate(np.array([1, 9]), np.array([1, 99])) == 10
