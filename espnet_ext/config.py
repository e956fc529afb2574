"""Reading and checking of YAML configurations."""

import os
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.files import atomic
from espnet_ext.yaml_limits import YAMLLimitError, load_yaml

# What describes a model, as opposed to its training. The names are options of `espnet2.bin.asr_train`.
MODEL_KEYS = frozenset(
    name + suffix
    for name in ("frontend", "specaug", "normalize", "preencoder", "encoder", "postencoder", "decoder", "model")
    for suffix in ("", "_conf")
) | {"ctc_conf", "init", "input_size"}


SHARED = "default"  # the section that the others of a file are laid over


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a YAML mapping, or a section of one: `students.yaml#e6` is its `e6` laid over its `default`, if any.

    Raises:
        UserError: no such file, no YAML (names the line), no mapping, or no such section.
    """
    file, mark, section = str(path).rpartition("#")
    if not mark or "/" in section or Path(path).is_file():
        return _read(Path(path))
    sections = _read(Path(file))
    if section not in section_names(file):
        raise UserError(f"{file} has no section '{section}'; {did_you_mean(section, section_names(file))}")
    parts = [sections.get(SHARED) or {}, sections[section] or {}]
    if not all(isinstance(part, dict) for part in parts):
        raise UserError(f"{file}: {SHARED} and {section} must hold 'key: value' lines")
    return merge(*parts)


def section_names(file: str | os.PathLike) -> set[str]:
    """Returns the sections of a file.

    Raises:
        UserError: as `read_config`.
    """
    return {str(name) for name in _read(Path(file))} - {SHARED}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"configuration {path} does not exist") from error
    except OSError as error:
        raise UserError(f"configuration {path} cannot be read: {error.strerror}") from error
    try:
        config = load_yaml(content.decode("utf-8-sig"))
    except (ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or no such date or number
        raise UserError(f"configuration {path}{_describe_yaml_error(error, content)}") from error
    if config is None:
        raise UserError(f"configuration {path} is empty; it must hold 'key: value' lines")
    if not isinstance(config, dict):
        raise UserError(f"configuration {path} must hold 'key: value' lines, not {type(config).__name__}")
    return config


def _describe_yaml_error(error: ValueError | yaml.YAMLError, content: bytes) -> str:
    """Returns the tail of a message in one line: place, reason and the text there."""
    if isinstance(error, YAMLLimitError):
        return f" cannot be read: {error}"
    lines = content.decode("utf-8", errors="replace").splitlines()

    def place(line: int, column: int) -> str:
        """Describes a place; line and column are counted from 0."""
        text = lines[line].strip() if line < len(lines) else "the end of the file"
        return f"line {line + 1}, column {column + 1} ({text[:80]})"

    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        where = f" has no valid YAML in {place(mark.line, mark.column)}: {error.problem}"
        begin = getattr(error, "context_mark", None)
        if begin is not None and begin.line != mark.line:
            where += f", {error.context} that begins in {place(begin.line, begin.column)}"
        return where
    before = None
    if isinstance(error, UnicodeDecodeError):
        before = content[: error.start].decode("utf-8", errors="replace")
    elif isinstance(error, yaml.reader.ReaderError):
        before = content.decode("utf-8-sig")[: error.position]
    if before is None:
        return f" has no valid YAML: {error}"
    line, column = before.count("\n"), len(before.rpartition("\n")[2])
    return f" has no valid YAML in {place(line, column)}: {error.reason}"


def check_keys(config: Iterable[str], valid: Iterable[str], where: object) -> None:
    """Raises a `UserError` with the nearest valid name for the first unknown key."""
    valid = set(valid)
    for key in config:
        if key not in valid:
            raise UserError(f"{where}: unknown key '{key}'; {did_you_mean(key, valid)}")


def option_names(parser: ArgumentParser) -> set[str]:
    """Returns the keys that a configuration for this parser may hold."""
    return {action.dest for action in parser._actions if action.dest != "help"}


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `base` updated with `override`; mappings (`*_conf`) are merged, everything else is replaced.

    Where `override` names another class (`scheduler: steplr`), what `base` says of the former one (`scheduler_conf`) is
    dropped: it would not fit.
    """
    other_class = {f"{key}_conf" for key, value in override.items() if key in base and base[key] != value}
    merged = {key: value for key, value in base.items() if key not in other_class}
    for key, value in override.items():
        both_map = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both_map else value
    return merged


def write_config(config: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Writes YAML; a file that exists is whole."""
    with atomic(path) as temporary:
        temporary.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), encoding="utf-8")


def recipe_directory(config_file: Path, config: Mapping[str, Any]) -> Path:
    """Returns the directory that the relative paths of an experiment's configuration start from.

    An experiment is made in its recipe directory, which need not be the current one: it is the nearest parent of the
    configuration in which the statistics of global_mvn (else the BPE model) are found.
    """
    relative = (config.get("normalize_conf") or {}).get("stats_file") or config.get("bpemodel")
    if not relative or Path(relative).exists():
        return Path.cwd()
    return next((p for p in Path(config_file).absolute().parents if (p / relative).exists()), Path.cwd())


def with_absolute_paths(config: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Returns a configuration whose files are found from here; unchanged if its recipe directory is the current one.

    Args:
        config: training configuration of an experiment.
        root: what `recipe_directory` says of it.
    """
    config = deepcopy(dict(config))
    if root == Path.cwd():
        return config
    for holder, key in ((config, "bpemodel"), (config.get("normalize_conf") or {}, "stats_file")):
        if holder.get(key) and (root / holder[key]).exists():
            holder[key] = str((root / holder[key]).resolve())
    return config
