"""Exported files in ONNX Runtime with tensors of PyTorch, as the comparisons of an export need them."""

from pathlib import Path

import torch
from torch import Tensor

from espnet_ext.decode.runtime import INPUTS, OUTPUTS, OnnxSession

__all__ = ["INPUTS", "OUTPUTS", "OnnxCTC"]


class OnnxCTC:
    """A file that `espnet_ext.export.onnx_file` wrote; see `OnnxSession` for arguments and errors."""

    def __init__(self, path: Path, threads: int = 0):
        self._session = OnnxSession(path, threads)

    def __call__(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities, (B, T, V), and valid frames, (B,)."""
        log_probs, frames = self._session(inputs.numpy(), lengths.numpy())
        return torch.from_numpy(log_probs), torch.from_numpy(frames)
