"""Parts of ESPnet's encoders in a form that exports well; what they compute stays the same."""

import copy
import math

import torch
from espnet2.legacy.nets.pytorch_backend.transformer.embedding import PositionalEncoding, RelPositionalEncoding
from torch import Tensor, nn


class Pointwise(nn.Module):
    """A convolution over one frame as the matrix product that it is: quantisers shrink those, and they are faster.

    Args:
        convolution: with kernel size 1 and no groups.
    """

    def __init__(self, convolution: nn.Conv1d):
        super().__init__()
        self.linear = nn.Linear(convolution.in_channels, convolution.out_channels, convolution.bias is not None)
        self.linear.weight = nn.Parameter(convolution.weight.squeeze(-1), requires_grad=False)
        if convolution.bias is not None:
            self.linear.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, T) to (B, C', T)."""
        return self.linear(x.transpose(1, 2)).transpose(1, 2)


class SinusoidalEncoding(nn.Module):
    """ESPnet's absolute and relative positions, computed instead of looked up.

    ESPnet keeps a table of 5000 frames, which would limit the length of the audio and be most of a small file.

    Args:
        encoding: `PositionalEncoding` or `RelPositionalEncoding` of a model.
    """

    def __init__(self, encoding: PositionalEncoding | RelPositionalEncoding):
        super().__init__()
        self.relative = isinstance(encoding, RelPositionalEncoding)
        self.scale = encoding.xscale
        size = encoding.d_model
        self.register_buffer("rate", torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size)))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Takes (B, T, D); returns it with its position, or scaled beside (1, 2 T - 1, D) relative positions."""
        frames = x.size(1)
        first = frames - 1 if self.relative else 0
        step = -1 if self.relative else 1
        count = 2 * frames - 1 if self.relative else frames
        position = first + step * torch.arange(count, device=x.device, dtype=x.dtype)
        angle = position[:, None] * self.rate
        encoding = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[None]  # sines at even indices
        x = x * self.scale
        return (x, encoding) if self.relative else x + encoding


def rewrite(encoder: nn.Module) -> nn.Module:
    """Returns a copy of an encoder with the parts replaced that have a better form here."""
    encoder = copy.deepcopy(encoder).eval()
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            # Scaled and legacy positions are classes of their own and stay tables.
            if type(child) in (PositionalEncoding, RelPositionalEncoding) and not getattr(child, "reverse", False):
                setattr(module, name, SinusoidalEncoding(child))
            elif type(child) is nn.Conv1d and child.kernel_size == (1,) and child.groups == 1 and child.stride == (1,):
                setattr(module, name, Pointwise(child))
    return encoder
