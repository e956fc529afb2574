"""Takes what tells of this machine out of the files of a repository: absolute paths in configurations and reports."""

import mmap
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from espnet_ext.config import write_config
from espnet_ext.local_paths import local_folders, without_local_paths

_TEXTS = (".md", ".json")
_CONFIGS = (".yaml", ".yml")


def clean_folder(folder: Path, root: Path) -> None:
    """Rewrites the files of a repository without absolute paths.

    What ESPnet packed from outside of the recipe directory it names by absolute paths, which no other machine finds:
    those files move to where relative paths lead.

    Args:
        folder: of the unpacked archive and the exported files.
        root: the recipe directory.
    """
    moved = _relocate(folder)

    def clean(text: str) -> str:
        return moved.get(text) or without_local_paths(text, root)

    for path in sorted(folder.rglob("*")):
        if path.suffix in _CONFIGS:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
            cleaned = _apply(config, clean)
            if cleaned != config:
                write_config(cleaned, path)
        elif path.suffix in _TEXTS:
            text = path.read_text(encoding="utf-8", errors="replace")
            if (cleaned := without_local_paths(text, root)) != text:
                path.write_text(cleaned, encoding="utf-8")


def with_local_paths(folder: Path, root: Path) -> list[str]:
    """Returns the files in which the recipe directory or the user's own folder is named all the same, sorted.

    Args:
        folder: as in `clean_folder`.
        root: as in `clean_folder`.
    """
    needles = [name.encode() for name in local_folders(root)]
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if any(content.find(needle) >= 0 for needle in needles):
                found.append(str(path.relative_to(folder)))
    return found


def _relocate(folder: Path) -> dict[str, str]:
    """Moves files that were packed by absolute paths; returns their new paths by the old ones."""
    meta = folder / "meta.yaml"
    content = yaml.safe_load(meta.read_text(encoding="utf-8")) if meta.is_file() else None
    packed = content.get("files") if isinstance(content, dict) else None
    model = Path((packed or {}).get("asr_model_file", ""))
    if not model.is_absolute() or len(model.parts) < 4:
        return {}
    above = model.parents[2]  # the folder that holds `exp`
    place = folder / above.relative_to("/")  # a zip's members have no leading slash
    moved = {}
    for path in sorted(place.rglob("*")):
        if path.is_file():
            relative = path.relative_to(place)
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
            moved[str(above / relative)] = str(relative)
    shutil.rmtree(folder / above.parts[1])
    return moved


def _apply(value: Any, change: Callable[[str], str], key: str = "") -> Any:
    """Returns a configuration with all texts changed but tokens, which may look like paths."""
    if key == "token_list":
        return value
    if isinstance(value, dict):
        return {name: _apply(one, change, str(name)) for name, one in value.items()}
    if isinstance(value, list):
        return [_apply(one, change) for one in value]
    return change(value) if isinstance(value, str) else value
