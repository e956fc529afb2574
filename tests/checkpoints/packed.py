"""Makes a packed model, and archives like it that are not what they should be."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from espnet2.main_funcs.pack_funcs import pack

from tests.tiny import model_conf, save_experiment

CHECKPOINT = "exp/asr/valid.cer_ctc.ave.pth"
CONFIG = "exp/asr/config.yaml"
STATISTICS = "exp/stats.npz"
# What git-lfs leaves in place of a file.
POINTER = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b\nsize 12345\n"
)


def make_recipe(recipe: Path) -> Path:
    """Makes an experiment with statistics in `exp/asr` of a recipe directory; returns its directory."""
    recipe.mkdir(parents=True)
    mel = np.arange(20.0)
    (recipe / "exp").mkdir()
    np.savez(recipe / STATISTICS, count=10, sum=mel, sum_square=mel**2 + 10)
    normalize = {"normalize": "global_mvn", "normalize_conf": {"stats_file": STATISTICS}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(recipe)
        return save_experiment(recipe / "exp/asr", token_type="char", **{**model_conf(), **normalize})


def pack_model(recipe: Path, archive: Path) -> Path:
    """Packs `exp/asr` of a recipe as stage 14 of asr.sh does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(recipe)
        pack({"asr_model_file": CHECKPOINT}, {"asr_train_config": CONFIG}, archive, option=[STATISTICS])
    return archive


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Writes an archive anew after `change` has had its files by name."""
    with zipfile.ZipFile(archive) as file:
        files = {name: file.read(name) for name in file.namelist()}
    change(files)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return archive


def change_yaml(archive: Path, name: str, **values: object) -> Path:
    """Overwrites keys of a YAML file in an archive."""

    def change(files: dict[str, bytes]) -> None:
        files[name] = yaml.safe_dump(yaml.safe_load(files[name]) | values).encode()

    return rewrite(archive, change)


def damage(path: Path, size: int = 64) -> str:
    """Zeroes a block in a part of a zip archive, as a failing disk does; nothing else changes. Returns the part."""
    with zipfile.ZipFile(path) as file:
        # Of a checkpoint, a tensor: what names and shapes are damaged by, torch.load finds itself.
        parts = sorted(file.infolist(), key=lambda info: ("/data/" not in info.filename, -info.compress_size))
    with path.open("r+b") as file:
        for info in parts:
            file.seek(info.header_offset + 26)
            header = int.from_bytes(file.read(2), "little") + int.from_bytes(file.read(2), "little") + 30
            start = info.header_offset + header + max(0, info.compress_size - size) // 2
            file.seek(start)
            if file.read(size).count(0) < size // 2:
                file.seek(start)
                file.write(bytes(size))
                return info.filename
    raise AssertionError(f"{path} is all zeros")


def tree(directory: Path) -> dict[str, bytes]:
    """Returns what a directory holds."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
