"""Loads what `torch.save` wrote: tensors and plain values only, and never with wrong values."""

import errno
import pickle
import zipfile
from pathlib import Path

from espnet_ext.checkpoints.whole import check_not_pointer, damaged_part
from espnet_ext.errors import UserError


class CorruptFileError(Exception):
    """A file that `torch.save` did not finish, or that was damaged later; the text says which, after "it is"."""


def load_saved(path: Path, mmap: bool = False) -> dict:
    """Loads a file of `torch.save`, tensors on the CPU; with `mmap` their values are not read yet, nor verified.

    Raises:
        CorruptFileError: Incomplete or damaged.
        UserError: A pointer of git-lfs, or intact, but not made of tensors and plain values, so ESPnet 202611 would
            refuse it too.
        OSError: Not there, or not readable.
    """
    import torch

    check_not_pointer(path)
    if not mmap and (part := damaged_part(path)) is not None:
        raise CorruptFileError(f"damaged ({part} in it does not have the sum that it was written with)")
    incomplete = "incomplete (the training was killed while it was written)"
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError as error:
        if error.errno == errno.EINVAL:  # torch looked for the zip's directory before the file's beginning
            raise CorruptFileError(incomplete) from error
        raise
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path) and damaged_part(path) is None:
            raise UserError(
                f"{path}: intact, but holds Python objects that ESPnet 202611 does not load; it was written by an "
                f"older version. Finish that training with its ESPnet version, or move the directory away to train anew"
            ) from error
        raise CorruptFileError(incomplete) from error
    # torch reports a truncated or overwritten file with any of these, depending on where it was cut
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise CorruptFileError(incomplete) from error


def why_not_loaded(error: Exception) -> str:
    """Returns why ESPnet did not load a model, without ESPnet's advice to load it unsafely."""
    from espnet2.torch_utils.safe_torch_load import UnsafeLoadRefusedError

    if isinstance(error, UnsafeLoadRefusedError):
        return (
            "the checkpoint holds more than tensors, and loading that could run foreign code; "
            "get one that holds the model's state_dict() alone"
        )
    return str(error)
