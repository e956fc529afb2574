"""Means over valid frames only."""

import torch
from torch import Tensor


def valid_frames(lengths: Tensor, num_frames: int) -> Tensor:
    """Returns the mask of valid frames.

    Args:
        lengths: (B,) int, valid frames of each utterance.
        num_frames: T, frames of the padded batch.

    Returns:
        (B, T) bool, True on valid frames.
    """
    return torch.arange(num_frames, device=lengths.device) < lengths[:, None]


def without_padding(values: Tensor, lengths: Tensor) -> Tensor:
    """Returns a copy whose padding frames are zero.

    A loss that leaves padding out of its value has a gradient of zero there, but zero times NaN is NaN further back.
    So padding is emptied before anything is computed of it.

    Args:
        values: (B, T, D) float. Padding frames may hold anything, even NaN.
        lengths: (B,) int, valid frames.
    """
    return values.masked_fill(~valid_frames(lengths, values.size(1))[..., None], 0.0)


def masked_time_mean(values: Tensor, lengths: Tensor) -> Tensor:
    """Averages over the valid frames of each utterance.

    Args:
        values: (B, T) or (B, T, D) float. Padding frames may hold anything, even NaN.
        lengths: (B,) int, each >= 1.

    Returns:
        (B,) or (B, D) float.
    """
    mask = valid_frames(lengths, values.size(1))
    if values.dim() == 3:
        mask, lengths = mask[..., None], lengths[:, None]
    return values.masked_fill(~mask, 0.0).sum(dim=1) / lengths


def frame_loss_mean(per_frame: Tensor, lengths: Tensor, masked: bool) -> Tensor:
    """Reduces a loss per frame to a scalar: mean over the frames of an utterance, then over utterances.

    A mean over utterances (the 1/B of eq. 4 of arXiv 2505.16991) makes the loss of a batch that is split over several
    processes equal to that of the whole batch, because ESPnet's trainer weights each process by its utterances.

    Args:
        per_frame: (B, T) float.
        lengths: (B,) int, valid frames.
        masked: False averages over padding frames too, as the released code of the paper does.
    """
    if not masked:
        return per_frame.mean()
    return masked_time_mean(per_frame, lengths).mean()
