"""Errors that a user can act on, shown as one line instead of a traceback."""

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib.util import find_spec


class UserError(ValueError):
    """Bad input. The message names the file or option, the reason and the remedy."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Returns the tail of an error message: the valid name nearest to `name`, or the list of valid names."""
    valid = sorted(valid)
    near = get_close_matches(name, valid, n=1)
    return f"did you mean '{near[0]}'?" if near else f"valid names: {', '.join(valid)}"


def require(*modules: str, extra: str) -> None:
    """Checks that optional packages are there.

    Raises:
        UserError: names one that is not, and the extra of pyproject.toml that brings it.
    """
    for module in modules:
        if find_spec(module) is None:
            raise UserError(f"{module} is not installed; get it with: pip install 'espnet-encrl[{extra}]'")


def run_main(main: Callable[[], None]) -> None:
    """Runs a command; a `UserError` becomes one line on stderr and exit status 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
