"""The teacher's outputs at the frame rate of a student."""

import torch
from torch import Tensor


def resampled_lengths(lengths: Tensor, ratio: float) -> Tensor:
    """Returns the number of frames after `resample`, (B,) int.

    Args:
        lengths: (B,) int, valid frames.
        ratio: frames before per frame after.
    """
    return (lengths / ratio).round().long().clamp(min=lengths.clamp(max=1))


def resample(values: Tensor, lengths: Tensor, ratio: float) -> Tensor:
    """Interpolates linearly between the middles of frames; a frame after lies where it lies in the audio.

    Args:
        values: (B, T, D) float; padding does not matter.
        lengths: (B,) int, valid frames; of an utterance without any the result is arbitrary.
        ratio: frames before per frame after.

    Returns:
        (B, `resampled_lengths(lengths, ratio).max()`, D) float.
    """
    frames = int(resampled_lengths(lengths, ratio).max())
    middles = (torch.arange(frames, device=values.device) + 0.5) * ratio - 0.5  # (T after,) in frames before
    last = (lengths[:, None] - 1).clamp(min=0)
    position = torch.minimum(middles.clamp(min=0.0), last.to(middles.dtype))  # (B, T after)
    left = position.floor().long()
    right = torch.minimum(left + 1, last)
    weight = (position - left)[..., None]
    before, after = (values.take_along_dim(index[..., None], dim=1) for index in (left, right))
    return torch.lerp(before, after, weight.to(values.dtype))
