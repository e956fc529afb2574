"""Keeps from the terminal what libraries say that nobody asked for."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def quiet_espnet() -> Iterator[None]:
    """Hides what ESPnet prints and logs, of optional packages and of every model, while it is imported and builds."""
    chatter = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(chatter), redirect_stderr(chatter):
            yield
    finally:
        logging.disable(before)
