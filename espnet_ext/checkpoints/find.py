"""Finds and reads the two files of an ESPnet model: its training configuration and a checkpoint."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_ext.checkpoints.archive import unpack_model
from espnet_ext.checkpoints.load import why_not_loaded
from espnet_ext.checkpoints.output import claim
from espnet_ext.checkpoints.tags import download, is_tag
from espnet_ext.checkpoints.whole import check_checkpoint, check_whole
from espnet_ext.config import read_config, recipe_directory, write_config
from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.files import atomic, check_not_pointer

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
_LOCAL_SUFFIXES = (".pth", ".pt", ".zip", ".yaml")


def find_model_files(source: str | os.PathLike, checkpoint: str | None = None) -> tuple[Path, Path]:
    """Returns the paths of the configuration and of the checkpoint of a model.

    Args:
        source: an experiment directory, a checkpoint with `config.yaml` beside it, a zip made by ESPnet's stage 14
            (unpacked once, beside it), or a model-zoo or Hugging Face tag such as `user/name`.
        checkpoint: file name in the experiment directory; default: the first of `CHECKPOINTS` that exists.

    Raises:
        UserError: nothing usable there, an EncRL training, or files that are not whole.
    """
    path = Path(source)
    if checkpoint and not path.is_dir():
        raise UserError(f"--checkpoint {checkpoint} chooses a file of an experiment directory; {source} is none")
    if path.is_dir():
        files = path / "config.yaml", None
    elif path.is_file() and path.suffix == ".zip":
        files = unpack_model(path)
    elif path.exists():
        files = path.parent / "config.yaml", path
    elif path.suffix not in _LOCAL_SUFFIXES and not Path(path.parts[0]).exists() and is_tag(str(source)):
        files = download(str(source))
    else:
        raise UserError(
            f"{source} does not exist; give an experiment directory, a checkpoint, a packed zip, or a model-zoo tag"
        )
    config_file, checkpoint_file = files
    if not config_file.is_file():
        raise UserError(f"{source}: {config_file} does not exist; copy the model's training configuration there")
    config = read_config(config_file)
    _check_one_model(config, config_file.parent)
    checkpoint_file = checkpoint_file or _choose(path, checkpoint)
    check_checkpoint(checkpoint_file)
    _check_parts(config, recipe_directory(config_file, config))
    return config_file, checkpoint_file


def read_state_dict(checkpoint: Path) -> dict[str, "Tensor"]:
    """Reads the tensors of a model into the CPU's memory, also from DeepSpeed and Lightning checkpoints.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    import torch
    from espnet2.torch_utils.safe_torch_load import safe_torch_load

    check_checkpoint(checkpoint)
    try:
        state: Any = safe_torch_load(checkpoint, map_location="cpu")
    except Exception as error:  # whatever the unpickler meets in a damaged file
        raise UserError(f"checkpoint {checkpoint} cannot be read: {why_not_loaded(error)}") from error
    for wrapper in ("module", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(
            f"checkpoint {checkpoint} holds no model alone (checkpoint.pth is the trainer's state); "
            "give a file such as valid.loss.ave.pth or latest.pth"
        )
    return state


def save_model(
    config: Mapping[str, Any], state: Mapping[str, "Tensor"], output_dir: Path, source: Path | None = None
) -> Path:
    """Writes `config.yaml` and `model.pth` into a directory; a `model.pth` that exists is whole.

    Args:
        config: of the model.
        state: its tensors.
        output_dir: the directory.
        source: directory of the model that it is made of.

    Returns:
        The path of `model.pth`.

    Raises:
        UserError: the directory is not to be replaced, see `espnet_ext.checkpoints.output`.
    """
    import torch

    claim(output_dir, source)
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


def _check_one_model(config: Mapping[str, Any], directory: Path) -> None:
    students = config.get("students")
    if not isinstance(students, Mapping) or not students:
        return
    made = [name for name in students if (directory / name / "model.pth").is_file()]
    name = (made or list(students))[0]
    remedy = f"give {directory / name}"
    if not made:
        command = f"encrl derive student --encrl_exp {directory} --student {name}"
        remedy = f"write one by {command}, and {remedy}"
    raise UserError(f"{directory} is an EncRL training of the students {', '.join(students)}, not one model; {remedy}")


def _check_parts(config: Mapping[str, Any], root: Path) -> None:
    """Checks the other files that a model consists of, where they are there; ESPnet names those that are not."""
    statistics, bpe = (config.get("normalize_conf") or {}).get("stats_file"), config.get("bpemodel")
    if statistics and (root / statistics).is_file():
        check_whole(root / statistics, "statistics")
    if bpe and (root / bpe).is_file():
        check_not_pointer(root / bpe)  # SentencePiece's format has no sums
