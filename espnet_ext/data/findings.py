"""What a check of data found."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from espnet_ext.errors import UserError

# Of each kind; the others are counted, so that a corpus of a million bad lines fits into memory.
_MAX_KEPT = 100


@dataclass
class Findings:
    """What a check found.

    Attributes:
        errors: One line each: file, utterance, reason and remedy; the first hundred.
        num_errors: How many there are.
        warnings: As errors; the recipe copes with them.
        num_utts: Utterances with audio.
        seconds: Length of the audio, recordings counted once.
    """

    errors: list[str] = field(default_factory=list)
    num_errors: int = 0
    warnings: list[str] = field(default_factory=list)
    num_utts: int = 0
    seconds: float = 0.0

    def error(self, message: str) -> None:
        """Adds an error."""
        self.num_errors += 1
        if len(self.errors) < _MAX_KEPT:
            self.errors.append(message)


class Count:
    """How often something was seen, with the first example, for one warning instead of many."""

    def __init__(self) -> None:
        """Begins with none."""
        self.number, self.example = 0, ""

    def add(self, example: str) -> None:
        """Counts one."""
        self.example = self.example or example
        self.number += 1


def summarise(directory: Path, findings: Findings, max_shown: int = 5) -> str:
    """Returns the first errors and their number, for one message."""
    shown = findings.errors[:max_shown]
    more = findings.num_errors - len(shown)
    lines = [f"{directory}: {findings.num_errors} problem(s)", *(f"  {line}" for line in shown)]
    return "\n".join(lines + ([f"  ... and {more} more"] if more else []))


def tell(found: Iterable[tuple[Path, Findings]], with_hours: bool) -> None:
    """Prints what was found of each directory: warnings to stderr, a line where nothing is wrong.

    Args:
        found: the directories and what was found in them.
        with_hours: name the length of the audio too.

    Raises:
        UserError: something is wrong; it lists the first problems of every directory.
    """
    problems = []
    for directory, findings in found:
        for line in findings.warnings:
            print(f"warning: {line}", file=sys.stderr)
        if findings.errors:
            problems.append(summarise(directory, findings))
        else:
            length = f", {findings.seconds / 3600:.2f} h" if with_hours else ""
            print(f"{directory}: {findings.num_utts} utterances{length}: ok", flush=True)
    if problems:
        raise UserError("\n".join(problems))
