"""Measures how far a model's output frames are apart."""

import bisect
from collections.abc import Callable

_PROBE_SEC = (2, 6)


def samples_per_frame(count_frames: Callable[[int], int], sample_rate: int, hop_length: int | None) -> int:
    """Returns how many samples an output frame moves on.

    A number of frames is rounded by up to one. As frames move by whole hops of the front end, the result is exact.

    Args:
        count_frames: gives the output frames of so many samples.
        sample_rate: of the audio, Hz.
        hop_length: samples that the front end's frames move on; None where not known: then the lengths at which a
            frame is added are searched, which takes some twenty runs.
    """
    lengths = [second * sample_rate for second in _PROBE_SEC]
    if hop_length is None:
        lengths = [_next_frame(count_frames, samples, sample_rate) for samples in lengths]
    frames = [count_frames(samples) for samples in lengths]
    hop = hop_length or 1
    return max(1, round((lengths[1] - lengths[0]) / (frames[1] - frames[0]) / hop)) * hop


def _next_frame(count_frames: Callable[[int], int], samples: int, most: int) -> int:
    """Returns from which length on there is a frame more than of so many samples, at most `most` samples later."""
    return samples + bisect.bisect_left(
        range(most), count_frames(samples) + 1, key=lambda more: count_frames(samples + more)
    )
