"""Runs an ESPnet ASR model and collects the outputs that EncRL compares, by name.

Names: "encoder" (last encoder output), "logits" and "log_probs" (CTC head), and "layer:A/B", the encoder layer at that
fraction of the depth.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from espnet2.asr.espnet_model import ESPnetASRModel
from torch import Tensor

from espnet_ext.encoder.layers import tap_layers
from espnet_ext.encoder.resample import resample, resampled_lengths

HEAD_OUTPUTS = ("logits", "log_probs")


@dataclass
class Outputs:
    """Outputs of one model for one batch.

    Attributes:
        lengths: (B,) int, valid frames.
        encoder: (B, T, D) float, last encoder output.
        logits: (B, T, V) float, CTC head before the softmax; None where it was not asked for.
        layers: (B, T, D) float of each layer asked for, by its name.
    """

    lengths: Tensor
    encoder: Tensor
    logits: Tensor | None
    layers: dict[str, Tensor]

    def of(self, name: str) -> Tensor:
        """Returns an output by its name, (B, T, D or V)."""
        if name == "log_probs":
            return F.log_softmax(self.logits.float(), dim=-1)
        return {"encoder": self.encoder, "logits": self.logits, **self.layers}[name]

    def clone(self) -> "Outputs":
        """Returns a copy."""
        logits = None if self.logits is None else self.logits.clone()
        layers = {name: values.clone() for name, values in self.layers.items()}
        return Outputs(self.lengths.clone(), self.encoder.clone(), logits, layers)

    def halves(self) -> "tuple[Outputs, Outputs]":
        """Returns the outputs of the first and of the second half of the batch."""

        def half(part: int) -> Outputs:
            logits = None if self.logits is None else self.logits.chunk(2)[part]
            layers = {name: values.chunk(2)[part] for name, values in self.layers.items()}
            return Outputs(self.lengths.chunk(2)[part], self.encoder.chunk(2)[part], logits, layers)

        return half(0), half(1)

    def at_rate(self, ratio: float) -> "Outputs":
        """Returns the same at another frame rate.

        Hidden outputs are interpolated; of the CTC head its posteriors, so that those of two frames become their mean.

        Args:
            ratio: frames of these outputs per frame of the result.
        """
        if ratio == 1:
            return self

        def change(values: Tensor) -> Tensor:
            return resample(values, self.lengths, ratio)

        logits = None
        if self.logits is not None:
            posteriors = change(self.logits.float().softmax(dim=-1))
            logits = posteriors.clamp(min=torch.finfo(posteriors.dtype).tiny).log()
        layers = {name: change(values) for name, values in self.layers.items()}
        return Outputs(resampled_lengths(self.lengths, ratio), change(self.encoder), logits, layers)


def compute_outputs(model: ESPnetASRModel, speech: Tensor, lengths: Tensor, names: Iterable[str]) -> Outputs:
    """Runs `model.encode` (front end where the model still has one, SpecAugment in training, encoder).

    Args:
        model: the model; its mode (train or eval) is left as it is.
        speech: (B, samples) float, or (B, T, F) features for a model whose front end is shared.
        lengths: (B,) int, of `speech`.
        names: outputs that are needed beside the encoder's, see the module.
    """
    names = set(names)
    with tap_layers(model.encoder, names) as layers:
        encoder_out, out_lengths = model.encode(speech, lengths)
    if isinstance(encoder_out, tuple):  # with intermediate CTC
        encoder_out = encoder_out[0]
    logits = None
    if names.intersection(HEAD_OUTPUTS):
        with torch.autocast(encoder_out.device.type, enabled=False):  # losses compare them in float32
            logits = model.ctc.ctc_lo(encoder_out.float())
    return Outputs(out_lengths, encoder_out, logits, layers)
