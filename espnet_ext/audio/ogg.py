"""Ogg: numbered pages with sums, of which the last says that it is the last.

Decoders pass over a damaged page. In the middle that leaves fewer samples than there should be. Of the first and the
last one it does not, because the length is counted from one to the other. So the sums of those two are compared here.
"""

import re
import zlib
from dataclasses import dataclass

from espnet_ext.audio.extent import Extent
from espnet_ext.audio.view import View

_PROBES = 4
_LONGEST_PAGE = 27 + 255 + 255 * 255
_WINDOW = 1 << 14
_CAPTURE = re.compile(rb"OggS\x00")
_FIRST, _LAST = 2, 4
_SUM = slice(22, 26)  # in the header of a page
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class _Page:
    """Header of a page: where it is, bytes of it, flags, position in samples, which stream, and its number there."""

    place: int
    size: int
    flags: int
    position: int
    stream: int
    number: int


def ogg(view: View) -> Extent:
    """Examines Ogg."""
    first = _page(view, 0)
    if first is None:
        return Extent("Ogg", "it ends within its header")
    streams, start = {first.stream}, first.size
    while (page := _page(view, start)) and page.flags & _FIRST:  # several begin together: sound and video
        streams.add(page.stream)
        start += page.size
    sound = start
    while (begin := _page(view, sound)) and not begin.position:  # headers of the coder, whose position is 0
        sound += begin.size
    spots = [start + (view.size - start) * i // (_PROBES + 1) for i in range(1, _PROBES + 1)]
    spots.append(max(start, view.size - 2 * _LONGEST_PAGE))
    before, last = first, first
    for spot in spots:
        at_end = spot == spots[-1]
        pages = _pages(view, spot, view.size - spot if at_end else _WINDOW)
        for page in pages if at_end else pages[:1]:
            if page.stream not in streams or page.flags & _FIRST:
                return Extent("Ogg", joined=True)
            if page.stream == first.stream and page.place > before.place:
                if page.number <= before.number:
                    return Extent("Ogg", joined=True)
                before = page
            last = page
    if last.place + last.size > view.size or not last.flags & _LAST:
        return Extent("Ogg", "the page that ends the stream is missing")
    for page in (begin, last):
        if page and not _is_whole(view, page):
            return Extent("Ogg", f"the page at byte {page.place} does not have its sum")
    return Extent("Ogg")


def _page(view: View, place: int) -> _Page | None:
    head = view.at(place, 27)
    if len(head) < 27 or head[:5] != b"OggS\0":
        return None
    lacing = view.at(place + 27, head[26])
    size = 27 + head[26] + sum(lacing)
    position, stream, number = (
        int.from_bytes(head[first:end], "little") for first, end in ((6, 14), (14, 18), (18, 22))
    )
    return _Page(place, size, head[5], position, stream, number)


def _is_whole(view: View, page: _Page) -> bool:
    """Tells whether a page has its sum: a CRC-32 as zlib's, but with the bits of every byte from the other end."""
    data = bytearray(view.at(page.place, page.size))
    if len(data) < page.size:  # of a stream, not kept
        return True
    stored = int.from_bytes(data[_SUM], "little")
    data[_SUM] = bytes(4)
    crc = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(crc.to_bytes(4, "little").translate(_REVERSED), "big") == stored


def _pages(view: View, offset: int, count: int) -> list[_Page]:
    """Returns the pages that begin in a range of bytes."""
    places = (offset + match.start() for match in _CAPTURE.finditer(view.at(offset, count)))
    return [page for place in places if (page := _page(view, place))]
