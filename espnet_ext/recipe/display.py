"""What the terminal shows of a run: lines with a time, the progress of trainings, what is left."""

import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from espnet_ext.report.follow import Display, LogFollower, format_seconds

_POLL_SEC = 0.5


class Terminal:
    """The display of one run, which several threads write to."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._lock = threading.Lock()
        self._total = self._begun = 0
        self._spent: list[float] = []

    def say(self, text: str) -> None:
        """Shows a line with the time."""
        with self._lock:
            clear = "\r\x1b[K" if self.is_terminal else ""
            print(f"{clear}{time.strftime('%H:%M:%S')} {text}", flush=True)

    def expect(self, models: int) -> None:
        """Says how many models are to come, for `count`."""
        self._total, self._begun, self._spent = models, 0, []

    def count(self, at_once: int) -> str:
        """Returns ", model 3 of 7, about 5 min left" for the next model.

        Args:
            at_once: models at a time.
        """
        with self._lock:
            self._begun += 1
            left = ""
            if self._spent:
                mean = sum(self._spent) / len(self._spent)
                left = f", about {format_seconds(mean * (self._total - self._begun + 1) / at_once)} left"
            return f", model {self._begun} of {self._total}{left}"

    def took(self, seconds: float) -> None:
        """Notes what a model took, for the estimate."""
        with self._lock:
            self._spent.append(seconds)

    @contextmanager
    def following(self, exp_dir: Path, name: str, in_place: bool) -> Iterator[None]:
        """Shows the epochs of a training meanwhile.

        Args:
            exp_dir: its experiment directory.
            name: shown.
            in_place: update a line within the epoch; not where several trainings are shown.
        """
        log_file = exp_dir / "train.log"
        display = Display(name, log_file, self.is_terminal and in_place, lambda: shutil.get_terminal_size().columns)
        since = datetime.now() - timedelta(seconds=1)  # log times are whole seconds in the launcher's header
        follower = LogFollower(log_file, since)

        def read() -> None:
            for text, written in follower.lines():
                display.line(text, written)

        with _repeating(read):
            yield
        display.close()

    @contextmanager
    def bar(self, log: Path, tell: Callable[[str], None]) -> Iterator[None]:
        """Shows what a job with a progress bar writes to its log: the disk that it needs, on a terminal the bar."""
        told = False

        def read() -> None:
            nonlocal told
            lines = log.read_text(errors="replace").replace("\r", "\n").splitlines() if log.is_file() else []
            need = next((line for line in lines if " MiB are free" in line), None)
            if need and not told:
                told = True
                tell(need)
            bars = [match[0] for line in lines if (match := re.search(r"[^ ]+: +\d+%\|.*\]", line))]
            if bars and self.is_terminal:
                sys.stdout.write(f"\r\x1b[K{bars[-1]}")
                sys.stdout.flush()

        with _repeating(read):
            yield
        if self.is_terminal:
            sys.stdout.write("\r\x1b[K")


@contextmanager
def _repeating(work: Callable[[], None]) -> Iterator[None]:
    """Calls `work` now and then, in a thread, and once at the end."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(_POLL_SEC):
            work()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        work()
