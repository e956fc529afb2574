"""Which file of an EncRL experiment a student is in."""

from collections.abc import Mapping
from typing import Any


def best_file(name: str, config: Mapping[str, Any]) -> str:
    """Returns the file with the average of the epochs that were best for a student.

    Args:
        name: the student.
        config: of the training.
    """
    return f"valid.{name}_{config.get('select_by') or 'loss'}.ave.pth"
