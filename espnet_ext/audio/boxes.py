"""What phones and browsers record: MP4 (m4a, mov), Matroska (webm, mka) and ASF (wma)."""

import struct

from espnet_ext.audio.extent import Extent
from espnet_ext.audio.view import View

_SEGMENT = b"\x18\x53\x80\x67"
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_BROADCAST = 1


def mp4(view: View) -> Extent:
    """Examines MP4: boxes with sizes, of which `moov` is the index."""
    offset, indices = 0, 0
    while len(head := view.at(offset, 16)) >= 8:
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        size = size or view.size - offset
        indices += head[4:8] == b"moov"
        if offset + size > view.size:
            return Extent("MP4", _bytes_missing(offset + size, view))
        offset += max(8, size)
    if not indices:
        return Extent("MP4", "its index ('moov') is missing: the recording was not finished")
    return Extent("MP4", joined=indices > 1)


def matroska(view: View) -> Extent:
    """Examines Matroska; where a browser left the size of the segment open, nothing tells its end."""
    offset = 4 + sum(_vint(view, 4))
    if view.at(offset, 4) != _SEGMENT:
        return Extent("Matroska", "it ends within its header")
    length, size = _vint(view, offset + 4)
    if size == (1 << 7 * length) - 1:
        return Extent("Matroska")
    end = offset + 4 + length + size
    if end > view.size:
        return Extent("Matroska", _bytes_missing(end, view))
    return Extent("Matroska", joined=view.at(end, 4) == b"\x1aE\xdf\xa3")


def asf(view: View) -> Extent:
    """Examines ASF."""
    (count,) = struct.unpack("<I", view.at(24, 4).ljust(4, b"\0"))
    offset = 30
    for _ in range(count):
        head = view.at(offset, 24)
        if len(head) < 24:
            break
        if head[:16] == _ASF_FILE:
            (size,) = struct.unpack("<Q", view.at(offset + 40, 8).ljust(8, b"\0"))
            flags = int.from_bytes(view.at(offset + 88, 4), "little")
            lost = "" if flags & _BROADCAST or size <= view.size else _bytes_missing(size, view)
            return Extent("ASF", lost, joined=not flags & _BROADCAST and view.at(size, 16) == _ASF_HEADER)
        offset += max(24, int.from_bytes(head[16:], "little"))
    return Extent("ASF", "it ends within its header")


def _vint(view: View, offset: int) -> tuple[int, int]:
    """Returns bytes and value of a Matroska number."""
    first = view.at(offset, 1) or b"\x01"
    length = 9 - first[0].bit_length()
    data = view.at(offset, length)
    return length, int.from_bytes(data, "big") & (1 << 7 * length) - 1


def _bytes_missing(size: int, view: View) -> str:
    return f"{size - view.size} of {size} bytes are missing"
