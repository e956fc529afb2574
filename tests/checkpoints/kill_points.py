"""Runs a training again and again, killed at its first, second, third ... change of a file, and resumes each.

    python3 -m tests.checkpoints.kill_points ROOT MODULE:FUNCTION [OPTION ...]

The function takes `cmd`, trains into the directory of the option `--output_dir` and resumes what is there. The training
that was killed before change k is in ROOT/k; ROOT/whole is one that was not killed.
"""

import functools
import itertools
import os
import pkgutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# What changes a directory; fsync stands for the writing that it ends.
CHANGES = ("fsync", "replace", "symlink", "unlink")


def kill_before(number: int) -> None:
    """Makes this process kill itself before a change of files, counted from 1, or in the middle of writing."""
    counter, fsync = itertools.count(1), os.fsync

    def counted(function: Callable, *args, **kwargs):
        if next(counter) == number:
            if function is fsync:  # half written
                os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    for name in CHANGES:
        setattr(os, name, functools.partial(counted, getattr(os, name)))


def run(main: Callable, words: list[str], killed_before: int | None = None) -> int:
    """Trains in a process of its own, with all imports of this one; returns its exit status, negative if killed."""
    if (child := os.fork()) == 0:
        status = 1
        try:
            if killed_before is not None:
                kill_before(killed_before)
            main(cmd=words)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(root: Path, function: str, options: list[str]) -> int:
    """Returns how many changes there are."""
    main = pkgutil.resolve_name(function)
    if run(main, [*options, "--output_dir", str(root / "whole")]):
        raise SystemExit("the training fails")
    for number in itertools.count(1):
        words = [*options, "--output_dir", str(root / str(number))]
        if run(main, words, killed_before=number) == 0:
            return number - 1
        if run(main, words):
            raise SystemExit(f"killed before change {number}, it does not go on")


if __name__ == "__main__":
    print(train(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
