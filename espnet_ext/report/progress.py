"""The epochs of a training: those that are finished, or as they come."""

import shutil
import signal
import sys
import time
from datetime import datetime
from pathlib import Path

from espnet_ext.checkpoints.history import is_finished
from espnet_ext.errors import UserError
from espnet_ext.report.follow import Display, LogFollower, describe_losses, format_seconds
from espnet_ext.train_log import has_ended, last_epoch_is_saved, read_logs

POLL_SEC = 0.5


def summary(exp_dir: Path, name: str) -> None:
    """Prints one line per finished epoch.

    Raises:
        UserError: no epoch is finished.
    """
    epochs = read_logs(exp_dir)
    if not epochs:
        raise UserError(f"--exp_dir {exp_dir}: no finished epoch in its train.log; has the training started?")
    for epoch in epochs:
        print(f"{name}  epoch {epoch.epoch}  {describe_losses(epoch)}  {format_seconds(epoch.total_sec)}")
    print(f"{name}  {len(epochs)} epochs in {format_seconds(sum(epoch.total_sec for epoch in epochs))}")


def has_finished(exp_dir: Path) -> bool:
    """Tells whether nothing trains here any more."""
    # An earlier run's averages are there too while a resumed one trains on, until it saves its first epoch.
    return has_ended(exp_dir) or (is_finished(exp_dir) and last_epoch_is_saved(exp_dir))


def follow(exp_dir: Path, name: str) -> None:
    """Shows the epochs of a training until it ends or a signal asks to stop."""
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.append(True))

    log_file = exp_dir / "train.log"
    display = Display(name, log_file, is_terminal=sys.stdout.isatty(), width=lambda: shutil.get_terminal_size().columns)
    follower = LogFollower(log_file, since=datetime.min)  # the epochs that are finished, too
    while True:
        # Asked before reading, so that the last lines of a training that has just ended are still shown.
        ends = bool(stopped) or has_finished(exp_dir)
        for text, written in follower.lines():
            display.line(text, written)
        if ends:
            break
        time.sleep(POLL_SEC)
    display.close()
