"""Bootstrap intervals of error rates and of paired differences: pure functions of arrays of counts.

M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004,
pp. I-409-412. The units drawn with replacement are speakers (or utterances), never words: the errors of one speaker
depend on each other, and an interval that ignores this is too narrow. With few speakers it remains so: of simulated
speakers with normal or skewed (gamma) error rates, it covers in 83 to 86 % of cases with 5 speakers, 90 to 92 % with
12, 92 % with 20, 93 to 94 % with 40.

Percentile intervals, as in that paper, and not BCa: interval and p-value then come from one distribution, so that
"zero is outside the 95 % interval" and "p < 0.05" say the same.
"""

import warnings

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

RESAMPLES = 9999
SEED = 0
LEVEL = 0.95
_BATCH_DRAWS = 2**18


def error_rate(errors: np.ndarray, words: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns 100 * sum of errors / sum of reference words along `axis`; nan where no reference word is drawn."""
    total = np.sum(words, axis=axis)
    return 100 * np.sum(errors, axis=axis) / np.where(total > 0, total, np.nan)


def resampled_rates(errors: np.ndarray, words: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Returns the error rates of all systems on the same resamples of the units (paired bootstrap).

    The draws depend on the number of units and the seed only, so what is computed of one system or pair is the same
    whatever other systems are passed along.

    Args:
        errors: (systems, units) errors of each system on each speaker or utterance; means over seeds need not be whole.
        words: (units,) reference words of each.
        resamples: Number of resamples, B.
        seed: Of the random numbers.

    Returns:
        (systems, B) percent.
    """
    errors = np.atleast_2d(np.asarray(errors, dtype=float))
    words = np.asarray(words, dtype=float)
    with warnings.catch_warnings():
        # A resample without a reference word is nan, which the caller sees; scipy's warning speaks of another method.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            (errors, words[np.newaxis]),
            error_rate,
            paired=True,
            vectorized=True,
            axis=-1,
            method="percentile",
            n_resamples=resamples,
            batch=max(1, _BATCH_DRAWS // words.size),
            rng=np.random.default_rng(seed),
        )
    return result.bootstrap_distribution


def interval(distribution: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Returns the percentile interval of a bootstrap distribution.

    Args:
        distribution: (B,) values on the resamples: the rates of a system, or the difference of the rates of two, which
            is the distribution of the paired difference because both saw the same resamples.
        level: Probability the interval is meant to cover the true value with.
    """
    low, high = np.quantile(distribution, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(differences: np.ndarray) -> float:
    """Returns the two-sided p-value of "the true difference is zero" from its bootstrap distribution.

    p = min(1, 2 * min(#{d <= 0} + 1, #{d >= 0} + 1) / (B + 1)): twice the smaller tail beyond zero, i.e. 1 - the level
    of the percentile interval that just touches zero. The added ones keep it from being 0, which B resamples cannot
    show: its steps are 2 / (B + 1), i.e. of the order of 1 / B, and with B = 9999 it is at least 0.0002. Each tail is
    1 - the "probability of improvement" of Bisani and Ney.

    Args:
        differences: (B,) differences of two systems' error rates on the same resamples.
    """
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (tail + 1) / (differences.size + 1))
