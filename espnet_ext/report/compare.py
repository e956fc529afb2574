"""Intervals of all systems on one test set, and of the difference between any two."""

from dataclasses import dataclass

import numpy as np

from espnet_ext.report.bootstrap import interval, p_value, resampled_rates
from espnet_ext.report.system import System
from espnet_ext.score.results import Score, Utterance

MIN_SPEAKERS = 5  # below, utterances are resampled
FEW_SPEAKERS = 20  # below, the percentile interval is visibly too narrow


@dataclass(frozen=True)
class Estimate:
    """A value in percent (of a difference: percentage points) with its 95 % interval and, of a difference, p-value.

    The last three are None where a score has no counts per utterance.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


class Comparison:
    """The systems on one test set.

    All must have been scored on the same utterances (`check_comparable`). With several seeds the errors of a speaker
    are averaged over the seeds, so that speakers are resampled and seeds are not.

    Attributes:
        unit: What is resampled: `speakers`, or `utterances` where fewer than five speakers are known.
        units: How many there are.
        speakers: How many speakers are known.
    """

    def __init__(self, systems: list[System], test_set: str, kind: str):
        self.unit, self.units, self.speakers = "utterances", 0, 0
        self._rates = {system.label: rate for system in systems if (rate := system.rate(test_set, kind)) is not None}
        counted = {system.label: scores for system in systems if (scores := system.scores(test_set, kind))
                   and all(score.utterances is not None for score in scores)}  # fmt: skip
        self._resampled: dict[str, np.ndarray] = {}
        if not counted:
            return
        utterances = next(iter(counted.values()))[0].utterances
        names = list(utterances)
        groups = self._groups(names, utterances)
        words = np.bincount(groups, weights=[utterances[name].words for name in names])
        if self.units < 2:
            return
        errors = np.array([np.bincount(groups, weights=_mean_errors(scores, names)) for scores in counted.values()])
        self._resampled = dict(zip(counted, resampled_rates(errors, words), strict=True))

    def _groups(self, names: list[str], utterances: dict[str, Utterance]) -> np.ndarray:
        """Chooses the units; returns the number of the unit of every utterance."""
        speakers = [utterances[name].speaker for name in names]
        self.speakers = len(set(speakers) - {None})
        self.unit = "speakers" if self.speakers >= MIN_SPEAKERS and None not in speakers else "utterances"
        # Sorted, so that the order of rows and utterances does not change the draws.
        kinds, groups = np.unique(speakers if self.unit == "speakers" else names, return_inverse=True)
        self.units = len(kinds)
        return groups

    def estimate(self, label: str) -> Estimate | None:
        """Returns the error rate of a system, None where it was not scored."""
        if label not in self._rates:
            return None
        if label not in self._resampled:
            return Estimate(self._rates[label])
        return Estimate(self._rates[label], *_finite_interval(self._resampled[label]))

    def difference(self, label: str, base: str | None) -> Estimate | None:
        """Returns the error rate of `label` minus that of `base`; None where one of them was not scored."""
        if base is None or label not in self._rates or base not in self._rates:
            return None
        value = self._rates[label] - self._rates[base]
        if label not in self._resampled or base not in self._resampled:
            return Estimate(value)
        differences = self._resampled[label] - self._resampled[base]
        low, high = _finite_interval(differences)
        return Estimate(value, low, high, None if low is None else p_value(differences))

    def relative(self, label: str, base: str | None) -> float | None:
        """Returns 100 * (rate of `label` - rate of `base`) / rate of `base`, in percent."""
        difference = self.difference(label, base)
        if difference is None or self._rates[base] == 0:
            return None
        return 100 * difference.value / self._rates[base]


def _mean_errors(scores: list[Score], names: list[str]) -> np.ndarray:
    """Returns the errors of every utterance, averaged over seeds: (utterances,)."""
    return np.mean([[score.utterances[name].errors for name in names] for score in scores], axis=0)


def _finite_interval(distribution: np.ndarray) -> tuple[float | None, float | None]:
    """Returns no interval where a resample of a tiny set has no reference word at all."""
    return interval(distribution) if np.isfinite(distribution).all() else (None, None)
