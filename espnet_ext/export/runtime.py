"""Exported files in ONNX Runtime with tensors of PyTorch, as the comparisons of an export need them."""

import bisect
from pathlib import Path

import torch
from torch import Tensor

from espnet_ext.decode.runtime import INPUTS, OUTPUTS, OnnxSession

__all__ = ["INPUTS", "OUTPUTS", "OnnxCTC", "shortest_input"]


class OnnxCTC:
    """A file that `espnet_ext.export.onnx_file` wrote; see `OnnxSession` for arguments and errors."""

    def __init__(self, path: Path, threads: int = 0):
        self._session = OnnxSession(path, threads)

    def __call__(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities, (B, T, V), and valid frames, (B,)."""
        log_probs, frames = self._session(inputs.numpy(), lengths.numpy())
        return torch.from_numpy(log_probs), torch.from_numpy(frames)


def shortest_input(path: Path, sample_rate: int) -> int:
    """Returns the fewest samples of which a file makes a frame; with fewer, runtimes fail in its convolutions."""
    runtime = OnnxCTC(path, threads=1)

    def works(samples: int) -> bool:
        try:
            return int(runtime(torch.zeros(1, samples), torch.tensor([samples]))[1][0]) > 0
        except Exception:  # ONNX Runtime has a class of its own for each reason
            return False

    return bisect.bisect_left(range(sample_rate), True, key=works)
