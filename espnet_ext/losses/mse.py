"""Mean squared error."""

from torch import Tensor

from espnet_ext.losses.frame_loss import FrameLoss


class MseLoss(FrameLoss):
    """L_MSE, eq. 4 of arXiv 2505.16991, averaged over the dimensions of a frame as its released code does."""

    def per_frame(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the mean squared difference of each frame, (B, T)."""
        return (student - teacher).square().mean(dim=-1)
