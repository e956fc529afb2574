"""The scheduler: as many jobs as asked for, order, failures, and the end of everything with an interrupt."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from espnet_ext.errors import UserError
from espnet_ext.recipe.jobs import Job, Scheduler
from tests.recipes.runs import recipe


class Events:
    """Jobs that note when they begin and end."""

    def __init__(self):
        self.noted, self.said = [], []

    def job(self, name: str, seconds: float = 0.0, fails: bool = False, **more) -> Job:
        def work() -> None:
            self.noted.append(f"begin {name}")
            time.sleep(seconds)
            self.noted.append(f"end {name}")
            if fails:
                raise UserError(f"{name}: no luck")

        return Job(name, work, **more)

    def run(self, at_once: int, *jobs: Job) -> list[str]:
        Scheduler(at_once, self.said.append).work(jobs)
        return self.noted


def test_one_at_a_time_in_order():
    events = Events()
    assert events.run(1, events.job("a", 0.2), events.job("b")) == ["begin a", "end a", "begin b", "end b"]


def test_as_many_at_once_as_asked_for():
    events = Events()
    noted = events.run(2, events.job("long", 1.5), *(events.job(str(number), 0.1) for number in range(3)))
    running = most = 0
    for event in noted:
        running += 1 if event.startswith("begin") else -1
        most = max(most, running)
    assert most == 2
    assert noted[-1] == "end long"  # a free place is not left empty until the longest ends


def test_waits_for_what_it_needs_and_for_what_others_write():
    events = Events()
    a = events.job("a", 0.3, claims=lambda: {"x", "y"})
    b, c = events.job("b", 1.0), events.job("c", needs=[a])
    d = events.job("d", claims=lambda: {"y"})
    noted = events.run(4, a, b, c, d)
    assert noted.index("end a") < min(noted.index("begin c"), noted.index("begin d"))
    assert noted.index("begin b") < noted.index("end a") and noted[-1] == "end b"


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_failure_lets_the_others_end_and_is_named(at_once):
    events = Events()
    bad = events.job("bad", fails=True)
    jobs = [events.job("slow", 0.5), bad, events.job("never", needs=[bad]), events.job("other")]
    with pytest.raises(UserError, match=r"bad: no luck\nleft out, because of that: never"):
        events.run(at_once, *jobs)
    assert {"end slow", "end other"} <= set(events.noted) and "begin never" not in events.noted


def test_all_failures_are_named():
    events = Events()
    with pytest.raises(UserError, match="2 failed:\na: no luck\nb: no luck"):
        events.run(2, events.job("a", fails=True), events.job("b", fails=True))


INTERRUPTED = """
import os, sys
from functools import partial
from pathlib import Path
from espnet_ext.recipe.jobs import Job, Scheduler
from espnet_ext.recipe.processes import adopt_orphans, run_logged
def sleep(name):
    # As asr.sh does: a shell that waits for what it started
    run_logged(["bash", "-c", f"sleep 60 & touch {name}; wait"], Path(f"{name}.log"))
adopt_orphans()
try:
    Scheduler(2, print).work([Job(name, partial(sleep, name)) for name in "abc"])
except KeyboardInterrupt:
    print("stopped"); sys.stdout.flush(); os._exit(130)
"""


@pytest.mark.parametrize("end", [os.kill, os.killpg])  # to the run alone; to its group, as a terminal does
def test_an_interrupt_ends_all_that_was_started(tmp_path, end):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not ((tmp_path / "a").exists() and (tmp_path / "b").exists()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    end(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and out == "stopped\n" and errors == ""  # no word of failures, no traceback
    assert not (tmp_path / "c").exists()
    group = subprocess.run(["pgrep", "-g", str(process.pid), "-r", "R,S"], capture_output=True, text=True)
    assert group.stdout == ""


def test_whatever_ends_a_job_ends_the_wait_for_it():
    """As of a library that calls sys.exit."""
    with pytest.raises(UserError, match="odd: SystemExit: 3"):
        Scheduler(2, print).work([Job("odd", lambda: sys.exit(3))])


def test_jobs_run_in_threads_of_their_own():
    seen = []
    Scheduler(1, print).work([Job("a", lambda: seen.append(threading.current_thread().name))])
    assert seen == ["a"]


def test_threads_are_shared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    run = recipe(tmp_path, "--model_nj", "3")
    assert [run.threads_of_each(threads) for threads in (32, 7, 2)] == [2, 2, 1]
    assert run.commands["cuda_cmd"] == ["run.pl", "--mem", "1G"]
