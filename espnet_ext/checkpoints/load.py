"""Loads what `torch.save` wrote: tensors and plain values only."""

import pickle
import zipfile
from pathlib import Path

from espnet_ext.checkpoints.whole import damaged_part
from espnet_ext.errors import UserError
from espnet_ext.files import check_not_pointer


def load_saved(path: Path) -> dict:
    """Loads a file of `torch.save`, tensors on the CPU. Their values are not read yet, nor compared with their sums.

    Raises:
        UserError: cut off, a pointer of git-lfs, or intact, but not made of tensors and plain values, so ESPnet 202611
            would refuse it too.
        OSError: not there, or not readable.
    """
    import torch

    check_not_pointer(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # torch reports a cut off or overwritten file with any of these, depending on where it was cut
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, ImportError) as error:
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path) and damaged_part(path) is None:
            raise UserError(
                f"{path}: intact, but holds Python objects that ESPnet 202611 does not load; it was written by an "
                f"older version. Finish that training with its ESPnet version, or move the directory away to train anew"
            ) from error
        raise UserError(f"{path} is cut off or damaged; copy it again") from error


def why_not_loaded(error: Exception) -> str:
    """Returns why ESPnet did not load a model, without ESPnet's advice to load it unsafely."""
    from espnet2.torch_utils.safe_torch_load import UnsafeLoadRefusedError

    if isinstance(error, UnsafeLoadRefusedError):
        return (
            "the checkpoint holds more than tensors, and loading that could run foreign code; "
            "get one that holds the model's state_dict() alone"
        )
    return str(error)
