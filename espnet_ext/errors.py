"""Errors that a user can act on, shown as one line instead of a traceback."""

import errno
import os
import re
import select
import shlex
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import metadata
from importlib.util import find_spec

# Nothing tells afterwards that it was stdout, where Python does not buffer; of any file the line says all.
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

_DISTRIBUTIONS = {"whisper": "openai-whisper"}  # where it has another name than the module


class UserError(ValueError):
    """Bad input. The message names the file or option, the reason and the remedy."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Returns the tail of an error message: the valid name nearest to `name`, or the list of valid names."""
    valid = sorted(valid)
    near = get_close_matches(name, valid, n=1)
    return f"did you mean '{near[0]}'?" if near else f"valid names: {', '.join(valid)}"


def first_line(error: BaseException) -> str:
    """Returns the first line of what another library says of an error, its name where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def require(*modules: str, extra: str) -> None:
    """Checks that optional packages are there.

    Args:
        modules: what is imported.
        extra: of pyproject.toml, which says what versions of them are needed.

    Raises:
        UserError: names those that are not there, and the command that installs them. No package index has this
            package, so the command names what is missing, not the extra.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        needed = " ".join(shlex.quote(_requirement(module, extra)) for module in missing)
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise UserError(
            f"extra '{extra}': {' and '.join(missing)} {are} not installed; get {them} with: "
            f"{shlex.quote(sys.executable)} -m pip install {needed}"
        )


def _requirement(module: str, extra: str) -> str:
    """Returns what pip installs a module by; only its name where this package runs without having been installed."""
    name = _DISTRIBUTIONS.get(module, module).replace("_", "-")
    try:
        requirements = metadata.requires("espnet-encrl") or []
    except metadata.PackageNotFoundError:
        requirements = []
    for line in requirements:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if re.fullmatch(rf"{re.escape(name)}([^\w.-].*)?", requirement) and re.search(rf"extra == .{extra}.", marker):
            return requirement
    return name


def run_main(main: Callable[[], None]) -> None:
    """Runs a command; a `UserError` becomes one line on stderr and exit status 2.

    Where the output cannot be written, that is such a line too. Only where its reader has gone, as `| head` does, the
    command ends without a word, with the status of one that a broken pipe ends (141).
    """
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not _drop_output() and error.errno not in _DISK_FULL:
            raise
        if isinstance(error, BrokenPipeError):
            sys.exit(141)
        print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(2)


def _drop_output() -> bool:
    """Drops what stdout still holds if it cannot be written, or Python complains once more at its end.

    Returns:
        Whether it could not be written.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    # With PYTHONUNBUFFERED it holds nothing. A pipe that nobody reads is in error.
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
