"""Base of the losses that compare student and teacher frame by frame."""

from torch import Tensor

from espnet_ext.losses.loss import Loss
from espnet_ext.losses.masking import frame_loss_mean, without_padding


class FrameLoss(Loss):
    """A loss per frame, averaged over the frames of an utterance and then over utterances.

    Args:
        masked: False counts padding frames, as the released code of arXiv 2505.16991 does.
    """

    def __init__(self, masked: bool = True):
        super().__init__()
        self.masked = masked

    def per_frame(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the loss of each frame, (B, T) float; arguments as in `forward`."""
        raise NotImplementedError

    def forward(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            student: (B, T, D) float; with `masked`, padding frames may hold anything, even NaN.
            teacher: (B, T, D) float, without gradient; padding as in `student`.
            lengths: (B,) int, valid frames of each utterance, >= 1.

        Returns:
            Scalar float.
        """
        if self.masked:
            student, teacher = without_padding(student, lengths), without_padding(teacher, lengths)
        return frame_loss_mean(self.per_frame(student, teacher), lengths, self.masked)
