"""Keeps a model from elsewhere to its own files: its configuration may open no other file of this machine."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet_ext.config import MODEL_KEYS, read_config
from espnet_ext.errors import UserError

# Options whose value is the name of a file, which ESPnet opens when it loads a model or makes text of tokens.
_FILES = frozenset({"token_list", "bpemodel", "non_linguistic_symbols", "g2p", "stats_file"})


def check_contained(config_file: Path, root: Path, source: object) -> None:
    """Checks that the configuration of a packed model names no file outside of what came with it.

    What a training alone reads (`train_data_path_and_name_and_type`, `init_param`) is never opened, and not looked at.

    Args:
        config_file: training configuration, its names already resolved to absolute ones where they are in `root`.
        root: directory that the model was unpacked or downloaded to.
        source: what error messages call the model.

    Raises:
        UserError: it names one that is there.
    """
    for key, value in _strings(read_config(config_file)):
        if (key in _FILES or os.sep in value) and _is_foreign(value, root.absolute()):
            raise UserError(
                f"{source}: its configuration names {value} ({key}), a file of this machine that did not come with the "
                "model; pack the model anew with that file in it, or give the experiment directory that it was made of"
            )


def _strings(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the strings that describe the model, each with the key that it is found under."""
    for key, value in config.items():
        if key in MODEL_KEYS:
            yield from _walk(key, value)
        elif key in _FILES and isinstance(value, str):  # a token_list that is a list names no files
            yield key, value


def _walk(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for inner, entry in value.items():
            yield from _walk(str(inner), entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _walk(key, entry)


def _is_foreign(value: str, root: Path) -> bool:
    # By name, not by where links lead: the files of a download are links into a store beside it.
    root = Path(os.path.normpath(root))
    candidates = [Path(os.path.normpath(base / value)) for base in (root, Path.cwd())]
    try:
        there = [path for path in candidates if path.exists() and not path.is_dir()]
    except (OSError, ValueError):  # no name of a file: too long, or with a zero byte
        return False
    return bool(there) and not there[0].is_relative_to(root)
