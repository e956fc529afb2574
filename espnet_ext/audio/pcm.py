"""Containers of plain samples: WAV, RF64, W64, AIFF, CAF, AU and NIST SPHERE. Their headers give the size in bytes.

Programs that write to a pipe, and recorders that were switched off, leave that size at 0 or at a placeholder.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from espnet_ext.audio.extent import INAUDIBLE_SEC, Extent, begins_recording, missing_text
from espnet_ext.audio.view import View

_AU_SAMPLE_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_AIFC_PLAIN = (b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32")
_W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_TAGS = (b"TAG", b"ID3", b"APETAGEX")


@dataclass
class _Layout:
    """Where the samples are.

    Attributes:
        data: first byte of the samples.
        declared: their bytes by the header; None where it never got its size.
        rate: samples per second of a channel.
        frame_bytes: bytes of one sample of all channels; 0 where samples are coded in blocks.
        byte_rate: bytes per second; 0 where that is not known.
        end: where the container ends by its header.
    """

    data: int = 0
    declared: int | None = None
    rate: float = 0
    frame_bytes: int = 0
    byte_rate: float = 0
    end: int = 0


def _extent(kind: str, view: View, layout: _Layout) -> Extent:
    byte_rate = layout.byte_rate or layout.rate * layout.frame_bytes
    there = max(0, view.size - layout.data)
    usable = there if layout.declared is None else min(there, layout.declared)
    lost = ""
    if layout.declared is not None and layout.declared - there > INAUDIBLE_SEC * byte_rate:
        missing = layout.declared - there
        lost = f"{missing} of {layout.declared} bytes of samples are missing"
        if byte_rate:
            lost = missing_text(missing / byte_rate, layout.declared / byte_rate)
    end = layout.end if layout.declared is not None else view.size
    joined = 0 < end < view.size and begins_recording(view, end)
    if 0 < end < view.size and not joined and byte_rate and view.size - end > byte_rate and not _known_tail(view, end):
        lost = f"it counts {layout.declared / byte_rate:.2f} s, and {view.size - end} unknown bytes follow"
    samples = usable // layout.frame_bytes if layout.frame_bytes else 0
    return Extent(kind, lost, joined, samples, layout.declared is None)


def _known_tail(view: View, offset: int) -> bool:
    """Tells whether what follows the container is no audio: zeros, a tag, or one more chunk."""
    tail = view.at(offset, 4096)
    if not tail.strip(b"\0") or tail.startswith(_TAGS):
        return True
    return tail[:4].isascii() and tail[:4].decode().isprintable()


def _placeholder(size: int) -> bool:
    """Tells whether a size of four bytes is what programs write that do not know it (sox, arecord, ffmpeg)."""
    return 0x7F000000 <= size <= 0x80000100 or size >= 0xFFFFFF00


def _chunks(view: View, offset: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    while len(head := view.at(offset, 8)) == 8:
        size = int.from_bytes(head[4:], order)  # type: ignore[arg-type]
        yield head[:4], offset + 8, size
        offset += 8 + size + size % 2


def _only_chunks(view: View, offset: int, order: str) -> bool:
    """Tells whether a place is followed by chunks up to the end, so that samples of size 0 are none."""
    for name, start, size in _chunks(view, offset, order):
        if not (name.isascii() and name.decode().isprintable()) or start + size > view.size + 1:
            return False
        offset = start + size + size % 2
    return view.size - offset < 8


def riff(view: View) -> Extent:
    """Examines WAV and RF64."""
    kind, layout = view.at(0, 4).decode().replace("RIFF", "WAV"), _Layout()
    total, wide_data = int.from_bytes(view.at(4, 4), "little"), 0
    for name, start, size in _chunks(view, 12, "little"):
        if name == b"ds64":
            total, wide_data = struct.unpack("<QQ", view.at(start, 16))
        elif name == b"fmt ":
            _, channels, rate, byte_rate, align, bits = struct.unpack("<HHIIHH", view.at(start, 16).ljust(16, b"\0"))
            layout.rate, layout.byte_rate = rate, byte_rate
            layout.frame_bytes = align if align == channels * ((bits + 7) // 8) else 0
        elif name == b"data":
            if kind != "WAV" and size == 0xFFFFFFFF:
                size = wide_data if wide_data < 1 << 62 else 0
                unsized = size == 0
            else:
                unsized = _placeholder(size) and start + size > view.size
            if size == 0 and not _only_chunks(view, start, "little"):
                unsized = True
            layout.data, layout.declared = start, None if unsized else size
            total = 0 if total > view.size and not unsized else total
            layout.end = max(start + size, total + 8)
            return _extent(kind, view, layout)
    return Extent(kind)


def aiff(view: View) -> Extent:
    """Examines AIFF and AIFC."""
    layout, frames = _Layout(), 0
    total = int.from_bytes(view.at(4, 4), "big") + 8
    for name, start, size in _chunks(view, 12, "big"):
        if name == b"COMM":
            comm = view.at(start, 22).ljust(22, b"\0")
            channels, frames, bits, exponent, mantissa = struct.unpack(">HIHHQ", comm[:18])
            if 16383 <= exponent < 16383 + 32:  # a number of 80 bits
                layout.rate = math.ldexp(mantissa, exponent - 16383 - 63)
            if view.at(8, 4) == b"AIFF" or comm[18:] in _AIFC_PLAIN:
                layout.frame_bytes = channels * ((bits + 7) // 8)
        elif name == b"SSND":
            data, size = start + 8, max(0, size - 8)
            unsized = _placeholder(size + 8) and data + size > view.size
            if size == 0 and not _only_chunks(view, data, "big"):
                unsized = True
            layout.data, layout.declared = data, None if unsized else size
            if not layout.frame_bytes and frames and layout.rate:
                layout.byte_rate = size * layout.rate / frames
            layout.end = max(data + size, total if total <= view.size else 0)
            return _extent("AIFF", view, layout)
    return Extent("AIFF")


def w64(view: View) -> Extent:
    """Examines W64: chunks named by sixteen bytes, of sizes of eight bytes that count their own head."""
    layout, offset = _Layout(), 40
    while len(head := view.at(offset, 24)) == 24:
        size = int.from_bytes(head[16:], "little")
        if head[:16] == b"fmt " + _W64_TAIL:
            _, channels, rate, byte_rate, align, bits = struct.unpack("<HHIIHH", view.at(offset + 24, 16))
            layout.rate, layout.byte_rate = rate, byte_rate
            layout.frame_bytes = align if align == channels * ((bits + 7) // 8) else 0
        elif head[:16] == b"data" + _W64_TAIL:
            layout.data, layout.end = offset + 24, offset + size
            layout.declared = None if size <= 24 or size >= 1 << 62 else size - 24
            return _extent("W64", view, layout)
        offset += max(24, (size + 7) // 8 * 8)
    return Extent("W64")


def caf(view: View) -> Extent:
    """Examines CAF."""
    layout, offset = _Layout(), 8
    while len(head := view.at(offset, 12)) == 12:
        size = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"desc":
            rate, _, _, packet_bytes, packet_frames, _, _ = struct.unpack(">d4s5I", view.at(offset + 12, 32))
            layout.rate = rate
            layout.byte_rate = packet_bytes * rate / packet_frames if packet_frames else 0
            layout.frame_bytes = packet_bytes if packet_frames == 1 else 0
        elif head[:4] == b"data":
            layout.data = offset + 16  # after the number of edits
            layout.declared = None if size <= 4 else size - 4
            layout.end = offset + 12 + size
            return _extent("CAF", view, layout)
        offset += 12 + max(0, size)
    return Extent("CAF")


def au(view: View) -> Extent:
    """Examines AU."""
    order = ">" if view.at(0, 4) == b".snd" else "<"
    data, size, encoding, rate, channels = struct.unpack(f"{order}5I", view.at(4, 20).ljust(20, b"\0"))
    declared = None if size == 0xFFFFFFFF or size == 0 < view.size - data else size
    frame_bytes = _AU_SAMPLE_BYTES.get(encoding, 0) * channels
    return _extent("AU", view, _Layout(data, declared, rate, frame_bytes, end=data + size))


def sphere(view: View) -> Extent:
    """Examines NIST SPHERE; of samples compressed with shorten the size says nothing."""
    fields = sphere_fields(view)
    try:
        samples, rate = int(fields.get("sample_count", 0)), int(fields.get("sample_rate", 0))
        frame_bytes = int(fields.get("channel_count", 1)) * int(fields.get("sample_n_bytes", 2))
        start = int(view.at(8, 8))
    except ValueError:
        return Extent("NIST")
    if fields.get("sample_coding", "pcm") not in ("pcm", "ulaw", "alaw"):
        return Extent("NIST")
    declared = samples * frame_bytes or None
    return _extent("NIST", view, _Layout(start, declared, rate, frame_bytes, end=start + (declared or 0)))


def sphere_fields(view: View) -> dict[str, str]:
    """Returns the fields of a NIST SPHERE header; no field for another format."""
    magic, size = view.at(0, 8), view.at(8, 8).strip()
    if magic != b"NIST_1A\n" or not size.isdigit():
        return {}
    lines = view.at(16, int(size) - 16).decode(errors="replace").splitlines()
    fields = (line.split(maxsplit=2) for line in lines)  # <name> -<type> <value>
    return {field[0]: field[2].strip() for field in fields if len(field) == 3}
