"""Reads any audio file as blocks of one channel at a model's sampling rate."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet_ext.audio.downmix import Downmix
from espnet_ext.audio.reader import STDIN, open_recording
from espnet_ext.decode.formats import escape_name
from espnet_ext.errors import UserError

# What phones, browsers and cameras record.
_VIDEO_SUFFIXES = {".mkv", ".mov", ".mp4", ".webm"}
_PYAV_SUFFIXES = {".aac", ".amr", ".m4a", ".m4b", ".mka", ".wma"} | _VIDEO_SUFFIXES
# Not raw samples, which do not say their rate.
SUFFIXES = (
    {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
    | {".aif", ".aifc", ".oga", ".opus", ".snd", ".sph"}
    | _PYAV_SUFFIXES
)

_LONGEST_SEC = 1e6
_CHUNK = 1 << 16  # samples


def find_audio(paths: list[Path]) -> dict[Path, Path]:
    """Finds the audio files among files and folders, the latter searched to the bottom.

    In a folder, a video beside audio of its name is left out, and that is said on stderr.

    Args:
        paths: files, folders, named pipes, and `-` for the standard input.

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
        if not path.is_dir():
            found[path] = Path(path.name)
            continue
        audio = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
        sound = {file.with_suffix("") for file in audio if file.suffix.lower() not in _VIDEO_SUFFIXES}
        videos = {f for f in audio if f.suffix.lower() in _VIDEO_SUFFIXES and f.with_suffix("") in sound}
        for video in sorted(videos):
            print(f"warning: {escape_name(str(video))} is left out: audio of its name is beside it", file=sys.stderr)
        inside = [file for file in audio if file not in videos]
        if not inside:
            raise UserError(f"{path} holds no audio file ({', '.join(sorted(SUFFIXES)[:6])} ...)")
        found |= {file: file.relative_to(path) for file in inside}
    return found


def duration_sec(path: Path) -> float:
    """Returns how long a file says it is, for showing progress; 0 where it does not."""
    if not path.is_file():  # a pipe is read once
        return 0.0
    try:
        duration = soundfile.info(path).duration
    except Exception:  # reading says why
        duration = _pyav_duration_sec(path)
    return duration if duration < _LONGEST_SEC else 0.0


def _pyav_duration_sec(path: Path) -> float:
    try:
        import av

        with av.open(str(path)) as container:
            return (container.duration or 0) / av.time_base
    except Exception:  # reading says why
        return 0.0


def read_blocks(path: Path, sample_rate: int, block: int, overlap: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (first sample, (samples,) float32) of successive blocks.

    Channels are averaged; where they cancel each other (opposite phase), one of them is taken (`Downmix`).

    Args:
        path: a file of any rate and format, a named pipe, or `-` for the standard input.
        sample_rate: of the blocks, Hz.
        block: samples of a block.
        overlap: samples that it shares with the block before.

    Raises:
        UserError: it cannot be read, samples are missing (where its format tells), or are not finite.
    """
    with open_recording(path) as recording:
        yield from _cut(recording.blocks, recording.rate, sample_rate, block, overlap)


def array_blocks(
    samples: np.ndarray, rate: int | None, sample_rate: int, block: int, overlap: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Gives samples in memory as `read_blocks` gives those of a file.

    Args:
        samples: (samples,) or (samples, channels), integers of PCM or floats between -1 and 1.
        rate: theirs, Hz.
        sample_rate: of the blocks, Hz.
        block: samples of a block.
        overlap: samples that it shares with the block before.

    Raises:
        UserError: they are no audio, not finite, or their rate is missing.
    """
    samples = np.asarray(samples)
    if rate is None or rate <= 0:
        raise UserError("samples do not say their rate; give it in Hz, e.g. transcribe(samples, rate=16000)")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] > samples.shape[0]):
        raise UserError(f"samples of the shape {samples.shape} are no audio; give (samples,) or (samples, channels)")
    if samples.dtype.kind not in "fi" or not np.isfinite(samples).all():
        raise UserError(f"samples of the type {samples.dtype} must be finite floats, or signed integers of PCM")
    if samples.dtype.kind == "i":
        samples = samples / np.float32(-np.iinfo(samples.dtype).min)
    mono = samples.astype(np.float32, copy=False).reshape(len(samples), -1)
    return _cut((mono[i : i + _CHUNK] for i in range(0, len(mono), _CHUNK)), rate, sample_rate, block, overlap)


def _cut(
    chunks: Iterable[np.ndarray], rate: int, sample_rate: int, block: int, overlap: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Makes (samples, channels) at one rate overlapping blocks of one channel at another."""
    downmix, resampler = Downmix(), None
    if rate != sample_rate:
        resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
    pending, start = np.zeros(0, np.float32), 0

    def converted() -> Iterator[np.ndarray]:
        for samples in chunks:
            mono = downmix(samples)
            yield resampler.resample_chunk(mono) if resampler else mono
        if resampler:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    for samples in converted():
        pending = np.concatenate([pending, samples])
        while len(pending) >= block:
            yield start, pending[:block].copy()
            pending, start = pending[block - overlap :], start + block - overlap
    # What is left beyond the overlap has been in no block yet.
    if len(pending) > (overlap if start else 0):
        yield start, pending
