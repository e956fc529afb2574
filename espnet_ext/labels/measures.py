"""What tells a text that a teacher got wrong, without knowing what was said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jiwer

from espnet_ext.labels.form import Form
from espnet_ext.labels.settings import Settings

_LONGEST_PHRASE = 10  # words


@dataclass(frozen=True)
class Heard:
    """What a teacher made of an utterance.

    Attributes:
        text: as the teacher writes it.
        confidence: see `espnet_ext.teachers.teacher.Transcript`.
        second: text of the audio at another speed; None: it was heard once.
    """

    text: str
    confidence: float | None
    second: str | None = None


@dataclass(frozen=True)
class Dropped:
    """Why a text is not kept.

    Attributes:
        reason: name of a `Filter`.
        value: what it measured.
    """

    reason: str
    value: str


@dataclass(frozen=True)
class Filter:
    """One reason to leave a text out.

    Attributes:
        name: of the reason.
        limit: what passes, for tables and messages.
        measure: takes the text in the corpus's form, its seconds, and what the teacher made of it; gives a value to
            show where it does not pass, else None.
    """

    name: str
    limit: str
    measure: Callable[[str, float, Heard], str | None]


def filters(settings: Settings, form: Form) -> list[Filter]:
    """Returns the filters in their order; the first one that a text does not pass is its reason."""

    def unknown(text: str, _seconds: float, _heard: Heard) -> str | None:
        found = form.unknown(text)
        return " ".join(dict.fromkeys(found)) if found else None

    def rate(text: str, seconds: float, _heard: Heard) -> str | None:
        value = len(text) / seconds
        passes = settings.min_character_rate <= value <= settings.max_character_rate
        return None if passes else f"{value:.2f}"

    def repeated(text: str, _seconds: float, _heard: Heard) -> str | None:
        value = repetitions(text)
        return str(value) if value > settings.max_repetitions else None

    def unsure(_text: str, _seconds: float, heard: Heard) -> str | None:
        # Where the library tells nothing, there is nothing to go by.
        if heard.confidence is None or heard.confidence >= settings.min_confidence:
            return None
        return f"{heard.confidence:.3f}"

    def differing(text: str, _seconds: float, heard: Heard) -> str | None:
        value = agreement(text, form(heard.second or ""))
        return f"{value:.3f}" if value < settings.min_agreement else None

    found = [Filter("no text", "some", lambda text, _seconds, _heard: None if text else "-")]
    if form.tokenize or form.characters:
        found.append(Filter("unknown tokens" if form.tokenize else "unknown characters", "none", unknown))
    found += [
        Filter("characters a second", f"{settings.min_character_rate:g} to {settings.max_character_rate:g}", rate),
        Filter("repetitions", f"at most {settings.max_repetitions}", repeated),
        Filter("confidence", f"at least {settings.min_confidence:g}", unsure),
    ]
    if settings.second_speed is not None:
        found.append(Filter("agreement", f"at least {settings.min_agreement:g}", differing))
    return found


def judge(filters: Sequence[Filter], text: str, seconds: float, heard: Heard) -> Dropped | None:
    """Returns why a text, in the form of the corpus, is left out; None: it is kept."""
    for one in filters:
        if (value := one.measure(text, seconds, heard)) is not None:
            return Dropped(one.name, value)
    return None


def repetitions(text: str) -> int:
    """Returns how often, at most, a phrase stands there in a row; phrases of characters where there is one word."""
    units: Sequence[str] = text.split()
    if len(units) == 1:
        units = text
    most = int(bool(units))
    for size in range(1, min(_LONGEST_PHRASE, len(units) // 2) + 1):
        same = 0  # units in a row that are those of `size` units before
        for before, now in zip(units, units[size:], strict=False):
            same = same + 1 if before == now else 0
            most = max(most, same // size + 1)
    return most


def agreement(text: str, second: str) -> float:
    """Returns 1 minus the character error rate of a second text against the first, at least 0."""
    return max(0.0, 1.0 - jiwer.cer(text, second)) if text else float(not second)
