"""Mean absolute error."""

from torch import Tensor

from espnet_ext.losses.frame_loss import FrameLoss


class MaeLoss(FrameLoss):
    """The row "MAE" of Table 4 of arXiv 2505.16991."""

    def per_frame(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the mean absolute difference of each frame, (B, T)."""
        return (student - teacher).abs().mean(dim=-1)
