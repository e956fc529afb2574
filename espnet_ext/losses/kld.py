"""Kullback-Leibler divergence of CTC posteriors."""

import torch.nn.functional as F
from torch import Tensor

from espnet_ext.constants import BLANK_ID
from espnet_ext.losses.frame_loss import FrameLoss
from espnet_ext.losses.masking import masked_time_mean, without_padding


class KldLoss(FrameLoss):
    """KL(teacher || student) of the posteriors of each frame, in nats; takes logits or log-probabilities.

    The released code of arXiv 2505.16991 has it, switched off, as `torch.nn.KLDivLoss(reduction="batchmean")`, whose
    sum over frames grows with the length of an utterance; here frames are averaged.

    Args:
        masked: see `FrameLoss`.
        blank_weight: weight of a frame on which the teacher is sure of the blank, against 1 of a frame on which it is
            sure of a token; between them linear in the teacher's blank posterior. Most frames of a CTC model are blank
            and say the same. The frames of an utterance are averaged with these weights.
    """

    def __init__(self, masked: bool = True, blank_weight: float = 1.0):
        super().__init__(masked)
        if not 0 < blank_weight <= 1:
            raise ValueError(f"blank_weight must be > 0 and <= 1, not {blank_weight}")
        if blank_weight != 1 and not masked:
            raise ValueError("blank_weight needs masked: true")
        self.blank_weight = blank_weight

    def per_frame(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the divergence of each frame, (B, T)."""
        # log_softmax leaves log-probabilities unchanged.
        student, teacher = F.log_softmax(student, dim=-1), F.log_softmax(teacher, dim=-1)
        return F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1)

    def forward(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """Computes the loss; see `FrameLoss.forward`."""
        if self.blank_weight == 1:
            return super().forward(student, teacher, lengths)
        student, teacher = without_padding(student, lengths), without_padding(teacher, lengths)
        blank = teacher.softmax(dim=-1)[..., BLANK_ID]
        weight = 1 - (1 - self.blank_weight) * blank  # (B, T)
        weighted = masked_time_mean(weight * self.per_frame(student, teacher), lengths)
        return (weighted / masked_time_mean(weight, lengths)).mean()
