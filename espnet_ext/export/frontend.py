"""ESPnet's log-mel front end and normalisation as operations that every runtime has."""

import numpy as np
import torch
import torch.nn.functional as F
from espnet2.asr.frontend.default import DefaultFrontend
from espnet2.layers.global_mvn import GlobalMVN
from espnet2.layers.utterance_mvn import UtteranceMVN
from torch import Tensor, nn

from espnet_ext.errors import UserError


class LogMel(nn.Module):
    """`espnet2.asr.frontend.default.DefaultFrontend` (STFT, power, mel filters, logarithm).

    The STFT is a convolution with sines and cosines, which every runtime has.

    Args:
        frontend: the front end of a trained model.

    Raises:
        UserError: it does more than that (enhancement, multiple channels, an STFT with other options).
    """

    def __init__(self, frontend: nn.Module):
        super().__init__()
        stft = getattr(frontend, "stft", None)
        enhancement = getattr(frontend, "frontend", None)  # there by default, and does nothing
        if (
            not isinstance(frontend, DefaultFrontend)
            or stft is None
            or (enhancement is not None and (enhancement.use_wpe or enhancement.use_beamformer))
        ):
            raise UserError(
                f"front end {type(frontend).__name__} cannot be exported: only ESPnet's default front end without "
                "enhancement can"
            )
        if stft.normalized or not stft.onesided:
            raise UserError("frontend_conf: an STFT that is normalised or two-sided cannot be exported")
        self.n_fft, self.hop_length, self.center = stft.n_fft, stft.hop_length, stft.center
        window = torch.ones(stft.win_length)
        if stft.window is not None:
            window = getattr(torch, f"{stft.window}_window")(stft.win_length)
        left = (stft.n_fft - stft.win_length) // 2  # torch.stft centres a short window
        window = F.pad(window, (left, stft.n_fft - stft.win_length - left))
        self.register_buffer("window", window)
        samples = torch.arange(self.n_fft)
        period = 2 * torch.pi * samples.double() / self.n_fft
        self.register_buffer("cosine", period.cos().float())
        self.register_buffer("sine", period.sin().float())
        self.register_buffer("bins", samples[: self.n_fft // 2 + 1, None].float())
        self.register_buffer("samples", samples[None].float())
        self.register_buffer("melmat", frontend.logmel.melmat.clone())  # (bins, M)
        self.log_scale = 1.0 if frontend.logmel.log_base is None else 1.0 / float(np.log(frontend.logmel.log_base))

    def forward(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Computes features.

        Args:
            speech: (B, samples) float, padded with zeros.
            lengths: (B,) int64, samples.

        Returns:
            (B, T, M) float, zero in the padding, and (B,) int64 frames.
        """
        if self.center:
            half = self.n_fft // 2
            speech = F.pad(speech[:, None], (half, half), mode="reflect")[:, 0]
            lengths = lengths + 2 * half
        frames = F.conv1d(speech[:, None], self._basis(), stride=self.hop_length)  # (B, 2 bins, T)
        real, imaginary = frames.chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2)  # (B, T, bins)
        features = (power @ self.melmat).clamp(min=1e-10).log() * self.log_scale
        lengths = torch.div(lengths - self.n_fft, self.hop_length, rounding_mode="floor") + 1
        return features.masked_fill(padding(lengths, features.size(1))[..., None], 0.0), lengths

    def _basis(self) -> Tensor:
        """Returns the kernels of a windowed Fourier transform, (2 bins, 1, n_fft) float: cosines, then sines.

        A file holds one period of them; runtimes compute the rest when they load it. The exporter would store it all,
        more than a small student's weights, were the steps no matrix product, exact in float32.
        """
        step = (self.bins @ self.samples % self.n_fft).long()
        return (torch.cat([self.cosine[step], self.sine[step]]) * self.window)[:, None]


class Normalisation(nn.Module):
    """ESPnet's normalisation of features, of the whole training set (`global_mvn`) or of the utterance.

    Args:
        normalize: what the model has; None for none.

    Raises:
        UserError: a normalisation that is not known here.
    """

    def __init__(self, normalize: nn.Module | None):
        super().__init__()
        self.by_utterance = isinstance(normalize, UtteranceMVN)
        if isinstance(normalize, GlobalMVN):
            mean, std = normalize.mean.float(), normalize.std.float()
            self.register_buffer("mean", mean if normalize.norm_means else torch.zeros_like(mean))
            self.register_buffer("scale", 1 / std if normalize.norm_vars else torch.ones_like(std))
        elif self.by_utterance:
            self.norm_means, self.norm_vars, self.eps = normalize.norm_means, normalize.norm_vars, normalize.eps
        elif normalize is not None:
            raise UserError(
                f"normalize: {type(normalize).__name__} cannot be exported; use global_mvn or utterance_mvn"
            )
        self.is_global = isinstance(normalize, GlobalMVN)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Normalises (B, T, M) features; the padding becomes zero."""
        pad = padding(lengths, features.size(1))[..., None]
        if self.is_global:
            features = (features - self.mean) * self.scale
        elif self.by_utterance:
            count = lengths[:, None, None].to(features.dtype)
            features = features.masked_fill(pad, 0.0)
            if self.norm_means:
                features = (features - features.sum(1, keepdim=True) / count).masked_fill(pad, 0.0)
            if self.norm_vars:
                variance = features.square().sum(1, keepdim=True) / count
                features = features / variance.clamp(min=self.eps).sqrt()
        return features.masked_fill(pad, 0.0)


def padding(lengths: Tensor, frames: int | Tensor) -> Tensor:
    """Returns (B, T) bool, True in the padding."""
    return torch.arange(frames, device=lengths.device)[None] >= lengths[:, None]
