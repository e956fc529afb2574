"""Alignment losses: functions of tensors that know nothing of models.

Each is a module called with `(student (B, T, D), teacher (B, T, D), lengths (B,))` that returns a scalar; weights are
applied by the model. `ctc` alone compares with the transcript and takes other arguments. `LOSSES` names them for the
`criteria` of a configuration.
"""

from torch import nn

from espnet_ext.losses.clip import ClipLoss
from espnet_ext.losses.cosine import CosineLoss
from espnet_ext.losses.ctc import CtcLoss
from espnet_ext.losses.kld import KldLoss
from espnet_ext.losses.mae import MaeLoss
from espnet_ext.losses.mse import MseLoss
from espnet_ext.losses.siglip import SiglipLoss

LOSSES: dict[str, type[nn.Module]] = {
    "clip": ClipLoss,
    "siglip": SiglipLoss,
    "mse": MseLoss,
    "mae": MaeLoss,
    "kld": KldLoss,
    "cosine": CosineLoss,
    "ctc": CtcLoss,
}
