"""Transcripts as text, JSON and subtitles."""

import json

from espnet_ext.decode.words import Word

_PAUSE_SEC = 0.6
_MIN_SUBTITLE_SEC, _MAX_SUBTITLE_SEC = 0.8, 6.0


def as_text(words: list[Word]) -> str:
    """Returns the words on one line."""
    return " ".join(word.text for word in words) + "\n"


def as_json(words: list[Word]) -> str:
    """Returns text and words with times in seconds."""
    entries = [{"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)} for word in words]
    return json.dumps({"text": as_text(words).strip(), "words": entries}, ensure_ascii=False, indent=1) + "\n"


def as_srt(words: list[Word]) -> str:
    """Returns SubRip subtitles, a new one after a pause or a few seconds."""
    groups: list[list[Word]] = []
    for word in words:
        last = groups[-1] if groups else None
        if last is None or word.start - last[-1].end > _PAUSE_SEC or word.end - last[0].start > _MAX_SUBTITLE_SEC:
            groups.append([word])
        else:
            last.append(word)
    # CTC says where a word's last token begins, not where it ends; a subtitle of one frame cannot be read.
    starts = [*(group[0].start for group in groups), float("inf")][1:]
    blocks = [
        f"{number}\n{_clock(group[0].start)} --> "
        f"{_clock(min(max(group[-1].end, group[0].start + _MIN_SUBTITLE_SEC), following))}\n{as_text(group)}"
        for number, (group, following) in enumerate(zip(groups, starts, strict=True), 1)
    ]
    return "\n".join(blocks)


def _clock(seconds: float) -> str:
    millis = round(1000 * seconds)
    hours, millis = divmod(millis, 3_600_000)
    minutes, millis = divmod(millis, 60_000)
    return f"{hours:02}:{minutes:02}:{millis // 1000:02},{millis % 1000:03}"


FORMATS = {"txt": as_text, "json": as_json, "srt": as_srt}
