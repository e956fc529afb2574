"""Cosine distance."""

import torch.nn.functional as F
from torch import Tensor

from espnet_ext.losses.frame_loss import FrameLoss


class CosineLoss(FrameLoss):
    """One minus the cosine similarity of student and teacher, as in DistilHuBERT (arXiv 2110.01900)."""

    def per_frame(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the cosine distance of each frame, (B, T), between 0 and 2."""
        return 1.0 - F.cosine_similarity(student, teacher, dim=-1)
