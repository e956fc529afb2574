"""Locks of runs that share directories, trainings that outlived their run, and why a command failed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espnet_ext.errors import UserError
from espnet_ext.recipe.processes import _runs, locked, run_logged, still_training, wait_for_training, within


def test_a_lock_lasts_as_long_as_what_the_run_started(tmp_path):
    """A run that is killed leaves commands behind, which still write."""
    code = (
        "import os, subprocess, sys\nfrom pathlib import Path\n"
        "from espnet_ext.recipe.processes import held_locks, locked\n"
        "with locked(Path('dir/.lock')):\n"
        "    subprocess.Popen(['sleep', '3'], pass_fds=held_locks())\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    told, began = [], time.monotonic()
    with pytest.raises(BlockingIOError), locked(tmp_path / "dir/.lock"):
        pass
    with locked(tmp_path / "dir/.lock", waiting=lambda: told.append(True)):
        assert told == [True] and time.monotonic() - began > 1


def test_readers_share_a_lock_and_keep_writers_out(tmp_path):
    path = tmp_path / "dump/.lock"
    path.parent.mkdir()
    with locked(path, shared=True), locked(path, shared=True), pytest.raises(BlockingIOError), locked(path):
        pass
    with locked(path):
        assert path.exists()


def test_commands_inherit_the_locks_of_their_thread_only(tmp_path):
    with locked(tmp_path / ".lock"):
        run_logged(["ls", "-l", "/proc/self/fd"], tmp_path / "log")
    assert ".lock" in (tmp_path / "log").read_text()
    run_logged(["ls", "-l", "/proc/self/fd"], tmp_path / "log")
    assert ".lock" not in (tmp_path / "log").read_text()


def test_waits_for_a_training_whose_run_was_killed(tmp_path, monkeypatch):
    """It holds no lock: ESPnet's launcher closes what it inherits. The name of the directory is no pattern."""
    monkeypatch.chdir(tmp_path)
    exp = "exp/e1_betas[0.9"
    sleeper = [sys.executable, "-c", "import time; time.sleep(4)", "--output_dir"]
    left = subprocess.Popen([*sleeper, exp, "--other"])
    others = [subprocess.Popen([*sleeper, exp], cwd="/"), subprocess.Popen([*sleeper, f"{exp}_longer"])]
    told = []
    wait_for_training(Path(exp), told.append, poll_sec=0.2)
    assert told == [f"process {left.pid} is still training in {exp}; waiting for its end"]
    assert left.wait(timeout=1) == 0
    for other in others:
        other.kill()


def test_waits_for_a_job_that_the_scheduler_still_has(tmp_path, monkeypatch):
    """The names are those in the answers of sbatch; the scheduler's own query is a stand-in: there is none here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "squeue").write_text('#!/bin/sh\n[ "$3" = 42 ] && [ ! -e asked ] && touch asked && echo 42 R\nexit 0\n')
    (tmp_path / "squeue").chmod(0o755)
    (tmp_path / "exp/q").mkdir(parents=True)
    log = "sbatch exp/q/train.sh\nSubmitted batch job 41\nSubmitted batch job 42\n"
    (tmp_path / "exp/q/train.log").write_text(log)
    told = []
    wait_for_training(Path("exp"), told.append, poll_sec=0.1)
    assert told == ["job 42 is still training in exp; waiting for its end"]


def test_an_interrupt_in_a_notebook_ends_what_the_run_started_and_nothing_else(tmp_path):
    (tmp_path / "path.sh").write_text("export ENCRL_TEST=inside; . /dev/null\n")
    before = os.getcwd(), dict(os.environ)
    other = subprocess.Popen(["sleep", "60"])
    orphans = "sleep 60 & echo $! > orphan; kill $$"  # what a shell leaves that dies
    with pytest.raises(KeyboardInterrupt), within(tmp_path):
        assert (Path.cwd(), os.environ["ENCRL_TEST"]) == (tmp_path, "inside")
        run_logged(["sh", "-c", orphans], Path("log"))
        started = subprocess.Popen(["sleep", "60"])
        raise KeyboardInterrupt
    orphan = int((tmp_path / "orphan").read_text())
    assert started.wait(timeout=5) and not _runs(orphan) and other.poll() is None
    other.kill()
    assert (os.getcwd(), dict(os.environ)) == before
    assert run_logged(["true"], tmp_path / "log") == 0  # commands start again
    (tmp_path / "path.sh").write_text("echo no such environment >&2; return 3\n")
    with pytest.raises(UserError, match="path.sh fails: no such environment"), within(tmp_path):
        pass


def test_a_scheduler_that_does_not_answer_ends_no_job(tmp_path, monkeypatch):
    (tmp_path / "q").mkdir()
    (tmp_path / "q/train.log").write_text("Submitted batch job 42\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for said, expected in (("Unable to contact slurm controller", "job 42"), ("Invalid job id specified", "")):
        (tmp_path / "squeue").write_text(f"#!/bin/sh\necho 'slurm_load_jobs error: {said}' >&2\nexit 1\n")
        (tmp_path / "squeue").chmod(0o755)
        assert still_training(tmp_path) == expected
