"""Exported files in ONNX Runtime: NumPy in, NumPy out, so that a device needs no PyTorch."""

import os
from pathlib import Path

import numpy as np
import onnxruntime

from espnet_ext.errors import UserError
from espnet_ext.files import check_not_pointer

INPUTS, OUTPUTS = ("x", "x_lengths"), ("log_probs", "log_probs_lengths")


class OnnxSession:
    """A file that `encrl export` wrote, in ONNX Runtime.

    Args:
        path: the file.
        threads: of the processor; 0 for as many as this process may use.

    Attributes:
        metadata: what the file says of itself.

    Raises:
        UserError: no such file, or not of that kind.
    """

    def __init__(self, path: Path, threads: int = 0):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        # Threads that wait by spinning take time from others, and a device's battery.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        _check_file(path)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class of its own for each reason
            raise UserError(f"{path} cannot be loaded: {error}; write it again with encrl export") from error
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, inputs: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Runs the file.

        Args:
            inputs: (B, samples) or (B, T, M) float32, as the file takes them.
            lengths: (B,) int64, valid samples or frames.

        Returns:
            (B, T', V) float32 log-probabilities and (B,) int64 valid frames.
        """
        log_probs, frames = self._session.run(None, {INPUTS[0]: inputs, INPUTS[1]: lengths})
        return log_probs, frames


def available_cores() -> int:
    """Returns on how many processor cores this process may run."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} does not exist; write it with encrl export")
    check_not_pointer(path)
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; copy it again, or write it with encrl export")
