"""What the checkpoint of an experiment directory says about its training: its epochs, what they cost, how it ended."""

import math
from pathlib import Path

from espnet_ext.checkpoints.load import load_saved
from espnet_ext.checkpoints.saving import CHECKPOINT
from espnet_ext.config import read_config
from espnet_ext.errors import UserError
from espnet_ext.train_log import EpochStats, from_reporter, non_finite_losses, read_logs, stopped_as_invalid

# What ESPnet's trainer measures in each batch, the optimizer in each update: seconds, by the name of the statistic.
_MEASURED = {
    "iter_time": "loading data",
    "forward_time": "forward",
    "backward_time": "backward",
    "optim_step_time": "optimizer",
}


def is_finished(exp_dir: Path) -> bool:
    """Tells whether the training has ended: the averaged models (or their links) are newer than the checkpoint."""
    checkpoint = exp_dir / CHECKPOINT
    if not checkpoint.is_file():
        return False
    written = checkpoint.stat().st_mtime_ns
    averaged = [path for path in exp_dir.glob("*.ave.pth") if ".till" not in path.name]
    return any(path.exists() and path.lstat().st_mtime_ns >= written for path in averaged)


def finished_epochs(exp_dir: Path) -> list[EpochStats]:
    """Returns the finished epochs: from `checkpoint.pth`, or from the logs where it cannot be read."""
    try:
        return from_reporter(load_saved(exp_dir / CHECKPOINT)["reporter"])
    except (OSError, UserError, KeyError):
        return read_logs(exp_dir)


def cost(exp_dir: Path) -> dict[str, float]:
    """Returns what the epochs of a finished training spent on what, in seconds, by ESPnet's own clocks.

    A teacher that runs in EncRL is in `forward`. On a GPU a clock measures how long the work took to hand over, so what
    the GPU does meanwhile counts where the trainer waits for it.
    """
    epochs = load_saved(exp_dir / CHECKPOINT)["reporter"]["stats"]
    updates_of_batch = 1 / int(read_config(exp_dir / "config.yaml").get("accum_grad") or 1)
    seconds, batches_before = dict.fromkeys([*_MEASURED.values(), "validation"], 0.0), 0
    for _, phases in sorted(epochs.items()):
        train = phases["train"]
        batches, batches_before = train["total_count"] - batches_before, train["total_count"]
        for key, meaning in _MEASURED.items():
            mean = train.get(key, 0.0)
            times = batches * (updates_of_batch if key == "optim_step_time" else 1)
            seconds[meaning] += mean * times if math.isfinite(mean) else 0.0
        seconds["validation"] += phases["valid"]["time"]["__timedelta_seconds__"]
    return {meaning: round(value, 3) for meaning, value in seconds.items()}


def check_finite(exp_dir: Path) -> None:
    """Checks that a training ended with finite losses.

    Raises:
        UserError: no epoch was finished, ESPnet stopped because no gradient was finite, or the last epoch's training
            loss is nan or infinite.
    """
    log_file = exp_dir / "train.log"
    if stopped_as_invalid(exp_dir):
        raise UserError(
            f"{exp_dir}: ESPnet stopped this training because the gradients of a whole epoch were not finite "
            f"(see {log_file}); lower the learning rate (optim_conf lr) or the batch size, look for broken audio, "
            f"delete the directory and run again"
        )
    epochs = finished_epochs(exp_dir)
    if not epochs:
        raise UserError(f"{exp_dir}: no epoch was finished; the reason is at the end of {log_file}")
    bad = non_finite_losses(epochs[-1].stats.get("train", {}))
    if bad:
        raise UserError(
            f"{exp_dir}: the training loss of epoch {epochs[-1].epoch} is not finite ({', '.join(bad)}; "
            f"see {log_file}); lower the learning rate (optim_conf lr), delete the directory and run again"
        )
