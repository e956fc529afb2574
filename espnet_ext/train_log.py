"""What ESPnet's trainer says about a training: its log lines and the reporter inside `checkpoint.pth`.

The formats are those of `espnet2/train/trainer.py` and `espnet2/train/reporter.py`. Reading a log needs neither torch
nor espnet, so that a display can start at once.
"""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)"
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) \(\w+:\d+\) (\w+): ")
_STARTED_AT = re.compile(r"# Started at \w{3} (\w{3}\s+\d+ \d\d:\d\d:\d\d) .*?(\d{4})\s*$")  # the launcher's header
_EPOCH_STARTED = re.compile(r"(\d+)/(\d+)epoch started")
_BATCHES = re.compile(r"(\d+)epoch:(\w+):(\d+)-(\d+)batch: (.*)")
_RESULTS = re.compile(r"(\d+)epoch results: (.*)")
_PHASE = re.compile(r"\[(\w+)\] ([^\[]*)")
_STAT = re.compile(rf"([\w-]+)=({_NUMBER})(?=,|\s|$)")
_TIMESPAN = re.compile(r"\btime=((?:(?:, | and )?[\d.]+ (?:year|week|day|hour|minute|second|millisecond)s?)+)")
_UNIT_SEC = {
    "year": 31536000, "week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1, "millisecond": 0.001,
}  # fmt: skip
_SAVED = re.compile(r"The best model has been updated: |There are no improvements in this epoch")
_TRAIN_BATCHES = re.compile(r"\[train\] Batch sampler: .*N-batch=(\d+)")
_SKIPPED = re.compile(r"The grad norm is \S+\. Skipping updating the model|Student \S+: the gradient is not finite")
_TAIL_BYTES = 4096
_INVALID = re.compile(r"The gradients at all steps are invalid in this epoch")


@dataclass(frozen=True)
class EpochStarted:
    """`3/20epoch started`."""

    epoch: int
    max_epoch: int


@dataclass(frozen=True)
class Batches:
    """Mean statistics of batches `first` to `last` (counted from 1) of one epoch."""

    epoch: int
    phase: str
    first: int
    last: int
    stats: dict[str, float]


@dataclass
class EpochStats:
    """One finished epoch: statistics and seconds by phase (`train`, `valid`)."""

    epoch: int
    stats: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total_sec(self) -> float:
        """Training plus validation, without the time to save checkpoints."""
        return sum(self.seconds.values())

    def get(self, phase: str, key: str) -> float:
        """Returns a statistic, nan where it was not reported."""
        return self.stats.get(phase, {}).get(key, math.nan)

    def students(self) -> list[str]:
        """Returns the students of an EncRL training, in their order; empty for any other training.

        The EncRL model reports `<student>_loss`; a stock ESPnet model reports `loss` and `loss_<part>` only.
        """
        return [key.removesuffix("_loss") for key in self.stats.get("train", {}) if key.endswith("_loss")]


@dataclass(frozen=True)
class Saved:
    """Checkpoint and epoch model are complete on disk (the trainer logs this after both were written)."""


@dataclass(frozen=True)
class TrainBatches:
    """Number of training batches of an epoch, from the sampler's line."""

    count: int


@dataclass(frozen=True)
class UpdateSkipped:
    """The gradient of one batch was not finite, and the model, or the student of EncRL, was left as it was."""


@dataclass(frozen=True)
class AllInvalid:
    """No batch of an epoch had a finite gradient; ESPnet stops the training."""


@dataclass(frozen=True)
class Failure:
    """An `ERROR` line or the head of a traceback."""

    text: str


Event = EpochStarted | Batches | EpochStats | Saved | TrainBatches | UpdateSkipped | AllInvalid | Failure


def parse_timespan(text: str) -> float:
    """Seconds of a time as the `humanfriendly` package writes it, e.g. `1 hour, 2 minutes and 3.5 seconds`."""
    parts = re.findall(r"([\d.]+) ([a-z]+?)s?(?=,| |$)", text)
    return sum(float(number) * _UNIT_SEC[unit] for number, unit in parts if unit in _UNIT_SEC)


def parse_stats(text: str) -> dict[str, float]:
    """Parses `loss=1.234, cer_ctc=5.0e-4, acc=nan`; the `time` of an epoch is not a statistic."""
    return {key: float(value) for key, value in _STAT.findall(text) if key not in ("time", "total_count")}


def line_time(line: str) -> datetime | None:
    """Returns the local time a line was written at, None for a line without one (a traceback, the model's print)."""
    if match := _TIME.search(line):
        return datetime.fromisoformat(match[1]).replace(microsecond=int(match[2]) * 1000)
    if match := _STARTED_AT.match(line):
        return datetime.strptime(f"{' '.join(match[1].split())} {match[2]}", "%b %d %H:%M:%S %Y")
    return None


def parse_line(line: str) -> Event | None:
    """Returns the event a line of `train.log` tells, None when it tells none."""
    if line.startswith("Traceback (most recent call last)"):
        return Failure("")
    head = _TIME.search(line)
    if head is None:
        return None
    message = line[head.end() :].rstrip("\n")
    if match := _BATCHES.match(message):
        return Batches(int(match[1]), match[2], int(match[3]), int(match[4]), parse_stats(match[5]))
    if match := _EPOCH_STARTED.match(message):
        return EpochStarted(int(match[1]), int(match[2]))
    if match := _RESULTS.match(message):
        result = EpochStats(int(match[1]))
        for phase, text in _PHASE.findall(match[2]):
            result.stats[phase] = parse_stats(text)
            if timespan := _TIMESPAN.search(text):
                result.seconds[phase] = parse_timespan(timespan[1])
        return result
    if _SAVED.match(message):
        return Saved()
    if match := _TRAIN_BATCHES.match(message):
        return TrainBatches(int(match[1]))
    if _SKIPPED.match(message):
        return UpdateSkipped()
    if _INVALID.match(message):
        return AllInvalid()
    return Failure(message) if head[3] in ("ERROR", "CRITICAL") else None


def non_finite_losses(stats: dict[str, float]) -> list[str]:
    """Returns the losses that are nan or infinite: `loss` and every `<student>_loss`.

    Other statistics may be nan on purpose, e.g. `loss_att` and `acc` of a model without decoder.
    """
    return [
        key for key, value in stats.items() if (key == "loss" or key.endswith("_loss")) and not math.isfinite(value)
    ]


def log_files(exp_dir: Path) -> list[Path]:
    """Returns the logs of all runs, oldest first. A new run renames `train.log` to `train.1.log` and so on."""
    rotated = [(int(match[1]), path) for path in exp_dir.glob("train.*.log")
               if (match := re.fullmatch(r"train\.(\d+)\.log", path.name))]  # fmt: skip
    current = [exp_dir / "train.log"] if (exp_dir / "train.log").is_file() else []
    return [path for _, path in sorted(rotated, reverse=True)] + current


def _events(paths: list[Path]) -> Iterator[Event]:
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if (event := parse_line(line)) is not None:
                    yield event


def read_logs(exp_dir: Path) -> list[EpochStats]:
    """Returns the finished epochs by the logs. An epoch trained twice (after a restart) counts as trained last."""
    epochs: dict[int, EpochStats] = {}
    for event in _events(log_files(exp_dir)):
        if isinstance(event, EpochStarted):
            # Training went back to this epoch, so what a former run said about it and later ones is void.
            epochs = {number: value for number, value in epochs.items() if number < event.epoch}
        elif isinstance(event, EpochStats):
            epochs[event.epoch] = event
    return [epochs[number] for number in sorted(epochs)]


def has_ended(exp_dir: Path) -> bool:
    """Tells whether the last run of a training has ended, by what its launcher wrote at the end of `train.log`.

    A training without a launcher writes no such line; see `last_epoch_is_saved`.
    """
    try:
        with (exp_dir / "train.log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return False
    return any(line.startswith("# Ended (code ") for line in lines[-3:])


def last_epoch_is_saved(exp_dir: Path) -> bool:
    """Tells whether the last epoch that was begun by `train.log` is complete on disk."""
    saved = False
    for event in _events(log_files(exp_dir)[-1:]):
        if isinstance(event, EpochStarted | Saved):
            saved = isinstance(event, Saved)
    return saved


def stopped_as_invalid(exp_dir: Path) -> bool:
    """Tells whether the last run ended because no gradient of an epoch was finite."""
    return any(isinstance(event, AllInvalid) for event in _events(log_files(exp_dir)[-1:]))


def from_reporter(state: dict) -> list[EpochStats]:
    """Returns the finished epochs of `checkpoint.pth["reporter"]` (`Reporter.state_dict`), which survives restarts."""
    epochs = []
    for number, phases in sorted(state["stats"].items()):
        epoch = EpochStats(number)
        for phase, values in phases.items():
            if phase not in ("train", "valid"):
                continue
            epoch.stats[phase] = {
                key: float(value) for key, value in values.items() if key not in ("time", "total_count")
            }
            epoch.seconds[phase] = values["time"]["__timedelta_seconds__"]
        epochs.append(epoch)
    return epochs
