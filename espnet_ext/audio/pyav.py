"""Decoding with PyAV: what libsndfile does not read, or not whole."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from espnet_ext.errors import UserError, require

# How long before its end by the index of an MP4 file the last sample may be.
_TOLERANCE_SEC = 0.5
# Between two frames of a whole recording there is less.
_GAP_SEC = 0.2


def decode(
    file: Any, name: str, stack: ExitStack, reason: str, tolerant: bool
) -> tuple[int, int, Iterator[np.ndarray]]:
    """Decodes the first sound track of a recording.

    Args:
        file: a binary file, or anything with `read`.
        name: for errors.
        stack: closes it.
        reason: why libsndfile does not.
        tolerant: whether bytes between two recordings that are no audio are passed over.

    Returns:
        Samples per second, channels, and blocks of (samples, channels) float32.

    Raises:
        UserError: it cannot be read, or (from the blocks) it is damaged.
    """
    require("av", extra="device")
    import av

    unreadable = f"{name} cannot be read{f' ({reason})' if reason else ''}; convert it: ffmpeg -i IN OUT.flac"
    try:
        container = stack.enter_context(av.open(file))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{unreadable} ({error})") from error
    if not container.streams.audio:
        raise UserError(f"{name} holds no sound")
    stream = container.streams.audio[0]

    def frames() -> Iterator[Any]:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                if not tolerant:
                    raise

    decoded = frames()
    try:
        first = next(decoded, None)
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"{unreadable} ({error})") from error
    if first is None:
        return stream.rate or 16000, 1, iter(())
    rate, channels = first.sample_rate, first.layout.nb_channels

    def blocks() -> Iterator[np.ndarray]:
        resampler = av.AudioResampler("flt", first.layout, rate)
        read, frame, expected_sec = 0, first, first.time
        try:
            while frame is not None:
                if (frame.sample_rate, frame.layout.nb_channels) != (rate, channels):
                    raise UserError(f"{name} changes its sampling rate or channels midway; split it there")
                gap_sec = 0.0 if None in (frame.time, expected_sec) else frame.time - expected_sec
                if gap_sec > _GAP_SEC:
                    raise UserError(
                        f"{name} is damaged: {gap_sec:.2f} s are missing after {expected_sec:.2f} s; "
                        "copy it again, or write what is there to a new file: ffmpeg -i IN OUT.flac"
                    )
                expected_sec = None if frame.time is None else frame.time + frame.samples / rate
                for part in resampler.resample(frame):
                    block = part.to_ndarray().reshape(-1, channels)
                    read += len(block)
                    yield block
                frame = next(decoded, None)
        except (av.FFmpegError, OSError) as error:
            raise UserError(f"{name} is damaged after {read} samples ({error}); copy it again") from error
        if "mov" in container.format.name and stream.duration:
            promised = float(stream.duration * stream.time_base) * rate
            if read < promised - _TOLERANCE_SEC * rate:
                raise UserError(f"{name} is cut off: {read} of {promised:.0f} samples; copy it again")

    return rate, channels, blocks()
