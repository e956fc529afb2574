"""Pairs of student and teacher vectors that contrastive losses compare."""

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet_ext.losses.masking import masked_time_mean


def utterance_vectors(
    student: Tensor, teacher: Tensor, lengths: Tensor, normalize: bool, masked: bool
) -> tuple[Tensor, Tensor]:
    """Averages the frames of each utterance.

    Args:
        student: (B, T, D) float.
        teacher: (B, T, D) float.
        lengths: (B,) int, valid frames.
        normalize: L2-normalise the means.
        masked: leave padding frames out.

    Returns:
        Student and teacher, (B, D) float.
    """
    if masked:
        student, teacher = masked_time_mean(student, lengths), masked_time_mean(teacher, lengths)
    else:
        student, teacher = student.mean(dim=1), teacher.mean(dim=1)
    return (F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)) if normalize else (student, teacher)


def sampled_frames(lengths: Tensor, num_frames: int, random: bool) -> Tensor:
    """Chooses valid frames of each utterance.

    Args:
        lengths: (B,) int, valid frames, >= 1.
        num_frames: K, frames of each utterance; short utterances give some twice.
        random: uniformly at random; otherwise evenly spaced.

    Returns:
        (B, K) int, indices of frames.
    """
    shape = (lengths.size(0), num_frames)
    if random:
        position = torch.rand(shape, device=lengths.device)
    else:
        position = ((torch.arange(num_frames, device=lengths.device) + 0.5) / num_frames).expand(shape)
    return torch.minimum((position * lengths[:, None]).long(), lengths[:, None] - 1)
