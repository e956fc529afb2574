"""Exported files in ONNX Runtime."""

import bisect
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from espnet_ext.checkpoints.whole import check_not_pointer
from espnet_ext.errors import UserError

INPUTS, OUTPUTS = ("x", "x_lengths"), ("log_probs", "log_probs_lengths")


class OnnxCTC:
    """A file that `espnet_ext.export.onnx_file` wrote, in ONNX Runtime.

    Args:
        path: the file.
        threads: of the processor; 0 for all.

    Raises:
        UserError: no such file, or not of that kind.
    """

    def __init__(self, path: Path, threads: int = 0):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        if not path.is_file():
            raise UserError(f"{path} does not exist; write it with espnet_ext.bin.export_onnx")
        check_not_pointer(path)
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class of its own for each reason
            raise UserError(f"{path} cannot be loaded: {error}; write it again with export_onnx") from error

    def __call__(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities, (B, T, V), and valid frames, (B,)."""
        feed = {INPUTS[0]: inputs.numpy(), INPUTS[1]: lengths.numpy()}
        log_probs, frames = self.session.run(None, feed)
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
