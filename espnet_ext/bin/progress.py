"""Shows a training that runs in the background: model, epoch, losses, seconds per epoch, time left."""

import argparse
import os
import shutil
import signal
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from espnet_ext.checkpoints.history import is_finished
from espnet_ext.errors import UserError, run_main
from espnet_ext.report.follow import (
    Display,
    LogFollower,
    describe_losses,
    format_seconds,
    process_runs,
    process_started,
)
from espnet_ext.train_log import has_ended, last_epoch_is_saved, read_logs

POLL_SEC = 0.5


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Follow the train.log of an ESPnet training until the process --pid (without it, the training) "
        "ends or SIGTERM arrives. Of a training that has ended, print the epochs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--exp_dir", type=Path, required=True, help="experiment directory of ESPnet's trainer")
    parser.add_argument("--name", help="what is trained, e.g. 'e6 finetune' (default: the directory's name)")
    parser.add_argument("--pid", type=int, help="process of the training; what was logged before it is not shown")
    parser.add_argument("--summary", action="store_true", help="print the finished epochs and end")
    return parser


def summary(exp_dir: Path, name: str) -> None:
    """Prints one line per finished epoch."""
    epochs = read_logs(exp_dir)
    if not epochs:
        raise UserError(f"--exp_dir {exp_dir}: no finished epoch in its train.log; has the training started?")
    for epoch in epochs:
        print(f"{name}  epoch {epoch.epoch}  {describe_losses(epoch)}  {format_seconds(epoch.total_sec)}")
    print(f"{name}  {len(epochs)} epochs in {format_seconds(sum(epoch.total_sec for epoch in epochs))}")


def has_finished(exp_dir: Path) -> bool:
    """Tells whether nothing trains here any more, where no process was named that could be asked."""
    # An earlier run's averages are there too while a resumed one trains on, until it saves its first epoch.
    return has_ended(exp_dir) or (is_finished(exp_dir) and last_epoch_is_saved(exp_dir))


def follow(exp_dir: Path, name: str, pid: int | None) -> None:
    """Follows a training until `pid` (None: the training) ends or a signal asks to stop."""
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.append(True))

    started = process_started(pid) if pid is not None else None
    since = (started or datetime.now()) - timedelta(seconds=1)  # log times are whole seconds in the launcher's header
    log_file = exp_dir / "train.log"
    display = Display(name, log_file, is_terminal=sys.stdout.isatty(), width=lambda: shutil.get_terminal_size().columns)
    follower = LogFollower(log_file, since)
    while True:
        # Asked before reading, so that the last lines of a process that has just ended are still shown.
        ends = bool(stopped) or (has_finished(exp_dir) if pid is None else not process_runs(pid))
        for text, written in follower.lines():
            display.line(text, written)
        if ends:
            break
        time.sleep(POLL_SEC)
    display.close()


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    args = get_parser().parse_args(cmd)
    name = args.name or args.exp_dir.resolve().name
    if args.pid is None and not args.exp_dir.is_dir():
        raise UserError(f"--exp_dir {args.exp_dir} does not exist; give the directory of a training")
    if args.summary or (args.pid is None and has_finished(args.exp_dir)):
        summary(args.exp_dir, name)
        return
    try:
        follow(args.exp_dir, name, args.pid)
    except BrokenPipeError:  # the terminal is gone; the training is none of our business
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (the interpreter flushes it at exit)


if __name__ == "__main__":
    run_main(main)
