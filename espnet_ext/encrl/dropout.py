"""Dropout whose masks cost less on a CPU.

PyTorch draws a mask there by one call of a scalar generator for each value. Here 64 random bits are drawn for four
values. On other devices PyTorch's own kernel runs. `benchmarks/encrl_profile.py` shows the share of drawing in a step.
"""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16  # a 16-bit number for each value


class QuickDropout(nn.Dropout):
    """`nn.Dropout` with masks from 16-bit numbers; the probability is rounded to 1/65536, the scale goes by that."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 # the name of nn.Dropout
        """Drops values of a tensor of any shape."""
        dropped = round(self.p * _LEVELS)
        if not (self.training and input.device.type == "cpu" and 0 < dropped < _LEVELS):
            return super().forward(input)
        # Whole 64-bit range, by PyTorch's generator, so that seeds and resumed trainings do what they do elsewhere.
        bits = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
        numbers = bits.view(torch.int16)[: input.numel()].view(input.shape)
        kept = (numbers >= dropped - _LEVELS // 2).to(input.dtype)
        return input * kept.mul_(_LEVELS / (_LEVELS - dropped))


def quicken_dropout(model: nn.Module) -> None:
    """Puts a `QuickDropout` in the place of every `nn.Dropout` in a model; it has no weights, so their names stay."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, QuickDropout(child.p))
