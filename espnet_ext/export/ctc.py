"""An ESPnet CTC model as one graph: waveform or features in, log-probabilities out."""

import inspect

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from torch import Tensor, nn

from espnet_ext.errors import UserError
from espnet_ext.export.frontend import LogMel, Normalisation, padding
from espnet_ext.export.rewrite import rewrite


class ExportedCTC(nn.Module):
    """Encoder and CTC head of a trained model, for tracing.

    Args:
        model: trained, with a CTC head; hybrid models keep their CTC half.
        from_waveform: include the front end.

    Raises:
        UserError: the model has parts that are not exported.
    """

    def __init__(self, model: ESPnetASRModel, from_waveform: bool):
        super().__init__()
        if model.ctc is None:
            raise UserError("the model has no CTC output (ctc_weight 0); there is nothing to export")
        for part in ("preencoder", "postencoder"):
            if getattr(model, part, None) is not None:
                raise UserError(f"a model with a {part} cannot be exported")
        # Without this argument it makes its mask with Python lists, which a trace would freeze.
        if "masks" not in inspect.signature(model.encoder.forward).parameters:
            raise UserError(f"a {type(model.encoder).__name__} cannot be exported; conformers and E-Branchformers can")
        self.frontend = LogMel(model.frontend) if from_waveform else None
        self.normalize = Normalisation(model.normalize)
        self.encoder = rewrite(model.encoder)
        self.head = model.ctc.ctc_lo
        # Intermediate outputs that condition the layers after them go through the CTC head in the encoder.
        self.conditioning = {"ctc": model.ctc} if getattr(model.encoder, "interctc_use_conditioning", False) else {}
        self.eval()

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the CTC output.

        Args:
            inputs: (B, samples) float, -1 to 1; or (B, T, M) float features before normalisation.
            lengths: (B,) int64, valid samples or frames.

        Returns:
            (B, T', V) float log-probabilities and (B,) int64 valid frames.
        """
        if self.frontend is not None:
            inputs, lengths = self.frontend(inputs, lengths)
        features = self.normalize(inputs, lengths)
        masks = padding(lengths, features.size(1))
        encoded, frames, _ = self.encoder(features, lengths, masks=masks, **self.conditioning)
        if isinstance(encoded, tuple):  # with intermediate CTC
            encoded = encoded[0]
        return self.head(encoded).log_softmax(dim=-1), frames.to(torch.int64)
