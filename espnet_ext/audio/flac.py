"""FLAC: the header counts the samples, and every frame says which are its own.

The frames at the end and at a few places in between tell whether samples lack and whether a second file follows.
"""

import re
from collections.abc import Iterator
from itertools import islice

from espnet_ext.audio.extent import INAUDIBLE_SEC, Extent, missing_text
from espnet_ext.audio.view import View

_PROBES = 4
_WINDOW = 1 << 14
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_AGAIN = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # a second header
_HEADER_BYTES = 16


def flac(view: View, offset: int) -> Extent:
    """Examines FLAC.

    Args:
        view: the bytes.
        offset: where `fLaC` is; tags may be before it.
    """
    info = view.at(offset + 8, 18)
    if len(info) < 18:
        return Extent("FLAC", "it ends within its header")
    block = int.from_bytes(info[2:4], "big")  # the longest: some encoders give the last frame's as the shortest
    longest = int.from_bytes(info[7:10], "big")
    rate = int.from_bytes(info[10:13], "big") >> 4
    total = int.from_bytes(info[13:18], "big") & (1 << 36) - 1
    start = _audio_start(view, offset + 4)
    first = _header(view.at(start, _HEADER_BYTES), block)
    if first is None:
        return Extent("FLAC", "no samples follow its header" if total else "")
    window = max(_WINDOW, 2 * longest)
    spots = [start + (view.size - start) * i // (_PROBES + 1) for i in range(1, _PROBES + 1)]
    spots.append(max(start, view.size - 4 * window))
    last_place, last_sample, end = start, 0, 0
    for spot in spots:
        last = spot == spots[-1]
        data = view.at(spot, 4 * window if last else window)
        if _AGAIN.search(data):
            return Extent("FLAC", joined=True)
        frames = _frames(data, block, first[2])
        for place, sample, count in frames if last else islice(frames, 1):
            if spot + place > last_place and sample <= last_sample:
                return Extent("FLAC", joined=True)
            last_place, last_sample, end = spot + place, sample, sample + count
    if total and end > total:
        return Extent("FLAC", joined=True)
    lost = ""
    if total and end and total - end > INAUDIBLE_SEC * rate:
        lost = missing_text((total - end) / rate, total / rate)
    return Extent("FLAC", lost, samples=total or end, unsized=not total)


def _audio_start(view: View, offset: int) -> int:
    while len(head := view.at(offset, 4)) == 4:
        offset += 4 + int.from_bytes(head[1:], "big")
        if head[0] & 128:  # the last block before the audio
            break
    return offset


def _frames(data: bytes, block: int, alike: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields place, first sample and number of samples of the frames whose header is in the data.

    Compressed audio looks like a header once in some gigabytes. So a frame counts only if it continues one of the two
    before it, or one of the next two continues it, or it is alone.
    """
    frames = []
    for match in _SYNC.finditer(data):
        header = _header(data[match.start() : match.start() + _HEADER_BYTES], block)
        if header and header[2] == alike:
            frames.append((match.start(), header[0], header[1]))
    for number, frame in enumerate(frames):
        before, after = frames[max(0, number - 2) : number], frames[number + 1 : number + 3]
        pairs = [*((one, frame) for one in before), *((frame, one) for one in after)]
        if len(frames) == 1 or any(one[1] + one[2] == other[1] for one, other in pairs):
            yield frame


def _header(data: bytes, block: int) -> tuple[int, int, bytes] | None:
    """Reads the header of a frame.

    Returns:
        First sample, number of samples, and what all frames of a file have in common; None where no frame begins.
    """
    if len(data) < 6 or data[0] != 0xFF or data[1] & 0xFE != 0xF8 or data[3] & 1:
        return None
    ones = 8 - (data[4] ^ 255).bit_length()  # the number is coded like a character of UTF-8
    length = max(1, ones)
    if ones == 1 or ones > 7 or len(data) < length + 9:
        return None
    number = data[4] & (127 >> ones)
    for byte in data[5 : 4 + length]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 63
    at, code, rate_code = 4 + length, data[2] >> 4, data[2] & 15
    if code == 0 or rate_code == 15:
        return None
    if code in (6, 7):
        count = int.from_bytes(data[at : at + code - 5], "big") + 1
        at += code - 5
    else:
        count = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if _crc8(data[:at]) != data[at]:
        return None
    first = number if data[1] & 1 else number * block
    return first, count, bytes([data[1], rate_code, data[3] & 15])


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def _crc8_of(crc: int) -> int:
    for _ in range(8):
        crc = (crc << 1 ^ 7) & 255 if crc & 128 else crc << 1
    return crc


_CRC8 = [_crc8_of(byte) for byte in range(256)]
