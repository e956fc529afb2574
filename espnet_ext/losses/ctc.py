"""CTC loss of the student on the transcript, beside the criteria that compare it with the teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet_ext.constants import BLANK_ID
from espnet_ext.losses.gather import total
from espnet_ext.losses.loss import Loss
from espnet_ext.losses.masking import without_padding


class CtcLoss(Loss):
    """-log p(transcript | audio) (Graves et al. 2006, eq. 12), averaged over the utterances that have a transcript.

    With `kld` on `log_probs` beside it this is classic distillation of CTC posteriors.

    Args:
        per_frame: divide by the frames of each utterance, so that weights mean the same for this and the other
            criteria. False: the sum over frames, as in ESPnet's own training, whose value it then is.
    """

    needs = ("text", "text_lengths")

    def __init__(self, per_frame: bool = True):
        super().__init__()
        self.per_frame = per_frame

    def forward(self, student: Tensor, lengths: Tensor, text: Tensor, text_lengths: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            student: (B, T, V) float, CTC head before the softmax, or log-probabilities; padding may hold anything.
            lengths: (B,) int, valid frames, >= 1.
            text: (B, L) int, token ids; the values of padding are arbitrary.
            text_lengths: (B,) int; 0: the utterance has no transcript and does not count.

        Returns:
            Scalar float, nats; zero where no utterance has a transcript. An utterance with fewer frames than its
            transcript needs counts as zero, as in ESPnet.
        """
        log_probs = F.log_softmax(without_padding(student, lengths), dim=-1)
        return mean_of_transcribed(ctc_of_each(log_probs, lengths, text, text_lengths, self.per_frame), text_lengths)


def ctc_of_each(log_probs: Tensor, lengths: Tensor, text: Tensor, text_lengths: Tensor, per_frame: bool) -> Tensor:
    """Returns -log p(transcript | audio) of each utterance, (B,) float; log_probs: (B, T, V), else as in `CtcLoss`."""
    text = text.clamp(min=0)  # ESPnet pads with -1
    losses = F.ctc_loss(
        log_probs.transpose(0, 1), text, lengths, text_lengths, BLANK_ID, reduction="none", zero_infinity=True
    )
    return losses / lengths if per_frame else losses


def mean_of_transcribed(losses: Tensor, text_lengths: Tensor) -> Tensor:
    """Averages (B,) losses over the utterances that have a transcript.

    In a distributed run that is the mean over all processes, although ESPnet's trainer weights each process by all of
    its utterances.
    """
    transcribed = text_lengths > 0
    here = torch.stack([torch.full_like(text_lengths[0], len(losses)), transcribed.sum()]).to(losses.dtype)
    utterances, with_text = total(here)
    return losses.masked_fill(~transcribed, 0.0).sum() * utterances / (len(losses) * with_text.clamp(min=1))
