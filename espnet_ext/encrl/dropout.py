"""Dropout whose masks cost less on a CPU.

PyTorch draws a mask there by one call of a scalar generator for each value, a sixth of a step of EncRL
(docs/performance.md). Here 64 random bits are drawn for four values. On other devices PyTorch's own kernel runs.
"""

import torch
from torch import Tensor, nn

_LEVELS = 1 << 16  # a 16-bit number for each value


class _QuickDropout(nn.Dropout):
    """`nn.Dropout` with masks from 16-bit numbers; the probability is rounded to 1/65536, the scale goes by that."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 # the name of nn.Dropout
        dropped = round(self.p * _LEVELS)
        if not (self.training and input.device.type == "cpu" and 0 < dropped < _LEVELS):
            return super().forward(input)
        # Whole 64-bit range, by PyTorch's generator, so that seeds and resumed trainings do what they do elsewhere.
        bits = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
        numbers = bits.view(torch.int16)[: input.numel()].view(input.shape)
        kept = (numbers >= dropped - _LEVELS // 2).to(input.dtype)
        return input * kept.mul_(_LEVELS / (_LEVELS - dropped))


def quicken_dropout(model: nn.Module) -> None:
    """Makes every `nn.Dropout` in a model draw its masks so. Weights and their names stay."""
    for module in model.modules():
        if type(module) is nn.Dropout and not module.inplace:
            module.__class__ = _QuickDropout
