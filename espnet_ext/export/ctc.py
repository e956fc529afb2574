"""An ESPnet CTC model as one graph: waveform in, log-probabilities out.

Runtimes fail in the convolutions of a model where the input is too short for them, and some end the process, so the
caller cannot be left to check. The graph pads such input with zeros, and gives it the length 0.
"""

import bisect
import inspect

import torch
import torch.nn.functional as F
from espnet2.asr.espnet_model import ESPnetASRModel
from torch import Tensor, nn

from espnet_ext.errors import UserError
from espnet_ext.export.frontend import LogMel, Normalisation, padding
from espnet_ext.export.rewrite import rewrite

_LONG_ENOUGH = 16000  # samples, of which any model makes a frame


class ExportedCTC(nn.Module):
    """Encoder and CTC head of a trained model, for tracing; takes input of any length.

    Attributes:
        shortest: the fewest samples of which the model makes a frame.

    Args:
        model: trained, with a CTC head; hybrid models keep their CTC half.

    Raises:
        UserError: the model has parts that are not exported.
    """

    def __init__(self, model: ESPnetASRModel):
        super().__init__()
        if model.ctc is None:
            raise UserError("the model has no CTC output (ctc_weight 0); there is nothing to export")
        for part in ("preencoder", "postencoder"):
            if getattr(model, part, None) is not None:
                raise UserError(f"a model with a {part} cannot be exported")
        # Without this argument it makes its mask with Python lists, which a trace would freeze.
        if "masks" not in inspect.signature(model.encoder.forward).parameters:
            raise UserError(f"a {type(model.encoder).__name__} cannot be exported; conformers and E-Branchformers can")
        self.frontend = LogMel(model.frontend)
        self.normalize = Normalisation(model.normalize)
        self.encoder = rewrite(model.encoder)
        self.head = model.ctc.ctc_lo
        # Intermediate outputs that condition the layers after them go through the CTC head in the encoder.
        self.conditioning = {"ctc": model.ctc} if getattr(model.encoder, "interctc_use_conditioning", False) else {}
        self.eval()
        self.shortest = 0
        self.shortest = self._find_shortest()

    def forward(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the CTC output.

        Args:
            speech: (B, samples) float, -1 to 1.
            lengths: (B,) int64, valid samples.

        Returns:
            (B, T', V) float log-probabilities and (B,) int64 valid frames, 0 where the audio is too short.
        """
        too_short = lengths < self.shortest
        lengths = lengths.clamp(min=self.shortest)
        size = torch._shape_as_tensor(speech)[1].clamp(min=self.shortest)  # a tensor, which a trace follows
        features, lengths = self.frontend(F.pad(speech, (0, self.shortest))[:, :size], lengths)
        features = self.normalize(features, lengths)
        masks = padding(lengths, features.size(1))
        encoded, frames, _ = self.encoder(features, lengths, masks=masks, **self.conditioning)
        if isinstance(encoded, tuple):  # with intermediate CTC
            encoded = encoded[0]
        return self.head(encoded).log_softmax(dim=-1), frames.to(torch.int64).masked_fill(too_short, 0)

    @torch.no_grad()
    def _find_shortest(self) -> int:
        def works(size: int) -> bool:
            try:
                return bool(self(torch.zeros(1, size), torch.tensor([size]))[1] > 0)
            except Exception:  # PyTorch's layers and ESPnet's encoders have errors of their own
                return False

        return bisect.bisect_left(range(_LONG_ENOUGH), True, key=works)
