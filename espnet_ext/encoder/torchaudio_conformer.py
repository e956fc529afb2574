"""The encoder of arXiv 2505.16991 (section 4, and its released code): `encoder: torchaudio_conformer`.

Two strided convolutions, a sinusoidal position, and torchaudio's Conformer. ESPnet's own conformer differs in the
subsampling (2-D), in the position (relative) and in a layer norm after the last layer.

The released code masks padding in the attention alone: through the convolutions and the batch statistics an utterance
depends on the utterances it is batched with. `mask_padding` removes that.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from torch import Tensor, nn
from torchaudio.models import Conformer
from typeguard import typechecked

MIN_FRAMES = 5  # the shortest input that gives one output frame

# (B, 1, T) bool, true for valid frames; None: all are. torchaudio's layers do not pass the lengths on to the modules
# inside them. A context variable belongs to one thread, so replicas of `nn.DataParallel` do not see each other's.
_valid_frames: ContextVar[Tensor | None] = ContextVar("valid_frames", default=None)


@contextmanager
def valid_frames(lengths: Tensor | None, num_frames: int) -> Iterator[None]:
    """Tells the masked modules which frames are valid.

    Args:
        lengths: (B,) int; None switches masking off.
        num_frames: T of what the modules are going to see.
    """
    mask = None
    if lengths is not None:
        mask = (torch.arange(num_frames, device=lengths.device) < lengths[:, None]).unsqueeze(1)
    token = _valid_frames.set(mask)
    try:
        yield
    finally:
        _valid_frames.reset(token)


class MaskedConv1d(nn.Conv1d):
    """A convolution that reads zeros where there is padding, as beyond the end of an unpadded utterance."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolves (B, C, T)."""
        valid = _valid_frames.get()
        return super().forward(x if valid is None else x.masked_fill(~valid, 0.0))


class MaskedBatchNorm1d(nn.BatchNorm1d):
    """A batch normalisation whose statistics are those of the valid frames."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises (B, C, T); the formulas are those of `torch.nn.BatchNorm1d`."""
        valid = _valid_frames.get()
        if valid is None or not self.training:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):  # squares overflow in half precision
            weight = valid.float()  # (B, 1, T)
            count = weight.sum()
            mean = (x.float() * weight).sum((0, 2)) / count  # (C,)
            centred = x.float() - mean[:, None]
            var = (centred.square() * weight).sum((0, 2)) / count
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                unbiased = var * count / (count - 1).clamp(min=1)
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
            scale = self.weight * (var + self.eps).rsqrt()
            return (centred * scale[:, None] + self.bias[:, None]).to(x.dtype)


class ConvSubsampling(nn.Module):
    """Conv1d + GELU + BatchNorm, Conv1d + GELU: a quarter of the frames."""

    def __init__(self, input_size: int, output_size: int):
        super().__init__()
        self.conv1 = MaskedConv1d(input_size, output_size, kernel_size=3, stride=2, padding=1)
        self.norm = MaskedBatchNorm1d(output_size)
        self.conv2 = MaskedConv1d(output_size, output_size, kernel_size=3, stride=2)

    def forward(self, x: Tensor, lengths: Tensor, mask_padding: bool) -> tuple[Tensor, Tensor]:
        """Subsamples (B, T, F) to (B, T', D); returns it with its lengths, (B,)."""
        x = x.transpose(1, 2)  # (B, F, T)
        with valid_frames(lengths if mask_padding else None, x.size(2)):
            x = F.gelu(self.conv1(x))
        lengths = (lengths - 1) // 2 + 1
        with valid_frames(lengths if mask_padding else None, x.size(2)):
            x = F.gelu(self.conv2(self.norm(x)))
        return x.transpose(1, 2), ((lengths - 3) // 2 + 1).clamp(min=0)


class SinusoidalPosition(nn.Module):
    """Adds the absolute position of "Attention is all you need", section 3.5, of any length; then dropout.

    ESPnet's `PositionalEncoding` multiplies the input by sqrt(D) first; the released code does not.
    """

    def __init__(self, dropout_rate: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, T, D) with the position added."""
        num_frames, size = x.shape[1:]
        position = torch.arange(num_frames, device=x.device, dtype=torch.float32)
        rate = torch.exp(torch.arange(0, size, 2, device=x.device) * (-math.log(10000.0) / size))
        angle = position[:, None] * rate  # (T, D / 2)
        encoding = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)  # sines at even, cosines at odd indices
        return self.dropout(x + encoding.to(x.dtype))


class TorchaudioConformerEncoder(AbsEncoder):
    """Two strided convolutions, a sinusoidal position, and `torchaudio.models.Conformer`.

    Args:
        input_size: feature bins, F.
        output_size: width, D.
        attention_heads: heads of the self-attention.
        linear_units: width inside the feed-forward modules.
        num_blocks: layers.
        cnn_module_kernel: frames that a depthwise convolution spans; odd.
        dropout_rate: dropout after the position, in the attention, in the feed-forward and convolution modules.
        layer_drop_rate: probability that a layer is skipped in a training step (Fan et al. 2020, LayerDrop).
        interctc_layer_idx: layers, counted from 1, whose outputs go to ESPnet's intermediate CTC loss too.
        mask_padding: let no padding frame influence a valid frame, its gradient or a batch statistic. False: only the
            attention is masked, as in the released code.

    Raises:
        ValueError: `output_size` is no multiple of `attention_heads` or is odd, or `cnn_module_kernel` is even.
    """

    @typechecked
    def __init__(
        self,
        input_size: int,
        output_size: int = 256,
        attention_heads: int = 4,
        linear_units: int = 1024,
        num_blocks: int = 12,
        cnn_module_kernel: int = 31,
        dropout_rate: float = 0.1,
        layer_drop_rate: float = 0.0,
        interctc_layer_idx: list[int] | tuple[int, ...] = (),
        mask_padding: bool = True,
    ):
        super().__init__()
        if any(not 0 < index < num_blocks for index in interctc_layer_idx):
            raise ValueError(f"interctc_layer_idx {interctc_layer_idx}: must be 1 to {num_blocks - 1}")
        if output_size % attention_heads or output_size % 2:
            raise ValueError(
                f"output_size {output_size} must be even and a multiple of attention_heads {attention_heads}"
            )
        self._output_size = output_size
        self.mask_padding = mask_padding
        self.layer_drop_rate = layer_drop_rate
        self.interctc_layer_idx = interctc_layer_idx
        self.embed = ConvSubsampling(input_size, output_size)
        self.position = SinusoidalPosition(dropout_rate)
        self.conformer = Conformer(
            input_dim=output_size,
            num_heads=attention_heads,
            ffn_dim=linear_units,
            num_layers=num_blocks,
            depthwise_conv_kernel_size=cnn_module_kernel,
            dropout=dropout_rate,
        )
        for layer in self.conformer.conformer_layers:
            _mask_convolution(layer.conv_module.sequential)

    def output_size(self) -> int:
        """Returns D."""
        return self._output_size

    def forward(
        self, xs_pad: Tensor, ilens: Tensor, prev_states: Tensor | None = None, masks: Tensor | None = None
    ) -> tuple[Tensor | tuple[Tensor, list[tuple[int, Tensor]]], Tensor, Tensor | None]:
        """Encodes a batch.

        Args:
            xs_pad: (B, T, F) float, padded features; the values of padding frames are arbitrary.
            ilens: (B,) int, valid frames.
            prev_states: unused, of ESPnet's interface.
            masks: (B, T) bool, True in the padding, as ESPnet's encoders take it. It says what `ilens` says,
                but where it is given the length of `xs_pad` counts, which a trace for export can follow.

        Returns:
            (B, T', D) float with T' = the longest output, (B,) int output lengths, None. With `interctc_layer_idx` the
            first is a pair, as ESPnet's encoders return it: the output, and (layer, its output) of each of them.

        Raises:
            TooShortUttError: no utterance has an output frame. One among longer ones gets length 0, as in ESPnet.
        """
        longest = int(ilens.max()) if masks is None else xs_pad.size(1)
        if longest < MIN_FRAMES:
            raise TooShortUttError(
                f"has {longest} frames and is too short for subsampling (it needs at least {MIN_FRAMES} frames)",
                longest,
                MIN_FRAMES - 1,
            )
        x, olens = self.embed(xs_pad[:, :longest], ilens, self.mask_padding)
        x = self.position(x)
        # A softmax over no key at all is NaN: an utterance of length 0 attends to its first frame.
        padding = ~(torch.arange(x.size(1), device=x.device) < olens.clamp(min=1)[:, None])  # (B, T')
        intermediate = []
        x = x.transpose(0, 1)  # (T', B, D), as torchaudio's layers want it
        with valid_frames(olens if self.mask_padding else None, x.size(0)):
            for index, layer in enumerate(self.conformer.conformer_layers, 1):
                if not (self.training and self.layer_drop_rate > 0 and torch.rand(()).item() < self.layer_drop_rate):
                    x = layer(x, padding)
                if index in self.interctc_layer_idx:
                    intermediate.append((index, x.transpose(0, 1)))
        x = x.transpose(0, 1)
        return ((x, intermediate) if intermediate else x), olens, None


def _mask_convolution(sequential: nn.Sequential) -> None:
    """Replaces the two modules of torchaudio's convolution module that mix frames; parameter names stay."""
    for index, module in enumerate(sequential):
        if isinstance(module, nn.Conv1d) and module.kernel_size[0] > 1:
            sequential[index] = MaskedConv1d(
                module.in_channels,
                module.out_channels,
                module.kernel_size,
                padding=module.padding,
                groups=module.groups,
            )
        elif isinstance(module, nn.BatchNorm1d):
            sequential[index] = MaskedBatchNorm1d(module.num_features)
