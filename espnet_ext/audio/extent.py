"""What a container says of its own length, compared with the bytes that are there."""

from dataclasses import dataclass

from espnet_ext.audio.view import View

# Less than the step of any front end: a header that counts a few bytes too many loses nothing that can be heard.
INAUDIBLE_SEC = 0.01
# So many bytes or samples, or more, say headers and libsndfile where they do not know the length.
NO_LENGTH = 1 << 62
# Hz; what a header says beyond is damage.
RATES = range(1000, 1_000_001)
# How recordings begin, by whose sight a second one after the first is known.
_MAGICS = (
    b"RIFF",
    b"RF64",
    b"BW64",
    b"FORM",
    b"riff",
    b".snd",
    b"caff",
    b"NIST_1A",
    b"fLaC",
    b"OggS",
    b"\x1aE\xdf\xa3",
)


@dataclass(frozen=True)
class Extent:
    """What a container tells of its length.

    Attributes:
        kind: name of the format; empty for one that is not known here.
        lost: what is missing; empty where nothing is known to be.
        joined: whether a second recording follows the first in the same file.
        samples: at least so many a channel are there; 0 where only decoding tells.
        unsized: whether the header never got its sizes.
    """

    kind: str = ""
    lost: str = ""
    joined: bool = False
    samples: int = 0
    unsized: bool = False


def begins_recording(view: View, offset: int) -> bool:
    """Tells whether a recording begins at a place, or one byte of padding after it."""
    start = view.at(offset, 17)
    return start.startswith(_MAGICS) or start[1:].startswith(_MAGICS) or start[4:8] == b"ftyp"


def missing_text(missing_sec: float, total_sec: float) -> str:
    """Returns `Extent.lost` for a length in seconds."""
    return f"{missing_sec:.2f} of {total_sec:.2f} s are missing"
