"""Commands, the locks that they hold, and how all of them end with the run."""

import ctypes
import fcntl
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path

from espnet_ext.errors import UserError

LOCK = ".lock"
_held = threading.local()
_stopping = threading.Event()
_spared: set[int] = set()  # processes that are none of a run's
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class StoppedError(Exception):
    """The run was interrupted, and its commands with it."""


def run_logged(
    command: Sequence[str], log: Path | None, env: Mapping[str, str] | None = None, with_errors: bool = True
) -> int:
    """Runs a command to its end, its output in a file (None: shown); returns its exit status.

    The command inherits the locks that this thread holds: they last as long as anything that it started, also where
    the run itself was killed.

    Args:
        command: words.
        log: the file.
        env: variables beside those of this process.
        with_errors: what it says on stderr goes to the file too; otherwise that is lost.

    Raises:
        StoppedError: the run is interrupted.
    """
    if _stopping.is_set():
        raise StoppedError
    output = None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT if with_errors else subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            pass_fds=tuple(getattr(_held, "fds", ())),
        )
        status = process.wait()
        if _stopping.is_set():
            raise StoppedError
        return status
    finally:
        if output is not None:
            output.close()


@contextmanager
def locked(path: Path, shared: bool = False, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock of a file; a process that dies lets it go, once all that it started has ended too.

    Args:
        path: the file, made where it is not there.
        shared: others may hold it so too.
        waiting: called once where another run holds it; None: do not wait.

    Raises:
        BlockingIOError: another run holds it, and nobody waits.
    """
    if shared and not os.access(path if path.exists() else path.parent, os.W_OK):
        if not path.exists():  # a directory of somebody else, which nobody prepares now
            yield
            return
        descriptor = os.open(path, os.O_RDONLY)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is None:
                raise
            waiting()
            fcntl.flock(descriptor, kind)
        _held.fds = [*getattr(_held, "fds", []), descriptor]
        yield
    finally:
        _held.fds = [fd for fd in getattr(_held, "fds", []) if fd != descriptor]
        os.close(descriptor)


@contextmanager
def inheriting(descriptors: Sequence[int]) -> Iterator[None]:
    """Gives the commands of this thread the locks of another one."""
    _held.fds = [*getattr(_held, "fds", []), *descriptors]
    try:
        yield
    finally:
        _held.fds = [fd for fd in _held.fds if fd not in descriptors]


def held_locks() -> list[int]:
    """Returns the descriptors of the locks that this thread holds."""
    return list(getattr(_held, "fds", []))


def still_training(exp_dir: Path) -> str:
    """Returns what still trains in a directory though its run has ended: a process, or a job of Slurm or Grid Engine.

    Such a training holds no lock: ESPnet's launcher closes what it inherits.
    """
    here, wanted = os.getcwd(), str(exp_dir)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = folder.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
            places = [place for place, word in enumerate(words[:-1]) if word == "--output_dir"]
            if any(words[place + 1] == wanted for place in places) and os.readlink(folder / "cwd") == here:
                return f"process {folder.name}"
        except OSError:
            continue
    # Where slurm.pl and queue.pl keep what the scheduler said of the last job.
    answers = "".join(path.read_text(errors="replace") for path in sorted(exp_dir.glob("q/*.log")))
    jobs = re.findall(r"(?:Submitted batch|Your) job ([0-9]+)", answers)
    if jobs and (_answers(["squeue", "-h", "-j", jobs[-1]]) or _answers(["qstat", "-j", jobs[-1]])):
        return f"job {jobs[-1]}"
    return ""


def _answers(command: Sequence[str]) -> str:
    """Returns what a scheduler says of a job; "" where it does not know the job, or there is no such scheduler."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    if done.returncode and not re.search("invalid job id|do not exist|unknown job", done.stderr, re.I):
        return done.stderr.strip() or "no answer"  # e.g. a time-out, after which the job may still run
    return done.stdout.strip() if done.returncode == 0 else ""


def wait_for_training(exp_dir: Path, tell: Callable[[str], None], poll_sec: float = 2.0) -> None:
    """Waits until nothing trains in a directory any more."""
    told = ""
    while other := still_training(exp_dir):
        if other != told:
            tell(f"{other} is still training in {exp_dir}; waiting for its end")
            told = other
        time.sleep(poll_sec)


def adopt_orphans(yes: bool = True) -> None:
    """Makes what a dying command leaves running a child of this process, so that `end_children` finds it.

    A shell dies of Ctrl-C, and what it had started in the background does not: shells let that ignore interrupts.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


@contextmanager
def within(directory: Path) -> Iterator[None]:
    """Works in a recipe's directory with the environment that its `path.sh` gives; afterwards all is as before.

    An interrupt ends what was started meanwhile, and nothing that this process, such as a notebook's, had before.

    Raises:
        UserError: `path.sh` fails.
    """
    with chdir(directory):
        done = subprocess.run(
            ["bash", "-c", ". ./path.sh >&2 && env -0"], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise UserError(f"{directory / 'path.sh'} fails: {done.stderr.strip()[-300:]}")
        before = dict(os.environ)
        os.environ.update(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)
        _spared.update(_descendants(os.getpid()))
        adopt_orphans()
        try:
            yield
        except BaseException:
            end_children()
            raise
        finally:
            adopt_orphans(False)
            allow_commands()
            _spared.clear()
            os.environ.clear()
            os.environ.update(before)


def end_children(grace_sec: float = 5.0) -> None:
    """Ends every process that came of this one, asked first, then killed; no thread starts another one."""
    _stopping.set()
    children = _descendants(os.getpid())
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in children:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + grace_sec
        while (children := [pid for pid in children if _runs(pid)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not children:
            return


def allow_commands() -> None:
    """Lets commands start again after `end_children`."""
    _stopping.clear()


def _descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
        except OSError:
            continue
    found = [root]
    for pid in found:
        found += [child for child in parents.get(pid, []) if child not in _spared]
    return found[1:]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def cluster_commands(script: Path) -> dict[str, list[str]]:
    """Returns the commands of `cmd.sh` that run a job: train_cmd, cuda_cmd, decode_cmd.

    Raises:
        UserError: it sets none, or fails.
    """
    names = ("train_cmd", "cuda_cmd", "decode_cmd")
    # By ${name:-}: a missing one is named below.
    code = 'set -e; . "$1" >&2; ' + "; ".join(f'printf "%s\\0" "${{{name}:-}}"' for name in names)
    command = ["bash", "-c", code, "bash", str(script.absolute())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    values = done.stdout.split("\0")
    if done.returncode:
        raise UserError(f"{script} fails: {done.stderr.strip()[-300:]}")
    for name, value in zip(names, values, strict=False):
        if not value:
            raise UserError(f"{script} must set {name}")
    return {name: shlex.split(value) for name, value in zip(names, values, strict=False)}
