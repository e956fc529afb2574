"""Alignment losses: functions of tensors that know nothing of models.

Each is a `Loss` that returns a scalar and says what it needs. The model applies weights. `LOSSES` names them for
the `criteria` of a configuration.
"""

from espnet_ext.losses.clip import ClipLoss
from espnet_ext.losses.cosine import CosineLoss
from espnet_ext.losses.cr_ctc import CrCtcLoss
from espnet_ext.losses.ctc import CtcLoss
from espnet_ext.losses.kld import KldLoss
from espnet_ext.losses.loss import Loss
from espnet_ext.losses.mae import MaeLoss
from espnet_ext.losses.mse import MseLoss
from espnet_ext.losses.siglip import SiglipLoss

__all__ = ["LOSSES", "ClipLoss", "CosineLoss", "CtcLoss", "KldLoss", "Loss", "MaeLoss", "MseLoss", "SiglipLoss"]

LOSSES: dict[str, type[Loss]] = {
    "clip": ClipLoss,
    "siglip": SiglipLoss,
    "mse": MseLoss,
    "mae": MaeLoss,
    "kld": KldLoss,
    "cosine": CosineLoss,
    "ctc": CtcLoss,
    "cr_ctc": CrCtcLoss,
}
