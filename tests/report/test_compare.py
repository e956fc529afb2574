"""Comparison of systems on one test set."""

from pathlib import Path

import numpy as np
import pytest

from espnet_ext.errors import UserError
from espnet_ext.report.collect import Experiment
from espnet_ext.report.compare import Comparison
from espnet_ext.report.lineage import Lineage, Training
from espnet_ext.report.size import Size
from espnet_ext.report.system import System, check_comparable
from espnet_ext.score.results import Score, Utterance

WORDS = 20


def score(errors, speakers, words=WORDS, counts=True):
    """A score with `errors[n]` substitutions in utterance n of `speakers[n]`."""
    utterances = {
        f"{speaker}-u{number}": Utterance(speaker, words - wrong, wrong, 0, 0)
        for number, (wrong, speaker) in enumerate(zip(errors, speakers, strict=True))
    }
    total, wrong = words * len(errors), sum(errors)
    totals = (len(errors), total, total - wrong, wrong, 0, 0, sum(map(bool, errors)))
    return Score("sclite", *totals, utterances if counts else None)


def system(label, *seeds):
    runs = []
    for number, one in enumerate(seeds):
        folder = Path(f"exp/{label}_{number}")
        lineage = Lineage(label, "scratch", Training(folder, []))
        runs.append(Experiment(folder, folder / "decode", lineage, Size(), {"test": {"wer": one, "cer": None}}))
    return System(label, (label,), runs)


@pytest.fixture
def speakers():
    return [f"s{number % 10}" for number in range(60)]


@pytest.fixture
def draw():
    """Draws the errors of 60 utterances."""
    rng = np.random.default_rng(0)
    return lambda mean: rng.binomial(WORDS, mean, 60).tolist()


def test_intervals_and_difference(speakers, draw):
    good, bad = draw(0.1), draw(0.3)
    comparison = Comparison([system("good", score(good, speakers)), system("bad", score(bad, speakers))], "test", "wer")
    assert (comparison.unit, comparison.units) == ("speakers", 10)
    estimate = comparison.estimate("good")
    assert estimate.value == pytest.approx(100 * sum(good) / (60 * WORDS))
    assert estimate.low < estimate.value < estimate.high < comparison.estimate("bad").low
    difference = comparison.difference("good", "bad")
    assert difference.value == pytest.approx(estimate.value - comparison.estimate("bad").value)
    assert difference.low < difference.value < difference.high < 0 and difference.p < 0.001
    back = comparison.difference("bad", "good")
    assert (back.low, back.high, back.p) == pytest.approx((-difference.high, -difference.low, difference.p))
    assert comparison.relative("good", "bad") == pytest.approx(100 * (sum(good) - sum(bad)) / sum(bad))
    assert comparison.difference("good", None) is comparison.difference("good", "absent") is None


def test_seeds_are_averaged_per_speaker(speakers, draw):
    """Two seeds with opposite errors: the mean has no spread over speakers, though each seed has."""
    first = draw(0.4)
    second = [WORDS - wrong for wrong in first]
    comparison = Comparison([system("both", score(first, speakers), score(second, speakers))], "test", "wer")
    estimate = comparison.estimate("both")
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((50, 50, 50))
    single = Comparison([system("one", score(first, speakers))], "test", "wer").estimate("one")
    assert single.high - single.low > 1


def test_order_of_rows_and_utterances_does_not_matter(speakers, draw):
    one, two = score(draw(0.2), speakers), score(draw(0.3), speakers)
    turned = Score(*[getattr(two, name) for name in list(vars(two))[:-1]], dict(reversed(two.utterances.items())))
    forward = Comparison([system("one", one), system("two", two)], "test", "wer").difference("one", "two")
    assert Comparison([system("two", turned), system("one", one)], "test", "wer").difference("one", "two") == forward


def test_few_or_unknown_speakers(draw):
    errors = draw(0.2)
    for owners, known in ((["a", "b", "c", "d"] * 15, 4), ([None] * 60, 0)):
        comparison = Comparison([system("x", score(errors, owners))], "test", "wer")
        assert (comparison.unit, comparison.units, comparison.speakers) == ("utterances", 60, known)
        assert comparison.estimate("x").low is not None
    single = Comparison([system("x", score([3], ["a"]))], "test", "wer")
    assert single.estimate("x").value == 15 and single.estimate("x").low is None


def test_totals_only(speakers, draw):
    old, new = score(draw(0.2), speakers, counts=False), score(draw(0.3), speakers)
    comparison = Comparison([system("old", old), system("new", new), system("none", None)], "test", "wer")
    assert comparison.estimate("old").low is None and comparison.estimate("new").low is not None
    assert comparison.estimate("none") is None
    difference = comparison.difference("old", "new")
    assert difference.value == pytest.approx(old.wer - new.wer) and difference.p is None


def test_no_reference_word_in_a_resample():
    """Half the utterances are empty, so that a resample may hold no word at all."""
    utterances = {"a-1": Utterance(None, 5, 1, 0, 0), "a-2": Utterance(None, 0, 0, 0, 2)}
    tiny = system("tiny", Score("sclite", 2, 6, 5, 1, 0, 2, 2, utterances))
    comparison = Comparison([tiny, system("other", tiny.runs[0].scores["test"]["wer"])], "test", "wer")
    assert comparison.estimate("tiny").low is None and comparison.difference("tiny", "other").p is None


def test_the_same_utterances_are_required(speakers, draw):
    base = score(draw(0.2), speakers)

    def check(other):
        check_comparable([system("base", base), system("old", score(draw(0.1), speakers, counts=False)),
                          system("other", other)], ["test"])  # fmt: skip

    check(score(draw(0.1), speakers))
    renamed = score(draw(0.1), [*speakers[:7], "zed", *speakers[8:]])  # totals are the same
    with pytest.raises(
        UserError, match=r"exp/base_0/decode and exp/other_0/decode.*utterance s7-u7 is only in the first"
    ):
        check(renamed)
    shorter = score(draw(0.1), speakers)
    shorter.utterances["s3-u3"] = Utterance("s3", WORDS - 1, 0, 0, 0)
    shorter.utterances["s4-u4"] = Utterance("s4", WORDS + 1, 0, 0, 0)
    with pytest.raises(
        UserError, match=r"test set test \(WER\).*utterance s3-u3 has length 20 in one, 19 in the other"
    ):
        check(shorter)
    with pytest.raises(UserError, match="utterance s0-u60 is only in the second.*stages 12-13"):
        check(score([*draw(0.1), 0], [*speakers, "s0"]))
    with pytest.raises(UserError, match="60 with a reference length of 1200 in the first, 59 with 1180 in the second"):
        check(score(draw(0.1)[:59], speakers[:59], counts=False))
