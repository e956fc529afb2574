"""A student made of chosen encoder layers of a teacher or of a larger student: a stock ESPnet experiment."""

import logging
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import chdir
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

from espnet2.tasks.asr import ASRTask
from torch import Tensor

import espnet_ext.autoload  # noqa: F401  (registers our encoders)
from espnet_ext.checkpoints.find import find_model_files, read_state_dict, save_model
from espnet_ext.config import read_config, recipe_directory, with_absolute_paths
from espnet_ext.encoder.layers import split_key
from espnet_ext.errors import UserError
from espnet_ext.quiet import quiet_espnet

# Options of ESPnet's encoders that may be lists with one entry for each layer.
_PER_LAYER = ("stochastic_depth_rate", "cgmlp_weight", "attn_branch_drop_rate")
# Options that name layers of the source for an intermediate CTC loss.
_INTERCTC = ("interctc_layer_idx", "interctc_use_conditioning", "ctc_trim")


def select_layers(spec: str, num_layers: int) -> list[int]:
    """Returns the indices, from 0 and increasing, of the layers to keep.

    Args:
        spec: `last:N`, `first:N`, `even:N` (N layers from the first to the last, spaced as in distil-whisper's
            `create_student_model.py`; `even:1` is the last), or a list such as `0,3,7,11`.
        num_layers: layers of the source.

    Raises:
        UserError: malformed, out of range, repeated or unordered.
    """
    valid = f"the source has {num_layers} layers: N is 1 to {num_layers}, indices are 0 to {num_layers - 1}"
    if match := re.fullmatch(r"(first|last|even):(\d+)", spec):
        kind, count = match[1], int(match[2])
        if not 1 <= count <= num_layers:
            raise UserError(f"--layers {spec}: {count} layers cannot be taken; {valid}")
        if kind == "first":
            return list(range(count))
        if kind == "last" or count == 1:
            return list(range(num_layers - count, num_layers))
        return [i * (num_layers - 1) // (count - 1) for i in range(count)]
    try:
        layers = [int(index) for index in spec.split(",")]
    except ValueError:
        raise UserError(f"--layers {spec}: use last:N, first:N, even:N or a list such as 0,3,7; {valid}") from None
    for index in layers:
        if not 0 <= index < num_layers:
            raise UserError(f"--layers {spec}: there is no layer {index}; {valid}")
    if any(a >= b for a, b in pairwise(layers)):
        raise UserError(f"--layers {spec}: indices must increase, each once; {valid}")
    return layers


def count_layers(state: Mapping[str, Tensor]) -> int:
    """Returns the number of encoder layers in a checkpoint; 0 where the encoder is of no known kind."""
    return 1 + max((split[1] for split in map(split_key, state) if split), default=-1)


def derive(
    config: Mapping[str, Any], state: Mapping[str, Tensor], layers: Sequence[int], ctc_only: bool = False
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Keeps the chosen encoder layers, renumbered, and everything outside of them.

    Args:
        config: stock ESPnet training configuration.
        state: parameters and buffers of the model, by name.
        layers: indices of the layers to keep.
        ctc_only: drop the attention decoder or transducer also where the source was trained with one.

    Returns:
        The configuration and the state of the derived model; the tensors are shared with `state`.
    """
    config = deepcopy(dict(config))
    encoder_conf = config["encoder_conf"] = dict(config.get("encoder_conf") or {})
    model_conf = config["model_conf"] = dict(config.get("model_conf") or {})
    encoder_conf["num_blocks"] = len(layers)
    for key in _PER_LAYER:
        if isinstance(encoder_conf.get(key), list):
            encoder_conf[key] = [encoder_conf[key][index] for index in layers]
    if points := encoder_conf.get("gradient_checkpoint_layers"):  # 0 is the subsampling, layers count from 1
        renumbered = {0: 0} | {old + 1: new + 1 for new, old in enumerate(layers)}
        encoder_conf["gradient_checkpoint_layers"] = [renumbered[i] for i in points if i in renumbered]
    if encoder_conf.get("interctc_layer_idx"):
        logging.warning("Intermediate CTC is dropped: its layers are those of the source; interctc_weight is 0 now")
        encoder_conf = config["encoder_conf"] = {k: v for k, v in encoder_conf.items() if k not in _INTERCTC}
        model_conf["interctc_weight"] = 0.0
    dropped = ["encoder.conditioning_layer."] if not encoder_conf.get("interctc_layer_idx") else []
    if ctc_only or model_conf.get("ctc_weight", 0.5) == 1.0:
        config["decoder"], model_conf["ctc_weight"] = None, 1.0
        dropped += ["decoder.", "joint_network.", "criterion_att."]

    renumbered_layer = {old: new for new, old in enumerate(layers)}
    derived = {}
    for key, value in state.items():
        if split := split_key(key):
            before, index, after = split
            if index in renumbered_layer:
                derived[f"{before}{renumbered_layer[index]}{after}"] = value
        elif not key.startswith(tuple(dropped)):
            derived[key] = value
    return config, derived


def load_layers(
    source: str, layers: str, checkpoint: str | None = None, ctc_only: bool = False
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads a model and keeps chosen layers of its encoder.

    Args:
        source: experiment directory, checkpoint file, packed zip, or model-zoo tag.
        layers: see `select_layers`.
        checkpoint: file name in the experiment directory `source`.
        ctc_only: see `derive`.

    Returns:
        The configuration, with absolute paths, and the state of the derived model.

    Raises:
        UserError: nothing usable in `source`, a bad selection, or a checkpoint that does not fit its configuration.
    """
    config_file, checkpoint_file = find_model_files(source, checkpoint)
    config, state = read_config(config_file), read_state_dict(checkpoint_file)
    num_layers = count_layers(state)
    if not num_layers:
        raise UserError(
            f"--source {source}: encoder '{config.get('encoder')}' has no list of layers to choose from; "
            "conformer, transformer, branchformer, e_branchformer and torchaudio_conformer have "
            "(of an EncRL run, export the student first: encrl derive student)"
        )
    selected = select_layers(layers, num_layers)
    config, state = derive(config, state, selected, ctc_only)
    root = recipe_directory(config_file, config)
    state = _fill_model(config, state, root, checkpoint_file)
    logging.info(f"Layers {selected} of {num_layers} of {checkpoint_file}")
    return with_absolute_paths(config, root), state


def derive_student(
    source: str, layers: str, output_dir: Path, checkpoint: str | None = None, ctc_only: bool = False
) -> Path:
    """Writes `config.yaml` and `model.pth` of the derived model; a `model.pth` that exists is whole.

    Args:
        source: see `load_layers`, as the other arguments.
        layers: see `select_layers`.
        output_dir: where the files go; not the directory of `source`.
        checkpoint: file name in the experiment directory `source`.
        ctc_only: see `derive`.

    Returns:
        The path of `model.pth`.

    Raises:
        UserError: as `load_layers`, or a directory that is not to be replaced.
    """
    config, state = load_layers(source, layers, checkpoint, ctc_only)
    return save_model(config, state, output_dir, find_model_files(source, checkpoint)[0].parent)


def _fill_model(config: Mapping[str, Any], state: dict[str, Tensor], root: Path, source: Path) -> dict[str, Tensor]:
    """Returns the state of the stock model after loading, where ESPnet has renamed the keys of older versions."""
    try:
        with chdir(root):
            # All parameters come from the checkpoint; `init` may be one that ESPnet no longer has.
            with quiet_espnet():
                model = ASRTask.build_model(Namespace(**{**config, "init": None}))
        missing, _ = model.load_state_dict(state, strict=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{source}: its config.yaml needs the file {error.filename}, which is not there; run from the recipe "
            "directory of the model, or pack it (stage 14) and give the zip"
        ) from error
    except Exception as error:  # ESPnet's constructors raise what they like
        first = " ".join(str(error).split("\n\t")[:2])  # PyTorch lists every tensor of another size
        raise UserError(f"{source} does not fit its config.yaml: {first}") from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise UserError(f"{source} does not fit its config.yaml: it lacks {len(missing)} tensors, e.g. {missing[0]}")
    return model.state_dict()
