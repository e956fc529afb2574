"""Transcripts as text, JSON and subtitles, in pieces that can be written as soon as their words are known."""

import json
import re
from collections.abc import Iterable, Iterator

from espnet_ext.data.words import Word

_PAUSE_SEC = 0.6
# What would end a line or a column, moves a terminal's cursor, or has no character (bytes that are not UTF-8).
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MIN_SUBTITLE_SEC, _MAX_SUBTITLE_SEC = 0.8, 6.0


def escape_name(name: str) -> str:
    r"""Returns a file's name in one column of one line: backslashes and control characters as in a JSON string.

    So a tab is `\t`, a line end `\n`, a backslash two, and a byte that is not UTF-8 `\udc80` to `\udcff`.
    """
    return _UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], name)


def as_text(words: Iterable[Word]) -> Iterator[str]:
    """Yields the words, which are one line."""
    for number, word in enumerate(words):
        yield f" {word.text}" if number else word.text
    yield "\n"


def as_json(words: Iterable[Word]) -> Iterator[str]:
    """Yields text and words with times in seconds, in one piece."""
    words = list(words)
    entries = [{"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in words]
    text = " ".join(word.text for word in words)
    yield json.dumps({"text": text, "words": entries}, ensure_ascii=False, indent=1) + "\n"


def as_srt(words: Iterable[Word]) -> Iterator[str]:
    """Yields SubRip subtitles, a new one after a pause or a few seconds."""
    group: list[Word] = []
    number = 1
    for word in words:
        if group and (word.start - group[-1].end > _PAUSE_SEC or word.end - group[0].start > _MAX_SUBTITLE_SEC):
            yield _subtitle(number, group, word.start)
            group, number = [], number + 1
        group.append(word)
    if group:
        yield _subtitle(number, group, float("inf"))


def _subtitle(number: int, words: list[Word], following: float) -> str:
    """Returns a subtitle that ends before the following one, seconds."""
    # CTC says where a word's last token begins, not where it ends; a subtitle of one frame cannot be read.
    end = min(max(words[-1].end, words[0].start + _MIN_SUBTITLE_SEC), following)
    lines = f"{number}\n{_clock(words[0].start)} --> {_clock(end)}\n{' '.join(word.text for word in words)}\n"
    return lines if number == 1 else f"\n{lines}"


def _clock(seconds: float) -> str:
    millis = round(1000 * seconds)
    hours, millis = divmod(millis, 3_600_000)
    minutes, millis = divmod(millis, 60_000)
    return f"{hours:02}:{minutes:02}:{millis // 1000:02},{millis % 1000:03}"


FORMATS = {"txt": as_text, "json": as_json, "srt": as_srt}
