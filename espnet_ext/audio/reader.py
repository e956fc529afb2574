"""Samples of a recording, all of them or an error: libsndfile reads what it reads whole, PyAV the rest."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from espnet_ext.audio.examine import examine
from espnet_ext.audio.extent import NO_LENGTH, RATES, Extent
from espnet_ext.audio.pyav import decode
from espnet_ext.audio.view import FileView, StreamView
from espnet_ext.errors import UserError
from espnet_ext.files import check_not_pointer

STDIN = Path("-")
# Formats that PyAV reads on into a second recording in the same file.
_READ_ON = ("FLAC", "MP3", "Ogg")
# What is decoded while it arrives. Of other formats all has to be there, to read it or to know that nothing lacks.
_STREAMED = (b"RIFF", b"fLaC", b"\x1aE\xdf\xa3")
_READ_SAMPLES = 1 << 16


@dataclass(frozen=True)
class Recording:
    """A recording that is being read.

    Attributes:
        rate: samples per second.
        channels: how many.
        blocks: its samples, (samples, channels) float32, in blocks of 65536 and a last one. Raises `UserError` where
            samples are missing, broken or not finite.
    """

    rate: int
    channels: int
    blocks: Iterator[np.ndarray]


class _Forward(soundfile.SoundFile):
    """A file that is read from begin to end.

    `SoundFile` seeks after each read to where it should be. Where a damaged Ogg file has a gap, that goes back: the
    number of samples is right, and some come twice.
    """

    def seekable(self) -> bool:
        """Returns that it is not, so that `read` does not seek."""
        return False


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Opens a file, a named pipe, or `-` for the standard input.

    Raises:
        UserError: it is damaged, or nothing reads it.
    """
    with ExitStack() as stack:
        file: BinaryIO = sys.stdin.buffer if path == STDIN else stack.enter_context(path.open("rb"))
        name = "standard input" if path == STDIN else str(path)
        if file.seekable():
            if path != STDIN:
                check_not_pointer(path)
            yield _believed(_from_file(file, name, stack), name)
            return
        head = file.read(4)
        if head.startswith(_STREAMED):
            yield _believed(_from_stream(StreamView(file, head), name, stack), name)
            return
        copy = stack.enter_context(tempfile.TemporaryFile())
        copy.write(head)
        shutil.copyfileobj(file, copy)
        yield _believed(_from_file(copy, name, stack), name)


def _believed(recording: Recording, name: str) -> Recording:
    if recording.rate not in RATES:
        raise UserError(f"{name} says that it has {recording.rate} Hz, so its header is damaged; copy it again")
    return recording


def _from_file(file: BinaryIO, name: str, stack: ExitStack) -> Recording:
    view = FileView(file)
    if view.size == 0:
        raise UserError(f"{name} is empty (0 bytes); copy or record it again")
    extent = examine(view)
    _refuse(extent, name)
    file.seek(0)
    try:
        sound = stack.enter_context(_Forward(file))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        return _with_pyav(file, extent, name, stack, getattr(error, "error_string", str(error)))
    guessed = extent.kind == "MP3" and extent.unsized
    if extent.joined or guessed or not extent.samples <= sound.frames < NO_LENGTH:
        return _with_pyav(file, extent, name, stack, f"libsndfile finds {sound.frames} samples")
    least = extent.samples if extent.kind == "MP3" else sound.frames  # it may give a few frames less than it says
    blocks = _checked(_libsndfile_blocks(sound, name), name, lambda: least)
    return Recording(sound.samplerate, sound.channels, blocks)


def _from_stream(view: StreamView, name: str, stack: ExitStack) -> Recording:
    def least() -> int:
        view.drain()
        extent = examine(view)
        _refuse(extent, name)
        return extent.samples

    rate, channels, blocks = decode(view, name, stack, "", tolerant=False)
    return Recording(rate, channels, _checked(blocks, name, least))


def _with_pyav(file: BinaryIO, extent: Extent, name: str, stack: ExitStack, reason: str) -> Recording:
    file.seek(0)
    rate, channels, blocks = decode(file, name, stack, reason, tolerant=extent.kind == "MP3" and extent.joined)
    least = extent.samples if extent.kind else 1  # of a container that tells nothing, no samples are no recording
    return Recording(rate, channels, _checked(blocks, name, lambda: least))


def _refuse(extent: Extent, name: str) -> None:
    if extent.lost:
        raise UserError(
            f"{name} is cut off, or its header is wrong: {extent.lost}; copy or record it again, or write what is "
            "there to a new file: ffmpeg -i IN OUT.flac, or of WAV: sox --ignore-length IN OUT.wav"
        )
    if extent.joined and extent.kind not in _READ_ON:
        raise UserError(
            f"{name} is several {extent.kind} files joined byte by byte, of which only the first would be read; "
            "give the parts, or join them with: sox A B OUT"
        )


def _checked(blocks: Iterator[np.ndarray], name: str, least: Callable[[], int]) -> Iterator[np.ndarray]:
    read = 0
    for block in _equal(blocks):
        if not np.isfinite(block).all():
            raise UserError(f"{name} holds NaN or infinite samples after sample {read}; write it anew as 16-bit PCM")
        read += len(block)
        yield block
    if read < least():
        raise UserError(f"{name} is cut off or damaged: {read} of {least()} samples could be read; copy it again")


def _equal(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Cuts blocks to equal length, so that what depends on a block is the same for every decoder."""
    kept: list[np.ndarray] = []
    count = 0
    for block in blocks:
        kept.append(block)
        count += len(block)
        if count >= _READ_SAMPLES:
            joined = np.concatenate(kept)
            whole = count // _READ_SAMPLES * _READ_SAMPLES
            yield from np.split(joined[:whole], whole // _READ_SAMPLES)
            kept, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(kept)


def _libsndfile_blocks(sound: soundfile.SoundFile, name: str) -> Iterator[np.ndarray]:
    read = 0
    try:
        while len(block := sound.read(_READ_SAMPLES, dtype="float32", always_2d=True)):
            read += len(block)
            yield block
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"{name} is damaged after {read} samples ({error}); copy it again") from error
