"""One-shot magnitude pruning of a trained model, the baseline of arXiv 2505.16991, section 4.2.3."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor
from torch.nn.utils.prune import L1Unstructured

from espnet_ext.checkpoints.find import find_model_files, read_state_dict, save_model
from espnet_ext.config import read_config, recipe_directory, with_absolute_paths
from espnet_ext.encoder.layers import PARTS, in_part
from espnet_ext.errors import UserError, did_you_mean


def prune(
    state: Mapping[str, Tensor], amount: float, groups: Iterable[str], weights_only: bool = True
) -> tuple[dict[str, Tensor], float]:
    """Sets the smallest weights of each tensor to zero; the file does not get smaller.

    Args:
        state: parameters and buffers of the model, by name.
        amount: share of each tensor, 0 to 1.
        groups: names of `espnet_ext.encoder.layers.PARTS`.
        weights_only: spare biases and layer norms. False: prune them too, as the released code does.

    Returns:
        The pruned state, and the share of zeros among all parameters of the model.

    Raises:
        UserError: an amount out of range, an unknown group, or one that matches nothing.
    """
    if not 0 <= amount < 1:
        raise UserError(f"--amount {amount}: must be at least 0 and below 1, e.g. 0.05")
    groups = list(groups)
    for group in groups:
        if group not in PARTS:
            raise UserError(f"--modules: unknown group '{group}'; {did_you_mean(group, PARTS)}")
        if not any(in_part(key, group) for key in state):
            raise UserError(f"--modules {group}: no layer of this model has such a module; leave it out")
    pruned, method = dict(state), L1Unstructured(amount)
    for key, value in state.items():
        chosen = any(in_part(key, group) for group in groups)
        if chosen and value.is_floating_point() and (value.dim() > 1 or not weights_only) and not _is_buffer(key):
            pruned[key] = method.prune(value)
    parameters = [value for key, value in pruned.items() if value.is_floating_point() and not _is_buffer(key)]
    zeros = sum(int((value == 0).sum()) for value in parameters)
    return pruned, zeros / sum(value.numel() for value in parameters)


def prune_model(
    source: str, amount: float, groups: Iterable[str], output_dir: Path, weights_only: bool = True
) -> tuple[Path, float]:
    """Writes `config.yaml` and `model.pth` of a pruned model.

    Args:
        source: experiment directory, checkpoint, packed zip or model-zoo tag.
        amount: see `prune`, as `groups` and `weights_only`.
        groups: names of `espnet_ext.encoder.layers.PARTS`.
        output_dir: where the files go.
        weights_only: spare biases and layer norms.

    Returns:
        The path of `model.pth`, and the share of zeros among all parameters.

    Raises:
        UserError: as `prune`, or nothing usable in `source`.
    """
    config_file, checkpoint = find_model_files(source)
    state, share = prune(read_state_dict(checkpoint), amount, groups, weights_only)
    config = read_config(config_file)
    config = with_absolute_paths(config, recipe_directory(config_file, config))
    return save_model(config, state, output_dir, config_file.parent), share


def _is_buffer(key: str) -> bool:
    return key.endswith(("running_mean", "running_var")) or key.startswith(("normalize.", "frontend."))
