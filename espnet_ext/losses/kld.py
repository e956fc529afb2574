"""Kullback-Leibler divergence of CTC posteriors."""

import torch.nn.functional as F
from torch import Tensor

from espnet_ext.losses.frame_loss import FrameLoss


class KldLoss(FrameLoss):
    """KL(teacher || student) of the posteriors of each frame, in nats; takes logits or log-probabilities.

    The released code of arXiv 2505.16991 has it, switched off, as `torch.nn.KLDivLoss(reduction="batchmean")`, whose
    sum over frames grows with the length of an utterance; here frames are averaged.
    """

    def per_frame(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the divergence of each frame, (B, T)."""
        # log_softmax leaves log-probabilities unchanged.
        student, teacher = F.log_softmax(student, dim=-1), F.log_softmax(teacher, dim=-1)
        return F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1)
