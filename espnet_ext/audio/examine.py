"""Examines a recording of any kind.

What is read of a file, whatever its length:

- WAV, RF64, W64, AIFF, CAF, AU, NIST, MP4, Matroska, ASF: heads of chunks, under 1 kB.
- MP3 that counts its frames (Xing, Info, VBRI): the first 66 kB.
- FLAC, Ogg: the header, and at most 0.3 MB at the end and at four places in between.
- MP3 without a count, or with more behind what was counted: all of it.

What cannot be known: where raw AAC or AMR should end, MP3 without a count, or a webm whose browser left the size open.
Damage in the middle is seen only by decoding.
"""

from espnet_ext.audio import boxes, pcm
from espnet_ext.audio.extent import Extent
from espnet_ext.audio.flac import flac
from espnet_ext.audio.mp3 import mp3, tag_bytes
from espnet_ext.audio.ogg import ogg
from espnet_ext.audio.view import View

_KINDS = {
    b"RIFF": pcm.riff,
    b"RF64": pcm.riff,
    b"BW64": pcm.riff,
    b"FORM": pcm.aiff,
    b"riff": pcm.w64,
    b"caff": pcm.caf,
    b".snd": pcm.au,
    b"dns.": pcm.au,
    b"NIST": pcm.sphere,
    b"OggS": ogg,
    b"\x1aE\xdf\xa3": boxes.matroska,
    b"\x30\x26\xb2\x75": boxes.asf,
}


def examine(view: View) -> Extent:
    """Returns what a recording says of its length, compared with what is there."""
    offset = 0
    while skipped := tag_bytes(view, offset):
        offset += skipped
    head = view.at(offset, 12)
    if head[:4] == b"fLaC":
        return flac(view, offset)
    if offset == 0 and head[4:8] == b"ftyp":
        return boxes.mp4(view)
    if offset == 0 and head[:4] in _KINDS and (head[:4] != b"FORM" or head[8:12] in (b"AIFF", b"AIFC")):
        return _KINDS[head[:4]](view)
    if offset or head[:1] in (b"\xff", b"\0"):
        return mp3(view, offset) or Extent()
    return Extent()
