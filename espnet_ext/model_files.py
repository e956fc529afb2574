"""Finds and reads the two files of an ESPnet model: its training configuration and a checkpoint."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_ext.config import write_config
from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.files import atomic, locked

if TYPE_CHECKING:
    from torch import Tensor

# Tried in this order in an experiment directory: averages before single epochs, error rate before loss.
CHECKPOINTS = (
    "valid.cer_ctc.ave.pth",
    "valid.cer_ctc.best.pth",
    "valid.acc.ave.pth",
    "valid.acc.best.pth",
    "valid.loss.ave.pth",
    "valid.loss.best.pth",
    "latest.pth",
    "model.pth",
)
_TAG = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_LOCAL_SUFFIXES = (".pth", ".pt", ".zip", ".yaml")


def find_model_files(source: str | os.PathLike, checkpoint: str | None = None) -> tuple[Path, Path]:
    """Returns the paths of the configuration and of the checkpoint of a model.

    Args:
        source: an experiment directory, a checkpoint with `config.yaml` beside it, a zip made by ESPnet's stage 14
            (unpacked once, beside it), or a model-zoo or Hugging Face tag such as `user/name`.
        checkpoint: file name in the experiment directory; default: the first of `CHECKPOINTS` that exists.

    Raises:
        UserError: nothing usable there, or a checkpoint that is not whole.
    """
    path = Path(source)
    if checkpoint and not path.is_dir():
        raise UserError(f"--checkpoint {checkpoint} chooses a file of an experiment directory; {source} is none")
    if path.is_dir():
        files = path / "config.yaml", _choose(path, checkpoint)
    elif path.is_file() and path.suffix == ".zip":
        files = _unpack(path)
    elif path.exists():
        files = path.parent / "config.yaml", path
    elif _TAG.fullmatch(str(source)) and path.suffix not in _LOCAL_SUFFIXES and not Path(path.parts[0]).exists():
        files = _download(str(source))
    else:
        raise UserError(
            f"{source} does not exist; give an experiment directory, a checkpoint, a packed zip, or a model-zoo tag"
        )
    config_file, checkpoint_file = files
    if not config_file.is_file():
        raise UserError(f"{source}: {config_file} does not exist; copy the model's training configuration there")
    _check_whole(checkpoint_file)
    return config_file, checkpoint_file


def read_state_dict(checkpoint: Path) -> dict[str, "Tensor"]:
    """Reads the tensors of a model into the CPU's memory, also from DeepSpeed and Lightning checkpoints.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    import torch
    from espnet2.torch_utils.safe_torch_load import safe_torch_load

    try:
        state: Any = safe_torch_load(checkpoint, map_location="cpu")
    except Exception as error:  # whatever the unpickler meets in a damaged file
        raise UserError(f"checkpoint {checkpoint} cannot be read: {error}") from error
    for wrapper in ("module", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(
            f"checkpoint {checkpoint} holds no model alone (checkpoint.pth is the trainer's state); "
            "give a file such as valid.loss.ave.pth or latest.pth"
        )
    return state


def save_model(config: Mapping[str, Any], state: Mapping[str, "Tensor"], output_dir: Path) -> Path:
    """Writes `config.yaml` and `model.pth` into a directory; a `model.pth` that exists is whole.

    Returns:
        The path of `model.pth`.
    """
    import torch

    write_config(config, output_dir / "config.yaml")
    target = output_dir / "model.pth"
    with atomic(target) as temporary:
        torch.save(dict(state), temporary)
    return target


def _choose(exp_dir: Path, checkpoint: str | None) -> Path:
    if checkpoint:
        if not (exp_dir / checkpoint).is_file():
            there = [p.name for p in exp_dir.glob("*.pth")]
            hint = did_you_mean(checkpoint, there) if there else "there is no checkpoint at all"
            raise UserError(f"{exp_dir} has no {checkpoint}; {hint}")
        return exp_dir / checkpoint
    for name in CHECKPOINTS:
        if (exp_dir / name).is_file():
            return exp_dir / name
    raise UserError(f"{exp_dir} has none of {', '.join(CHECKPOINTS)}; finish its training or give the checkpoint file")


def _check_whole(checkpoint: Path) -> None:
    """Finds the usual damage, a copy that stopped half way, without reading gigabytes.

    `torch.save` writes a zip, whose directory is at its end.
    """
    if not checkpoint.is_file():
        raise UserError(f"checkpoint {checkpoint} does not exist")
    with checkpoint.open("rb") as file:
        start = file.read(4)
    if not start or (start == b"PK\x03\x04" and not zipfile.is_zipfile(checkpoint)):
        raise UserError(f"checkpoint {checkpoint} is empty or cut off; copy it again or choose another one")


def _unpack(archive: Path) -> tuple[Path, Path]:
    """Unpacks into `<archive without .zip>.unpacked/`, once for each version of the archive.

    ESPnet writes the final paths into the unpacked configuration, so nothing can be renamed afterwards: a marker,
    written last, says that the directory is whole and names the files, and a lock keeps the ranks of a distributed
    training apart.
    """
    from espnet2.main_funcs.pack_funcs import unpack

    if not zipfile.is_zipfile(archive):
        raise UserError(f"{archive} is no zip or is cut off; copy or download it again")
    directory = archive.absolute().with_suffix(".unpacked")
    marker = directory / ".complete.json"
    stat = archive.stat()
    version = [str(directory), stat.st_size, stat.st_mtime_ns]
    try:
        with locked(directory.with_suffix(".lock")):
            done = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else {}
            if done.get("version") != version:
                shutil.rmtree(directory, ignore_errors=True)
                done = {"version": version, "files": unpack(archive, directory, use_cache=False)}
                temporary = marker.with_suffix(".tmp")
                temporary.write_text(json.dumps(done), encoding="utf-8")
                os.replace(temporary, marker)
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked into {directory}: {error}") from error
    except Exception as error:  # ESPnet raises bare errors and assertions for foreign archives
        raise UserError(f"{archive} is no model packed by ESPnet (stage 14 of asr.sh): {error}") from error
    return _named_files(done["files"], archive)


def _download(tag: str) -> tuple[Path, Path]:
    try:
        from espnet_model_zoo.downloader import ModelDownloader
    except ImportError as error:
        raise UserError(
            f"{tag} does not exist here; to download it as a model-zoo tag, run: pip install espnet_model_zoo"
        ) from error
    try:
        files = ModelDownloader().download_and_unpack(tag)
    except Exception as error:  # network, authorisation, unknown tag: the library lets all through
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{tag} does not exist here, and downloading it as a model-zoo tag failed: {reason}") from error
    return _named_files(files, tag)


def _named_files(files: dict[str, str], source: object) -> tuple[Path, Path]:
    if not {"asr_train_config", "asr_model_file"} <= files.keys():
        raise UserError(f"{source} holds no ASR model, but {', '.join(files) or 'nothing'}")
    return Path(files["asr_train_config"]), Path(files["asr_model_file"])
