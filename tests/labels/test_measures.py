"""Each filter by itself, and what the settings refuse."""

from dataclasses import asdict, replace

import pytest

from espnet_ext.conf_dirs import REPOSITORY
from espnet_ext.config import read_config
from espnet_ext.errors import UserError
from espnet_ext.labels.form import Form
from espnet_ext.labels.measures import Dropped, Heard, agreement, filters, judge, repetitions
from espnet_ext.labels.settings import Settings

GOOD = Heard("GOOD MORNING TO YOU", 0.9, "GOOD MORNING TO YOU")
SETTINGS = Settings(min_agreement=0.8)
FORM = Form(like=["ABCDEFGHIJKLMNOPQRSTUVWXYZ '"])


def reason(heard: Heard, seconds: float = 2.0, settings: Settings = SETTINGS) -> Dropped | None:
    return judge(filters(settings, FORM), FORM(heard.text), seconds, heard)


def test_a_good_text_is_kept():
    assert reason(GOOD) is None


@pytest.mark.parametrize(
    ("heard", "seconds", "name", "value", "lenient"),
    [
        (replace(GOOD, text=" ... "), 2.0, "no text", "-", None),
        (replace(GOOD, text="at 7 AND 7 OR 9"), 2.0, "unknown characters", "7 9", None),
        (GOOD, 20.0, "characters a second", "0.95", {"min_character_rate": 0.9}),
        (GOOD, 0.5, "characters a second", "38.00", {"max_character_rate": 38}),
        (Heard("SO SO SO SO", 0.9, "SO SO SO SO"), 2.0, "repetitions", "4", {"max_repetitions": 4}),
        (replace(GOOD, confidence=0.4999), 2.0, "confidence", "0.500", {"min_confidence": 0.4}),
        (replace(GOOD, second="good evening to me"), 2.0, "agreement", "0.684", {"min_agreement": 0.6}),
        (replace(GOOD, second=""), 2.0, "agreement", "0.000", {"min_agreement": 0.0}),
    ],
)
def test_each_filter(heard, seconds, name, value, lenient):
    assert reason(heard, seconds) == Dropped(name, value)
    if lenient is not None:
        assert reason(heard, seconds, replace(SETTINGS, **lenient)) is None


def test_a_teacher_that_tells_no_confidence_is_taken_at_its_word():
    assert reason(replace(GOOD, confidence=None)) is None


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("", 0),
        ("one", 1),
        ("one two one two", 2),
        ("so one two one two one two on", 3),
        ("a thank you b thank you", 1),
        ("no no no yes no no", 3),
        ("abababab", 4),
        ("xaaaaa", 5),
        (" ".join(["a b c d e f g h i j"] * 3), 3),
        ("hmm, hmm hmm", 2),
    ],
)
def test_repetitions(text, times):
    assert repetitions(text) == times


def test_agreement():
    assert agreement("", "") == 1 and agreement("", "a") == 0 and agreement("a", "abc") == 0
    assert agreement("abcd", "abxd") == 0.75


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"case": "title"}, "case is auto, upper, lower or keep, not 'title'"),
        ({"min_confidence": 50}, "min_confidence is between 0 and 1, not 50"),
        ({"min_confidence": "high"}, "min_confidence takes a number, not 'high'"),
        ({"max_repetitions": 2.5}, "max_repetitions takes a number"),
        ({"max_repetitions": 0}, "max_repetitions is at least 1"),
        ({"agreement_speed": 1}, "agreement_speed is between 0.5 and 2 but not 1"),
        ({"min_character_rate": 30}, "min_character_rate is at least 0 and below"),
        ({"cleaner": False}, "cleaner takes a word"),
    ],
)
def test_settings_that_cannot_be(wrong, message):
    with pytest.raises(UserError, match=message):
        Settings(**wrong)


def test_the_configuration_holds_the_defaults():
    assert read_config(str(REPOSITORY / "conf/pseudo_labels.yaml")) == asdict(Settings())
