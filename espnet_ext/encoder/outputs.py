"""Runs an ESPnet ASR model and collects the outputs that criteria compare."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from espnet2.asr.espnet_model import ESPnetASRModel
from torch import Tensor, nn
from torchaudio.models.conformer import ConformerLayer

from espnet_ext.encoder.resample import resample, resampled_lengths
from espnet_ext.encrl.criteria import Criterion
from espnet_ext.errors import UserError


@dataclass
class Outputs:
    """Outputs of one model for one batch.

    Attributes:
        lengths: (B,) int, valid frames.
        encoder: (B, T, D) float, last encoder output.
        logits: (B, T, V) float, CTC head before the softmax; None where no criterion needs it.
        layers: (B, T, D) float of each layer asked for, keyed by its fraction of the depth.
    """

    lengths: Tensor
    encoder: Tensor
    logits: Tensor | None
    layers: dict[Fraction, Tensor]

    def of(self, criterion: Criterion) -> Tensor:
        """Returns the output that a criterion takes, (B, T, D or V)."""
        if criterion.depth is not None:
            return self.layers[criterion.depth]
        if criterion.on == "log_probs":
            return F.log_softmax(self.logits.float(), dim=-1)
        return self.encoder if criterion.on == "encoder" else self.logits  # "logits" and "text"

    def clone(self) -> "Outputs":
        """Returns a copy."""
        layers = {depth: values.clone() for depth, values in self.layers.items()}
        return Outputs(
            self.lengths.clone(), self.encoder.clone(), None if self.logits is None else self.logits.clone(), layers
        )

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
        layers = {depth: change(values) for depth, values in self.layers.items()}
        return Outputs(resampled_lengths(self.lengths, ratio), change(self.encoder), logits, layers)


def compute_outputs(model: ESPnetASRModel, speech: Tensor, lengths: Tensor, criteria: Iterable[Criterion]) -> Outputs:
    """Runs `model.encode` (front end where the model still has one, SpecAugment in training, encoder).

    Args:
        model: the model; its mode (train or eval) is left as it is.
        speech: (B, samples) float, or (B, T, F) features for a model whose front end is shared.
        lengths: (B,) int, of `speech`.
        criteria: say which outputs are needed.
    """
    depths = {criterion.depth for criterion in criteria if criterion.depth is not None}
    with _tap_layers(model.encoder, depths) as layers:
        encoder_out, out_lengths = model.encode(speech, lengths)
    if isinstance(encoder_out, tuple):  # with intermediate CTC
        encoder_out = encoder_out[0]
    logits = model.ctc.ctc_lo(encoder_out) if any(criterion.needs_head for criterion in criteria) else None
    return Outputs(out_lengths, encoder_out, logits, layers)


def encoder_layers(encoder: nn.Module) -> list[nn.Module]:
    """Returns the layers of an encoder in order.

    Raises:
        UserError: the encoder does not show its layers as `encoders`, as most of ESPnet's do.
    """
    layers = getattr(encoder, "encoders", None)
    if not isinstance(layers, (nn.ModuleList, nn.Sequential)):
        raise UserError(f"encoder {type(encoder).__name__} has no list of layers; use criteria on 'encoder' instead")
    return list(layers)


def layer_index(depth: Fraction, num_layers: int) -> int:
    """Index of the layer at a fraction of the depth: 1/2 of 12 layers is layer 6, index 5."""
    return max(1, round(depth * num_layers)) - 1


@contextmanager
def _tap_layers(encoder: nn.Module, depths: set[Fraction]) -> Iterator[dict[Fraction, Tensor]]:
    """Collects layer outputs, (B, T, D), while the context is open."""
    tapped: dict[Fraction, Tensor] = {}
    handles = []
    if depths:
        layers = encoder_layers(encoder)
        for depth in depths:
            layer = layers[layer_index(depth, len(layers))]

            def keep(module: nn.Module, _inputs: tuple, output: object, depth: Fraction = depth) -> None:
                while isinstance(output, tuple):  # ESPnet's layers return ((x, pos_emb), mask)
                    output = output[0]
                # torchaudio's layers work on (T, B, D).
                tapped[depth] = output.transpose(0, 1) if isinstance(module, ConformerLayer) else output

            handles.append(layer.register_forward_hook(keep))
    try:
        yield tapped
    finally:
        for handle in handles:
            handle.remove()
