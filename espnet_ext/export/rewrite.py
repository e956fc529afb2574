"""Parts of ESPnet's encoders in a form that exports well; what they compute stays the same."""

import copy
import math

import torch
from espnet2.legacy.nets.pytorch_backend.transformer.embedding import (
    LegacyRelPositionalEncoding,
    PositionalEncoding,
    RelPositionalEncoding,
    ScaledPositionalEncoding,
)
from torch import Tensor, nn

from espnet_ext.errors import UserError

_POSITIONS = (PositionalEncoding, ScaledPositionalEncoding, LegacyRelPositionalEncoding, RelPositionalEncoding)


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
        encoding: of a model, one of `_POSITIONS`.
    """

    def __init__(self, encoding: PositionalEncoding | RelPositionalEncoding):
        super().__init__()
        self.relative = isinstance(encoding, RelPositionalEncoding)
        self.beside = self.relative or isinstance(encoding, LegacyRelPositionalEncoding)  # not added to the input
        scaled = isinstance(encoding, ScaledPositionalEncoding)
        self.scale = 1.0 if scaled else encoding.xscale
        self.weight = encoding.alpha.item() if scaled else 1.0
        # Legacy positions count down from the end of the table, or of the audio if that is longer.
        self.table = encoding.pe.size(1) if getattr(encoding, "reverse", False) else None
        size = encoding.d_model
        self.register_buffer("rate", torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size)))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Takes (B, T, D); returns it with its position, or scaled beside relative positions.

        Those are (1, 2 T - 1, D), of the legacy kind (1, T, D).
        """
        frames = x.size(1)
        count = 2 * frames - 1 if self.relative else frames
        position = torch.arange(count, device=x.device, dtype=x.dtype)
        if self.relative:
            position = frames - 1 - position
        elif self.table is not None:
            # As a tensor, so that a trace keeps the comparison.
            position = (torch.ones_like(position[:1]) * frames).clamp(min=self.table) - 1 - position
        angle = position[:, None] * self.rate
        encoding = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[None]  # sines at even indices
        x = x * self.scale
        return (x, encoding) if self.beside else x + self.weight * encoding


class SelfAttention(nn.Module):
    """`torch.nn.MultiheadAttention` over one sequence; torch's own freezes the length in a trace.

    Args:
        attention: of torchaudio's conformer.
    """

    def __init__(self, attention: nn.MultiheadAttention):
        super().__init__()
        self.heads = attention.num_heads
        size = attention.embed_dim
        self.inputs = nn.Linear(size, 3 * size)
        self.inputs.weight, self.inputs.bias = attention.in_proj_weight, attention.in_proj_bias
        self.output = attention.out_proj

    def forward(self, query: Tensor, key_padding_mask: Tensor, **_) -> tuple[Tensor, None]:
        """Takes (T, B, D) and a mask (B, T), True in the padding; returns (T, B, D) and, as torch does, weights."""
        frames, batch, size = query.shape
        parts = self.inputs(query).view(frames, batch, 3, self.heads, size // self.heads).permute(2, 1, 3, 0, 4)
        q, k, v = parts.unbind(0)  # (B, heads, T, D / heads)
        scores = q @ k.transpose(-2, -1) / math.sqrt(size // self.heads)
        weights = scores.masked_fill(key_padding_mask[:, None, None], -math.inf).softmax(dim=-1)
        return self.output((weights @ v).permute(2, 0, 1, 3).reshape(frames, batch, size)), None


def rewrite(encoder: nn.Module) -> nn.Module:
    """Returns a copy of an encoder with the parts replaced that have a better form here.

    Raises:
        UserError: its positions come from a table, which would limit the length of the audio.
    """
    encoder = copy.deepcopy(encoder).eval()
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if type(child) in _POSITIONS:
                setattr(module, name, SinusoidalEncoding(child))
            elif isinstance(child, _POSITIONS):
                raise UserError(
                    f"positions of the kind {type(child).__name__} cannot be exported: they are a table, beyond whose "
                    "end a file would fail"
                )
            elif type(child) is nn.MultiheadAttention:
                setattr(module, name, SelfAttention(child))
            elif type(child) is nn.Conv1d and child.kernel_size == (1,) and child.groups == 1 and child.stride == (1,):
                setattr(module, name, Pointwise(child))
    return encoder
