"""Measures how far a model's output frames are apart."""

from collections.abc import Callable

_PROBE_SEC = (2, 6)


def samples_per_frame(count_frames: Callable[[int], int], sample_rate: int, hop_length: int | None) -> int:
    """Returns how many samples an output frame moves on.

    A number of frames is rounded by up to one. As frames move by whole hops of the front end, the result is exact.

    Args:
        count_frames: gives the output frames of so many samples.
        sample_rate: of the audio, Hz.
        hop_length: samples that the front end's frames move on; None where not known, taken as 10 ms.
    """
    hop = hop_length or sample_rate // 100
    samples = [second * sample_rate for second in _PROBE_SEC]
    frames = [count_frames(one) for one in samples]
    return max(1, round((samples[1] - samples[0]) / (frames[1] - frames[0]) / hop)) * hop
