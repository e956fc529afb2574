"""What a loss is to those who call it."""

from torch import nn


class Loss(nn.Module):
    """A loss between outputs of a student and what it learns from.

    It is called by keywords: `student` (B, T, D) float and `lengths` (B,) int, valid frames, and what `needs` names.

    Attributes:
        needs: further arguments of the call. "teacher": (B, T, D) float, without gradient. "ids": (B,) int, equal for
            equal utterances. "text" and "text_lengths": (B, L) and (B,) int, the transcript. "other": as `student`, of
            another draw of SpecAugment.
        masked: whether padding is left out.
    """

    needs: tuple[str, ...] = ("teacher",)
    masked: bool = True

    def begin_epoch(self) -> None:
        """Forgets what checkpoints do not hold, so that a resumed training equals one that never stopped."""
