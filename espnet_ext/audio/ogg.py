"""Ogg: numbered pages, of which the last says that it is the last."""

import re
from dataclasses import dataclass

from espnet_ext.audio.extent import Extent
from espnet_ext.audio.view import View

_PROBES = 4
_LONGEST_PAGE = 27 + 255 + 255 * 255
_WINDOW = 1 << 14
_CAPTURE = re.compile(rb"OggS\x00")
_FIRST, _LAST = 2, 4


@dataclass(frozen=True)
class _Page:
    """Header of a page: where it is, bytes of it, flags, which stream, and its number there."""

    place: int
    size: int
    flags: int
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
    return Extent("Ogg")


def _page(view: View, place: int) -> _Page | None:
    head = view.at(place, 27)
    if len(head) < 27 or head[:5] != b"OggS\0":
        return None
    lacing = view.at(place + 27, head[26])
    size = 27 + head[26] + sum(lacing)
    return _Page(place, size, head[5], int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little"))


def _pages(view: View, offset: int, count: int) -> list[_Page]:
    """Returns the pages that begin in a range of bytes."""
    places = (offset + match.start() for match in _CAPTURE.finditer(view.at(offset, count)))
    return [page for place in places if (page := _page(view, place))]
