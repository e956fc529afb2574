"""Reads any audio file as blocks of one channel at a model's sampling rate."""

import math
import os
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet_ext.errors import UserError

# Not raw samples, which do not say their rate.
SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} | {
    ".aif",
    ".aifc",
    ".oga",
    ".opus",
    ".snd",
    ".sph",
}
# What libsndfile does not read: found in folders all the same, so that it is reported and not passed over.
_UNREADABLE = {".aac", ".amr", ".m4a", ".mka", ".mp4", ".webm", ".wma"}

# Programs that write to a pipe put such sizes into headers of RIFF and AIFF files.
_UNKNOWN_BYTES = 0x7F000000
_PADDING_BYTES = 1
_LONGEST_SEC = 1e6
STDIN = Path("-")
# Read at once, so that a long file is never in memory as a whole.
_READ_SAMPLES = 1 << 20


def find_audio(paths: list[Path]) -> dict[Path, Path]:
    """Finds the audio files among files and folders, the latter searched to the bottom.

    Returns:
        The path below the folder that was given, by file; of a file that was given its name, `stdin` for `-`.

    Raises:
        UserError: a path does not exist, or a folder holds no audio.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path == STDIN:
            found[path] = Path("stdin")
            continue
        if not path.exists():
            raise UserError(f"{path} does not exist")
        if path.is_file():
            found[path] = Path(path.name)
            continue
        audio = sorted(
            file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES | _UNREADABLE
        )
        readable = {file.with_suffix("") for file in audio if file.suffix.lower() in SUFFIXES}
        # A video beside its own sound is no loss.
        inside = [f for f in audio if f.suffix.lower() in SUFFIXES or f.with_suffix("") not in readable]
        if not inside:
            raise UserError(f"{path} holds no audio file ({', '.join(sorted(SUFFIXES)[:6])} ...)")
        found |= {file: file.relative_to(path) for file in inside}
    return found


def duration_sec(path: Path) -> float:
    """Returns how long a file says it is, for showing progress; 0 where it does not."""
    try:
        duration = soundfile.info(os.fsencode(path)).duration
    except Exception:  # reading says why
        return 0.0
    return duration if duration < _LONGEST_SEC else 0.0


def read_blocks(path: Path, sample_rate: int, block: int, overlap: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (first sample, (samples,) float32) of successive blocks; channels are averaged.

    Args:
        path: the file, of any rate, or `-` for the standard input.
        sample_rate: of the blocks, Hz.
        block: samples of a block.
        overlap: samples that it shares with the block before.

    Raises:
        soundfile.LibsndfileError: the file cannot be read.
        UserError: it ends before its header says (WAV, AIFF, MP3 with a length; FLAC is a LibsndfileError; in other
            formats nothing says so).
    """
    # Names as bytes, because soundfile encodes them strictly.
    with soundfile.SoundFile(BytesIO(sys.stdin.buffer.read()) if path == STDIN else os.fsencode(path)) as file:
        resampler = None
        if file.samplerate != sample_rate:
            resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32")
        declared = _declared_samples(path, file) if path != STDIN else 0
        pending, start, ended, read = np.zeros(0, np.float32), 0, False, 0
        while not ended:
            samples = file.read(_READ_SAMPLES, dtype="float32", always_2d=True).mean(axis=1)
            ended = len(samples) < _READ_SAMPLES
            read += len(samples)
            if ended and read < declared:
                raise UserError(f"{path} is cut off: {read} of {math.ceil(declared)} samples; copy it again")
            if resampler:
                samples = resampler.resample_chunk(samples, last=ended)
            pending = np.concatenate([pending, samples])
            while len(pending) >= block:
                yield start, pending[:block].copy()
                pending, start = pending[block - overlap :], start + block - overlap
        # What is left beyond the overlap has been in no block yet.
        if len(pending) > (overlap if start else 0):
            yield start, pending


def _declared_samples(path: Path, file: soundfile.SoundFile) -> float:
    """Returns how many samples a channel must have by the header; 0 where that says nothing.

    Of an MP3 file libsndfile may give a few frames less than its header says.
    """
    with path.open("rb") as raw:
        head = raw.read(12)
        if head[:3] == b"ID3":  # tags before the first frame; seven bits a byte
            raw.seek(10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)))
        first_frame = raw.read(2048)
    if file.format == "MP3":
        return 0.99 * file.frames if any(mark in first_frame for mark in (b"Xing", b"Info", b"VBRI")) else 0
    if head[:4] in (b"RIFF", b"FORM"):
        size = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big") + 8
        there = path.stat().st_size
        # libsndfile takes the length from what is there. A byte of padding may lack.
        return file.frames * size / there if there + _PADDING_BYTES < size < _UNKNOWN_BYTES else 0
    return 0
