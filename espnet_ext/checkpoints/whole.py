"""Tells whether a file is what was once written: neither cut off, nor damaged, nor a stand-in of git-lfs.

`torch.save` and `numpy.savez` write zip archives, which hold a sum (CRC-32) of every part. `torch.load` does not
compare them: a block of zeros becomes weights without a word. Files in the older format of PyTorch hold no sums.
"""

import functools
import tarfile
import zipfile
import zlib
from pathlib import Path

from espnet_ext.errors import UserError
from espnet_ext.files import check_not_pointer

_PICKLE = b"\x80"  # how PyTorch's older format begins, and any pickle of protocol 2 and above


def check_whole(path: Path, kind: str) -> None:
    """Checks a file that has sums if it is a zip archive, e.g. a checkpoint or statistics of features.

    Every part is read, once in a process for each version of the file; that takes about as long as loading it.

    Args:
        path: the file.
        kind: what error messages call it.

    Raises:
        UserError: no such file, a pointer of git-lfs, empty, cut off, or damaged.
    """
    if not path.is_file():
        raise UserError(f"{kind} {path} does not exist")
    check_not_pointer(path)
    with path.open("rb") as file:
        start = file.read(4)
    if not start or (start == b"PK\x03\x04" and not zipfile.is_zipfile(path)):
        raise UserError(f"{kind} {path} is empty or cut off; copy it again or choose another one")
    if (part := damaged_part(path)) is not None:
        raise UserError(
            f"{kind} {path} is damaged: {part} in it does not have the sum that it was written with; "
            "copy it again or choose another one"
        )


def check_checkpoint(path: Path) -> None:
    """Checks a file of `torch.save` before it is loaded.

    Raises:
        UserError: as `check_whole`, or it is of another format.
    """
    check_whole(path, "checkpoint")
    with path.open("rb") as file:
        is_pickle = file.read(1) == _PICKLE
    if not (is_pickle or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
        raise UserError(f"checkpoint {path} cannot be read: it was not written by torch.save; give another file")


def damaged_part(path: Path) -> str | None:
    """Returns the first part of a zip archive that does not have its sum; None where all have, or there are no sums.

    Raises:
        OSError: the file cannot be read.
    """
    status = path.stat()
    version = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return _damaged_part(str(path.resolve()), version)


@functools.lru_cache(maxsize=1024)
def _damaged_part(path: str, version: tuple[int, ...]) -> str | None:
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if not any(info.CRC for info in archive.infolist()):  # torch.serialization.set_crc32_options(False)
                return None
            return archive.testzip()
    # What zipfile raises depends on where the damage is: in a header, a name, or compressed data.
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError, zlib.error) as error:
        return f"the zip archive ({error})"
