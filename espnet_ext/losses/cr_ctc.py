"""CTC of two views of the same audio that are to say the same."""

import torch.nn.functional as F
from torch import Tensor

from espnet_ext.losses.ctc import ctc_of_each, mean_of_transcribed
from espnet_ext.losses.loss import Loss
from espnet_ext.losses.masking import masked_time_mean, without_padding


class CrCtcLoss(Loss):
    """Consistency-regularised CTC, eq. 4 and 5 of arXiv 2410.05101.

    The model hears each utterance twice, under two draws of SpecAugment. The loss is the mean of both CTC losses, plus
    `scale` times the symmetric KL divergence of the posteriors, each of which is the fixed target of the other once.
    It needs no teacher. Utterances without a transcript take part in the consistency alone. In validation both views
    are one.

    Args:
        scale: weight of the consistency, alpha in the publication (0.2 there).
        per_frame: divide by the frames of each utterance, see `CtcLoss`; of both parts, so their ratio stays.
    """

    needs = ("text", "text_lengths", "other")

    def __init__(self, scale: float = 0.2, per_frame: bool = True):
        super().__init__()
        if scale < 0:
            raise ValueError(f"scale must be >= 0, not {scale}")
        self.scale = scale
        self.per_frame = per_frame

    def forward(self, student: Tensor, lengths: Tensor, text: Tensor, text_lengths: Tensor, other: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            student: (B, T, V) float, CTC head before the softmax, or log-probabilities; padding may hold anything.
            lengths: (B,) int, valid frames, >= 1.
            text: (B, L) int, token ids; the values of padding are arbitrary.
            text_lengths: (B,) int; 0: the utterance has no transcript.
            other: as `student`, of the other view.

        Returns:
            Scalar float, nats.
        """
        one, two = (F.log_softmax(without_padding(view, lengths), dim=-1) for view in (student, other))
        ctc = sum(ctc_of_each(view, lengths, text, text_lengths, self.per_frame) for view in (one, two)) / 2
        divergence = sum(
            F.kl_div(log_probs, target.detach(), reduction="none", log_target=True).sum(dim=-1)
            for log_probs, target in ((one, two), (two, one))
        )
        consistency = masked_time_mean(divergence / 2, lengths)  # (B,)
        if not self.per_frame:
            consistency = consistency * lengths
        return mean_of_transcribed(ctc, text_lengths) + self.scale * consistency.mean()
