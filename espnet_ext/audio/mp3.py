"""MP3: a first frame without sound (Xing, Info, VBRI) counts the frames and their bytes.

Where it is missing, libsndfile guesses the length, and of a file with a variable bit rate it can read half without an
error. Then, and where more follows than was counted, all frames are counted.
"""

import re
from dataclasses import dataclass

from espnet_ext.audio.extent import INAUDIBLE_SEC, Extent, missing_text
from espnet_ext.audio.view import View

# Samples that decoders cut at the ends or add, in frames of each part.
_SLACK_FRAMES = 4
# Fewer than were counted are no second recording: some programs count without the first frame.
_MORE_FRAMES = 2
_LONGEST_FRAME = 1441
_SEARCHED_BYTES = 1 << 16
_READ_BYTES = 1 << 20
_SYNC = re.compile(rb"\xff[\xe0-\xff]")
_V1_KBITS = {
    3: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2_KBITS = {
    3: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    1: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True)
class _Frame:
    """Header of a frame: bytes, samples of a channel, samples per second, and bytes before the counting tag."""

    size: int
    samples: int
    rate: int
    side: int


def tag_bytes(view: View, offset: int) -> int:
    """Returns the bytes of an ID3 tag at a place; 0 where there is none."""
    head = view.at(offset, 10)
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    return 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def mp3(view: View, offset: int) -> Extent | None:
    """Examines MP3; None where it is something else.

    Args:
        view: the bytes.
        offset: where the first frame is expected, after tags.
    """
    start = _first_frame(view.at(offset, _SEARCHED_BYTES))
    if start is None:
        return None
    start += offset
    data = view.at(start, 2048)
    frame = _frame(data)
    assert frame is not None
    frames, size = _counted(data, frame)
    if not frames or not size:
        return _walked(view, start, frame)
    seconds = frames * frame.samples / frame.rate
    missing = start + size - view.size
    if missing > max(frame.size, INAUDIBLE_SEC / seconds * size):
        return Extent("MP3", missing_text(missing / size * seconds, seconds))
    counted = Extent("MP3", samples=_least(frames * frame.samples, frame, 1))
    if _more_follows(view, start + size):
        walked = _walked(view, start, frame)
        if walked.samples > counted.samples + _MORE_FRAMES * frame.samples:
            return Extent("MP3", joined=True, samples=walked.samples)
    return counted


def _frame(data: bytes) -> _Frame | None:
    if len(data) < 4 or data[0] != 0xFF or data[1] < 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    kbits, rate = data[2] >> 4, data[2] >> 2 & 3
    if version == 1 or layer == 0 or kbits in (0, 15) or rate == 3:
        return None
    bits = 1000 * (_V1_KBITS if version == 3 else _V2_KBITS)[layer][kbits - 1]
    hertz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 384 if layer == 3 else 576 if layer == 1 and version != 3 else 1152
    padding = data[2] >> 1 & 1
    size = (12 * bits // hertz + padding) * 4 if layer == 3 else samples // 8 * bits // hertz + padding
    mono = data[3] >> 6 == 3
    side = {(True, True): 17, (True, False): 32, (False, True): 9, (False, False): 17}[version == 3, mono]
    return _Frame(size, samples, hertz, 4 + side)


def _first_frame(data: bytes) -> int | None:
    """Returns where a frame begins that another of the same rate follows, or the end of the data."""
    for match in _SYNC.finditer(data):
        begin = match.start()
        frame = _frame(data[begin : begin + 4])
        if frame is None:
            continue
        after = data[begin + frame.size : begin + frame.size + 4]
        following = _frame(after)
        if following and following.rate == frame.rate and after[1] & 0xFE == data[begin + 1] & 0xFE:
            return begin
    return None


def _counted(data: bytes, frame: _Frame) -> tuple[int, int]:
    """Returns the frames and bytes that the first frame counts; 0 for what it does not."""
    tag = data[frame.side : frame.side + 16]
    if tag[:4] in (b"Xing", b"Info"):
        flags = tag[7]
        frames = int.from_bytes(tag[8:12], "big") if flags & 1 else 0
        place = 12 if flags & 1 else 8
        return frames, int.from_bytes(tag[place : place + 4], "big") if flags & 2 else 0
    if data[36:40] == b"VBRI":
        return int.from_bytes(data[50:54], "big"), int.from_bytes(data[46:50], "big")
    return 0, 0


def _more_follows(view: View, end: int) -> bool:
    """Tells whether frames follow those that were counted, perhaps after tags."""
    while skipped := tag_bytes(view, end):
        end += skipped
    if view.at(end, 8) == b"APETAGEX":
        end += 32 + int.from_bytes(view.at(end + 12, 4), "little")
    return view.size - end > _LONGEST_FRAME and _first_frame(view.at(end, _SEARCHED_BYTES)) is not None


def _least(samples: int, frame: _Frame, parts: int) -> int:
    return max(0, samples - _SLACK_FRAMES * parts * frame.samples)


def _walked(view: View, start: int, first: _Frame) -> Extent:
    """Counts all frames."""
    place, seconds, parts, data, base = start, 0.0, 1, b"", 0
    while place < view.size:
        if place - base + 4 > len(data) or not data:
            data, base = view.at(place, _READ_BYTES), place
        frame = _frame(data[place - base : place - base + 4])
        if frame:
            last = frame.size - (view.size - place)
            if last > frame.size // 2:  # most of a frame is missing
                break
            seconds += frame.samples / frame.rate
            place += frame.size
            continue
        skipped = tag_bytes(view, place)
        if not skipped:
            found = _first_frame(view.at(place, _SEARCHED_BYTES))
            if found is None:
                break
            skipped = found
        parts += 1
        place += skipped
    samples = _least(round(seconds * first.rate), first, parts)
    return Extent("MP3", joined=parts > 1, samples=samples, unsized=True)
