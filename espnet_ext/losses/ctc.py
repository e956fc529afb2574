"""CTC loss of the student on the transcript, beside the criteria that compare it with the teacher."""

import torch.nn.functional as F
from torch import Tensor

from espnet_ext.constants import BLANK_ID
from espnet_ext.losses.loss import Loss
from espnet_ext.losses.masking import without_padding


class CtcLoss(Loss):
    """-log p(transcript | audio) (Graves et al. 2006, eq. 12) per frame, averaged over utterances.

    With `kld` on `log_probs` beside it this is classic distillation of CTC posteriors. ESPnet's CTC sums over the
    frames of an utterance; divided by them, weights mean the same for this and the other criteria.
    """

    needs = ("text", "text_lengths")

    def forward(self, student: Tensor, lengths: Tensor, text: Tensor, text_lengths: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            student: (B, T, V) float, CTC head before the softmax, or log-probabilities; padding may hold anything.
            lengths: (B,) int, valid frames, >= 1.
            text: (B, L) int, token ids; the values of padding are arbitrary.
            text_lengths: (B,) int.

        Returns:
            Scalar float. An utterance with fewer frames than its transcript needs counts as zero, as in ESPnet.
        """
        log_probs = F.log_softmax(without_padding(student, lengths), dim=-1).transpose(0, 1)  # (T, B, V)
        text = text.clamp(min=0)  # ESPnet pads with -1
        loss = F.ctc_loss(log_probs, text, lengths, text_lengths, BLANK_ID, reduction="none", zero_infinity=True)
        return (loss / lengths).mean()
