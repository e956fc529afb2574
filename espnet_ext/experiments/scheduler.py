"""Runs several trainings at once, none in a directory that another one is writing."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet_ext.experiments.plan import Run

_POLL_SEC = 0.5


@dataclass
class _Active:
    run: Run
    process: subprocess.Popen
    claimed: set[str]
    gpu: str | None
    begin: float


class Scheduler:
    """Works off runs in their order, as soon as those they need are done and their directories are free.

    Every run resumes by itself (run.sh keeps what is finished), so the scheduler keeps no state on disk.

    Args:
        runs: what to do.
        jobs: most runs at once.
        gpu_ids: values for CUDA_VISIBLE_DEVICES that the runs take in turns; empty: left as it is.
    """

    def __init__(self, runs: Sequence[Run], jobs: int, gpu_ids: Sequence[str] = ()):
        self.waiting = [run for run in runs if not run.is_done]
        self.total, self.jobs = len(runs), jobs
        self.gpu_ids = list(gpu_ids)
        self.active: list[_Active] = []
        self.failed: list[Run] = []

    def work(self) -> list[Run]:
        """Runs everything; returns what failed or could not start because something before it failed.

        An interrupt or SIGTERM stops the running ones too.
        """
        # Also where the shell started this in the background, with interrupts ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        self._say(f"{self.total - len(self.waiting)} of {self.total} runs are finished already")
        try:
            while self.waiting or self.active:
                self._start()
                time.sleep(_POLL_SEC)
                self._collect()
        finally:
            for active in self.active:
                os.killpg(active.process.pid, signal.SIGTERM)
            for active in self.active:
                active.process.wait()
        return self.failed

    def _start(self) -> None:
        for run in list(self.waiting):
            if len(self.active) >= self.jobs:
                return
            if any(before in self.failed for before in run.after):
                self.waiting.remove(run)
                self.failed.append(run)
                self._say(f"left out, because what it needs failed: {run.labels[0]}")
                continue
            if not all(before.is_done for before in run.after):
                continue
            claimed = run.open_directories()
            if claimed & {name for active in self.active for name in active.claimed}:
                continue
            self.waiting.remove(run)
            self.active.append(self._launch(run, claimed))

    def _launch(self, run: Run, claimed: set[str]) -> _Active:
        # One model at a time: --jobs says how many runs there are beside this one.
        commands = [["./run.sh", "--stage", "11", "--stop_stage", "13", "--model_nj", "1", *run.arguments]]
        if run.prune:
            commands.insert(0, [sys.executable, "-m", "espnet_ext.bin.prune", *run.prune])
        log = log_file(run)
        log.parent.mkdir(parents=True, exist_ok=True)
        environment, gpu = dict(os.environ), None
        if self.gpu_ids:
            taken = [active.gpu for active in self.active]
            gpu = environment["CUDA_VISIBLE_DEVICES"] = min(self.gpu_ids, key=taken.count)
        with log.open("w") as output:
            process = subprocess.Popen(
                " && ".join(map(shlex.join, commands)),
                shell=True,
                cwd=run.corpus.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._say(f"started: {run.labels[0]} (log: {log})")
        return _Active(run, process, claimed, gpu, time.monotonic())

    def _collect(self) -> None:
        for active in [active for active in self.active if active.process.poll() is not None]:
            self.active.remove(active)
            minutes = (time.monotonic() - active.begin) / 60
            active.run.is_outdated = False
            if active.process.returncode == 0 and active.run.is_done:
                left = len(self.waiting) + len(self.active)
                self._say(f"finished in {minutes:.1f} min, {left} left: {', '.join(active.run.labels)}")
                continue
            self.failed.append(active.run)
            tail = log_file(active.run).read_text(errors="replace").splitlines()[-3:]
            self._say(f"FAILED after {minutes:.1f} min: {active.run.labels[0]}\n    " + "\n    ".join(tail))

    @staticmethod
    def _say(message: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def log_file(run: Run) -> Path:
    """Returns where the output of a run goes."""
    return run.corpus.directory / run.options["expdir"] / "log" / f"experiment_{run.key}.log"
