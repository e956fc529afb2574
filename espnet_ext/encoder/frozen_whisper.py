"""Whisper's encoder, frozen, with a small trainable encoder on it: `encoder: frozen_whisper`.

A strong teacher for little training. ESPnet's own `encoder: whisper` downloads the weights when the model is built,
attends to padding, trains all of it, and gives 50 frames a second; this one takes its weights from a checkpoint
(`--init_param`), runs Whisper on each utterance alone, without gradient, and averages frames to the students' rate.
"""

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.asr.encoder.whisper_encoder import OpenAIWhisperEncoder
from torch import Tensor, nn
from torchaudio.models import Conformer
from typeguard import typechecked

from espnet_ext.errors import UserError

_WINDOW_SAMPLES = 30 * 16000  # Whisper's positions end there
_MELS, _POSITIONS = 80, 1500
_SIZES = {"tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12)}  # width, heads, layers


class _Whisper(OpenAIWhisperEncoder):
    """ESPnet's Whisper encoder without the download of its weights."""

    def __init__(self, size: str):
        AbsEncoder.__init__(self)
        try:
            import whisper
            from whisper.model import AudioEncoder
        except ImportError as error:
            raise UserError("encoder frozen_whisper needs the package whisper: pip install openai-whisper") from error
        width, heads, layers = _SIZES[size]
        self.n_fft, self.win_length, self.hop_length = (400, 400, 160)
        self.n_mels, self.mel_filters = _MELS, whisper.audio.mel_filters
        self.encoders = AudioEncoder(_MELS, _POSITIONS, width, heads, layers)
        self.dropout, self.specaug, self.do_pad_trim = nn.Identity(), None, False


class FrozenWhisperEncoder(AbsEncoder):
    """Whisper's encoder, then a linear map and conformer layers that are trained.

    Args:
        input_size: 1 for 16 kHz audio. Whisper's width where its output, already subsampled, is the input (see
            `features`): the same model without Whisper, for training on features that were computed once.
        whisper_size: tiny, base or small.
        subsample: Whisper frames (20 ms) that are averaged to one.
        output_size: width, D.
        num_blocks: conformer layers.
        attention_heads: heads of their self-attention.
        linear_units: width inside their feed-forward modules.
        cnn_module_kernel: frames that their depthwise convolutions span; odd.
        dropout_rate: dropout in front of and inside of them.

    Raises:
        ValueError: unknown `whisper_size`, or an `input_size` that is neither 1 nor its width.
    """

    @typechecked
    def __init__(
        self,
        input_size: int,
        whisper_size: str = "base",
        subsample: int = 2,
        output_size: int = 256,
        num_blocks: int = 2,
        attention_heads: int = 4,
        linear_units: int = 1024,
        cnn_module_kernel: int = 31,
        dropout_rate: float = 0.1,
    ):
        super().__init__()
        if whisper_size not in _SIZES:
            raise ValueError(f"whisper_size '{whisper_size}' must be one of {', '.join(_SIZES)}")
        width = _SIZES[whisper_size][0]
        if input_size not in (1, width):
            raise ValueError(
                f"input_size {input_size} must be 1 (audio) or {width} (features of Whisper {whisper_size})"
            )
        self._output_size, self.subsample = output_size, subsample
        self.whisper = _Whisper(whisper_size).requires_grad_(False).eval() if input_size == 1 else None
        self.embed = nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout_rate), nn.Linear(width, output_size))
        self.conformer = Conformer(
            input_dim=output_size,
            num_heads=attention_heads,
            ffn_dim=linear_units,
            num_layers=num_blocks,
            depthwise_conv_kernel_size=cnn_module_kernel,
            dropout=dropout_rate,
        )

    def train(self, mode: bool = True) -> "FrozenWhisperEncoder":
        """Leaves Whisper in eval mode."""
        super().train(mode)
        if self.whisper is not None:
            self.whisper.eval()
        return self

    def output_size(self) -> int:
        """Returns D."""
        return self._output_size

    @torch.no_grad()
    def features(self, signal: Tensor) -> Tensor:
        """Runs Whisper on one utterance.

        Args:
            signal: (samples,) float, 16 kHz; longer ones are cut into windows of 30 s.

        Returns:
            (T, width) float: `subsample` frames of 20 ms each averaged; the last ones that fill none are left out.
        """
        frames = []
        for start in range(0, len(signal), _WINDOW_SAMPLES):
            window = signal[start : start + _WINDOW_SAMPLES]
            if len(window) < self.whisper.n_fft:
                break
            mel, _ = self.whisper.log_mel_spectrogram(window[None])
            frames.append(self.whisper.whisper_encode(mel)[0][0])
        whole = torch.cat(frames) if frames else signal.new_zeros(0, self.embed[0].normalized_shape[0])
        count = len(whole) // self.subsample
        return whole[: count * self.subsample].unflatten(0, (count, self.subsample)).mean(dim=1)

    def forward(
        self, xs_pad: Tensor, ilens: Tensor, prev_states: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encodes a batch.

        Args:
            xs_pad: (B, samples) or (B, samples, 1) float audio, or (B, T, width) float features.
            ilens: (B,) int, valid samples or frames.
            prev_states: unused, of ESPnet's interface.

        Returns:
            (B, T, D) float, (B,) int output lengths, None.
        """
        if self.whisper is not None:
            signals = xs_pad.squeeze(-1) if xs_pad.dim() == 3 else xs_pad
            rows = [self.features(signal[:length]) for signal, length in zip(signals, ilens.tolist(), strict=True)]
            ilens = torch.tensor([len(row) for row in rows], device=xs_pad.device)
            xs_pad = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        x, _ = self.conformer(self.embed(xs_pad), ilens.clamp(min=1))
        return x, ilens, None
