"""Runs of tables of experiments: what is not done, several at once; then the reports."""

import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from espnet_ext.errors import UserError
from espnet_ext.experiments.plan import Plan, Run
from espnet_ext.recipe.jobs import Job, Scheduler
from espnet_ext.recipe.processes import adopt_orphans, end_children, run_logged


def print_commands(plans: Sequence[Plan]) -> None:
    """Prints the commands that `run` would start."""
    for plan in plans:
        print(f"# {plan.variant}, seed {plan.seed}, in {plan.corpus.directory}")
        print(shlex.join(_preparation(plan)))
        for run in plan.runs:
            print(f"# {', '.join(run.labels)}{' (finished)' if run.is_done else ''}")
            if run.prune:
                print(shlex.join(["encrl", "derive", "pruned", *run.prune]))
            print(shlex.join(["./run.sh", "--stage", "11", "--stop_stage", "13", *run.arguments]))


def _preparation(plan: Plan) -> list[str]:
    words = [word for name, value in plan.preparation.items() for word in (f"--{name}", value)]
    return ["./run.sh", "--stage", "1", "--stop_stage", "10", *words]


def run(
    plans: Sequence[Plan], at_once: int = 1, gpu_ids: Sequence[str] = (), report: Callable[[], None] = lambda: None
) -> None:
    """Runs what is not done, several at once.

    Args:
        plans: of every variant and seed.
        at_once: most runs at a time.
        gpu_ids: GPUs that the runs take in turns.
        report: called at the end, also where some failed.

    Raises:
        UserError: some failed.
    """
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    runs = [run for plan in plans for run in plan.runs]
    for one in runs:
        one.check()
    todo = [one for one in runs if not one.is_done]
    _say(f"{len(runs) - len(todo)} of {len(runs)} runs are finished already")
    for plan in plans if todo else []:
        command = _preparation(plan)
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
            raise UserError(f"{shlex.join(command)} failed in {plan.corpus.directory}; the message is above")
    gpus = Gpus(gpu_ids)
    jobs: dict[str, Job] = {}
    for one in runs:  # those that others need come before them
        needs = [jobs[before.key] for before in one.after if before.key in jobs]
        if one in todo:
            jobs[one.key] = Job(one.labels[0], partial(_launch, one, gpus), needs, one.open_directories)
    failure = None
    try:
        Scheduler(at_once, _say).work(list(jobs.values()))
    except UserError as error:
        failure = error
    except KeyboardInterrupt:
        end_children()
        raise UserError("stopped; the same command continues") from None
    report()
    if failure:
        raise UserError(f"{failure}\nrun the same command again after the cause")


class Gpus:
    """GPUs that runs take in turns.

    Args:
        ids: values for CUDA_VISIBLE_DEVICES; empty: left as it is.
    """

    def __init__(self, ids: Sequence[str]):
        self._free, self._lock = list(ids), threading.Lock()
        self._ids = list(ids)

    @contextmanager
    def one(self) -> Iterator[dict[str, str]]:
        """Gives the environment of a run on the GPU that waited longest."""
        if not self._ids:
            yield {}
            return
        with self._lock:
            taken = self._free.pop(0) if self._free else self._ids[0]
        try:
            yield {"CUDA_VISIBLE_DEVICES": taken}
        finally:
            with self._lock:
                self._free.append(taken)


def log_file(run: Run) -> Path:
    """Returns where the output of a run goes."""
    return Path(run.options["expdir"], "log", f"experiment_{run.key}.log")


def _launch(run: Run, gpus: Gpus) -> None:
    began, log = time.monotonic(), log_file(run)
    # One model at a time: --jobs says how many runs there are beside this one.
    commands = [["./run.sh", "--stage", "11", "--stop_stage", "13", "--model_nj", "1", *run.arguments]]
    if run.prune:
        commands.insert(0, [sys.executable, "-m", "espnet_ext", "derive", "pruned", *run.prune])
    _say(f"started: {run.labels[0]} (log: {log.absolute()})")
    with gpus.one() as environment:
        status = run_logged(["bash", "-c", " && ".join(map(shlex.join, commands))], log, environment)
    minutes = (time.monotonic() - began) / 60
    if status or not run.is_done:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        end = "\n    ".join(tail)
        raise UserError(f"FAILED after {minutes:.1f} min: {run.labels[0]} (log: {log.absolute()})\n    {end}")
    _say(f"finished in {minutes:.1f} min: {', '.join(run.labels)}")


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)
