"""Whether the warm-up of the learning rate fits into a training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_ext.config import read_config
from espnet_ext.errors import UserError

_DEFAULT_STEPS = 25000  # of ESPnet's schedulers that a configuration tells nothing
_WITH_DEFAULT = ("noamlr", "warmuplr", "warmupsteplr", "warmupreducelronplateau", "piecewiselinearwarmuplr")
# Of the updates that a warm-up which is too long had better be, roughly that of conf/*.yaml.
_SHARE = 5


def warmup_steps(config: Mapping[str, Any]) -> int:
    """Returns the updates of the warm-up by a training's options; 0 where its scheduler has none."""
    scheduler, conf = str(config.get("scheduler") or "").lower(), config.get("scheduler_conf") or {}
    steps = conf.get("warmup_steps", _DEFAULT_STEPS if scheduler in _WITH_DEFAULT else 0)
    if "warmup_steps_list" in conf:
        steps = max(conf["warmup_steps_list"])
    return int(steps) if scheduler else 0


def num_updates(config: Mapping[str, Any], batches: int) -> int:
    """Returns the updates of a whole training.

    Args:
        config: its options.
        batches: in a pass over the data, over all processes.
    """
    in_epoch = config.get("num_iters_per_epoch") or batches
    return int(config["max_epoch"]) * (in_epoch // int(config.get("accum_grad") or 1))


def describe_long_warmup(config_file: Path, batches: int) -> str | None:
    """Returns a warning of a training that ends before its warm-up does; None for any other.

    Args:
        config_file: config.yaml of its experiment directory, with every option as ESPnet took it.
        batches: in a pass over the data, over all processes, as the trainer's log tells.
    """
    try:
        config = read_config(config_file)
        steps, updates = warmup_steps(config), num_updates(config, batches)
    except (UserError, KeyError, TypeError, ValueError):  # to watch a training is no reason to fail
        return None
    advised = max(1, updates // _SHARE)
    if steps < updates or steps <= advised:
        return None
    return (
        f"the learning rate warms up for {steps} updates and the whole training has {updates}, so it never gets there: "
        f"give smaller batches, more epochs, or --scheduler_conf warmup_steps={advised} (in "
        "--teacher_args, --encrl_args, --finetune_args or --scratch_args)"
    )
