"""Follows the log of a running ESPnet training and turns it into lines for a terminal. No torch, no espnet."""

import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from espnet_ext import train_log
from espnet_ext.train_log import AllInvalid, Batches, EpochStarted, EpochStats, Failure
from espnet_ext.warmup import describe_long_warmup


class LogFollower:
    """Reads what is appended to a log that may not exist yet, or be renamed and made anew.

    Lines written before `since` are skipped; a line without a time belongs to the last one with a time.
    """

    def __init__(self, path: Path, since: datetime):
        self.path = path
        self.since = since
        self._file = None
        self._partial = ""
        self._is_new = False

    def lines(self) -> Iterator[tuple[str, datetime | None]]:
        """Yields the complete new lines with the time they carry."""
        yield from self._read()
        if self._was_replaced():
            self._file.close()
            self._file = None
        if self._file is None:
            try:
                self._file = self.path.open(encoding="utf-8", errors="replace")
            except OSError:
                return
            self._partial, self._is_new = "", False
            yield from self._read()

    def _was_replaced(self) -> bool:
        if self._file is None:
            return False
        opened = os.fstat(self._file.fileno())
        try:
            named = self.path.stat()
        except OSError:
            return False  # renamed, and the new one is not there yet: the next poll finds it
        return opened.st_ino != named.st_ino or named.st_size < self._file.tell()

    def _read(self) -> Iterator[tuple[str, datetime | None]]:
        while self._file is not None and (piece := self._file.readline()):
            self._partial += piece
            if not piece.endswith("\n"):
                return
            line, self._partial = self._partial, ""
            written = train_log.line_time(line)
            if written is not None:
                self._is_new = written >= self.since
            if self._is_new:
                yield line, written


def format_seconds(seconds: float) -> str:
    """Formats a duration: `1.5 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if not math.isfinite(seconds):
        return "-"
    if 0 <= seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def describe_losses(epoch: EpochStats) -> str:
    """Returns the losses and the character error rate of a finished epoch, for EncRL those of every student."""

    def cer(key: str) -> str:
        value = epoch.get("valid", key)
        return "" if math.isnan(value) else f"  CER {100 * value:.1f} %"

    parts = [f"loss train {epoch.get('train', 'loss'):.4g} valid {epoch.get('valid', 'loss'):.4g}{cer('cer_ctc')}"]
    for student in epoch.students():
        key = f"{student}_loss"
        losses = f"train {epoch.get('train', key):.4g} valid {epoch.get('valid', key):.4g}"
        parts.append(f"{student}: {losses}{cer(f'{student}_cer_ctc')}")
    return "  |  ".join(parts)


@dataclass
class Display:
    """Prints the events of one training: a line per epoch, on a terminal also one that is updated within the epoch."""

    name: str
    log_file: Path
    is_terminal: bool
    width: Callable[[], int] = lambda: 80
    max_epoch: int = 0
    batches: int = 0
    skipped: int = 0
    warned: set[str] = field(default_factory=set)
    epoch_started: datetime | None = None
    wall_sec: list[float] = field(default_factory=list)
    _in_traceback: bool = False

    def line(self, text: str, written: datetime | None) -> None:
        """Shows one log line."""
        if self._in_traceback and written is None and text.strip() and not text.startswith((" ", "Traceback")):
            self._in_traceback = False
            if not text.startswith("KeyboardInterrupt"):  # Ctrl-C goes to the trainer too, and is no failure
                self._warn("failed", f"the training failed: {text.strip()[:200]}")
        event = train_log.parse_line(text)
        if isinstance(event, EpochStarted):
            self._started(event, written)
        elif isinstance(event, train_log.TrainBatches):
            self.batches = event.count
            if text := describe_long_warmup(self.log_file.parent / "config.yaml", event.count):
                self._warn("warmup", text)
        elif isinstance(event, train_log.UpdateSkipped):
            self.skipped += 1
        elif isinstance(event, Batches):
            self._within_epoch(event, written)
        elif isinstance(event, EpochStats):
            self._finished(event, written)
        elif isinstance(event, AllInvalid):
            self._warn("finite", "no gradient of a whole epoch was finite; ESPnet stopped this training")
        elif isinstance(event, Failure):
            self._in_traceback = not event.text
            if event.text:
                self._warn("failed", f"the log has an error: {event.text[:200]}")

    def close(self) -> None:
        """Ends the line that is updated in place, and reports a traceback that was cut off."""
        if self._in_traceback:
            self._warn("failed", "the training failed")
        self._clear()

    def _started(self, event: EpochStarted, written: datetime | None) -> None:
        if self.max_epoch == 0 and event.epoch > 1:
            self._keep(f"{self.name}  resumes after epoch {event.epoch - 1}/{event.max_epoch}")
        self.max_epoch, self.skipped = event.max_epoch, 0
        if self.epoch_started is not None and written is not None:
            self.wall_sec.append((written - self.epoch_started).total_seconds())
        self.epoch_started = written

    def _within_epoch(self, event: Batches, written: datetime | None) -> None:
        self._check_losses(event.epoch, event.stats)
        if not self.is_terminal:
            return
        losses = [f"loss {event.stats.get('loss', math.nan):.4g}"]
        losses += [f"{key.removesuffix('_loss')} {value:.4g}" for key, value in event.stats.items()
                   if key.endswith("_loss")]  # fmt: skip
        spent = (written - self.epoch_started).total_seconds() if written and self.epoch_started else math.nan
        whole = self._epoch_sec(spent * self.batches / event.last if self.batches else math.nan)
        left = whole * (self.max_epoch - event.epoch + 1) - spent
        of = f"/{self.batches}" if self.batches else ""
        text = f"{self.name}  epoch {event.epoch}/{self.max_epoch}  batch {event.last}{of}  {'  '.join(losses)}"
        sys.stdout.write(f"\r\x1b[K{f'{text}  ETA {format_seconds(left)}'[: self.width() - 1]}")
        sys.stdout.flush()

    def _finished(self, event: EpochStats, written: datetime | None) -> None:
        spent = (written - self.epoch_started).total_seconds() if written and self.epoch_started else event.total_sec
        to_come = self.max_epoch - event.epoch
        left = f"  ETA {format_seconds(self._epoch_sec(spent) * to_come)}" if to_come > 0 else ""
        self._keep(
            f"{self.name}  epoch {event.epoch}/{self.max_epoch}  {describe_losses(event)}  "
            f"{format_seconds(event.total_sec)}/epoch{left}"
        )
        for phase in ("train", "valid"):
            self._check_losses(event.epoch, event.stats.get(phase, {}))
        if self.skipped:
            self._keep(
                f"warning: {self.name}: {self.skipped} updates of epoch {event.epoch} were skipped because the "
                f"gradient was not finite (see {self.log_file})"
            )

    def _epoch_sec(self, otherwise: float) -> float:
        return sum(self.wall_sec) / len(self.wall_sec) if self.wall_sec else otherwise

    def _check_losses(self, epoch: int, stats: dict[str, float]) -> None:
        if bad := train_log.non_finite_losses(stats):
            self._warn("finite", f"epoch {epoch}: {', '.join(bad)} is not finite")

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self.warned:
            self.warned.add(kind)
            self._keep(f"warning: {self.name}: {text} (see {self.log_file})")

    def _keep(self, text: str) -> None:
        self._clear()
        print(text, flush=True)

    def _clear(self) -> None:
        if self.is_terminal:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()
