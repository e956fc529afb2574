"""Unpacks a model that ESPnet packed (stage 14 of asr.sh), after a look at what would come out of the archive."""

import json
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import yaml

from espnet_ext.checkpoints.contained import check_contained
from espnet_ext.checkpoints.whole import damaged_part
from espnet_ext.directories import check_ours
from espnet_ext.errors import UserError
from espnet_ext.files import atomic, check_not_pointer, locked
from espnet_ext.yaml_limits import MAX_CHARACTERS, load_yaml

# ESPnet goes through the configuration once for every file in the archive.
_MAX_FILES = 1000
_MAX_BYTES = 64 * 2**30
# Weights hardly shrink; those of a model with nine tenths of its weights pruned become a tenth.
_MAX_RATIO = 20
_FREE_BYTES = 100 * 2**20
_SPARE_BYTES = 500 * 2**20
_MARKER = ".complete.json"


def unpack_model(archive: Path) -> tuple[Path, Path]:
    """Unpacks into `<archive without .zip>.unpacked/`, once for each version of the archive.

    ESPnet writes the final paths into the unpacked configuration, so nothing can be renamed afterwards. A marker is
    written first, empty: it says that the directory is ours. It is written again at the end, and then says that the
    directory is whole, and names the files. A lock keeps the ranks of a distributed training apart.

    Returns:
        The paths of the configuration and of the checkpoint.

    Raises:
        UserError: no such archive, a damaged one, one that unpacks to too much or names files outside of it, or a
            directory of that name that is the user's.
    """
    from espnet2.main_funcs.pack_funcs import unpack

    directory = archive.parent.resolve() / f"{archive.stem}.unpacked"
    marker = directory / _MARKER
    status = archive.stat()
    version = [str(directory), status.st_size, status.st_mtime_ns]
    try:
        with locked(directory.with_name(f".{directory.name}.lock")):
            check_ours(directory, _MARKER)
            done = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else {}
            if done.get("version") != version:
                check_archive(archive)
                _check_disk(archive, directory)
                if directory.exists():
                    shutil.rmtree(directory)
                _write(marker, {})
                files = unpack(archive, directory, use_cache=False)
                done = {"version": version, "files": files}
                _write(marker, done)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked into {directory}: {error}") from error
    except Exception as error:  # ESPnet raises bare errors and assertions for foreign archives
        raise UserError(f"{archive} is no model packed by ESPnet (stage 14 of asr.sh): {error}") from error
    config_file, checkpoint = asr_files(done["files"], archive)
    check_contained(config_file, directory, archive)
    return config_file, checkpoint


def asr_files(files: dict[str, str], source: object) -> tuple[Path, Path]:
    """Returns configuration and checkpoint among the files that a packed model names; s2t: OWSM-CTC and the like.

    Raises:
        UserError: it is no ASR model.
    """
    for task in ("asr", "s2t"):
        if {f"{task}_train_config", f"{task}_model_file"} <= files.keys():
            return Path(files[f"{task}_train_config"]), Path(files[f"{task}_model_file"])
    raise UserError(f"{source} holds no ASR model, but {', '.join(files) or 'nothing'}")


def check_archive(archive: Path) -> None:
    """Checks a packed model without unpacking it.

    Raises:
        UserError: it is no zip, damaged, too large unpacked, or names files outside of it.
    """
    check_not_pointer(archive)
    if not zipfile.is_zipfile(archive):
        raise UserError(f"{archive} is no zip or is cut off; copy or download it again")
    by_hand = f"if you trust it, unpack it yourself (unzip {archive} -d DIRECTORY) and give the checkpoint in there"
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        if len(infos) > _MAX_FILES:
            raise UserError(f"{archive} holds {len(infos)} files, a packed model at most {_MAX_FILES}; {by_hand}")
        names = set()
        for info in infos:
            _check_name(info, names, archive)
            names.add(info.filename)
        size, packed = sum(info.file_size for info in infos), archive.stat().st_size
        if size > _MAX_BYTES or (size > _FREE_BYTES and size > _MAX_RATIO * packed):
            raise UserError(
                f"{archive} unpacks to {_gib(size)}, {size / packed:.0f} times its size; a packed model is at most "
                f"{_MAX_RATIO} times its size and {_gib(_MAX_BYTES)}; {by_hand}"
            )
        _check_meta(file, names, archive)
    if (part := damaged_part(archive)) is not None:
        raise UserError(f"{archive} is damaged: {part} in it does not have its sum; copy or download it again")


def check_meta(meta: object, names: set[str], source: object) -> list[str]:
    """Checks `meta.yaml` of a packed model, and returns the names of its configurations.

    Args:
        meta: what the file holds.
        names: the files of the model.
        source: what error messages call the model.

    Raises:
        UserError: it is not of ESPnet, or names another file than these.
    """
    sections = [meta.get(key) if isinstance(meta, dict) else None for key in ("files", "yaml_files")]
    if not all(isinstance(section, dict) for section in sections):
        raise UserError(f"{source} is no model packed by ESPnet (stage 14 of asr.sh): meta.yaml names no files")
    for name in [name for section in sections for name in section.values()]:
        if name not in names:
            raise UserError(
                f"{source}: meta.yaml names {name}, which is no file of the packed model; pack it again in its recipe "
                "directory, with all its files below that"
            )
    return list(sections[1].values())


def _check_name(info: zipfile.ZipInfo, names: set[str], archive: Path) -> None:
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.filename or info.filename == _MARKER:
        raise UserError(f"{archive} holds a file named {info.filename!r}, which no packed model has; do not use it")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(f"{archive} holds the link {info.filename!r}, which no packed model has; do not use it")
    if info.filename in names:
        raise UserError(f"{archive} holds {info.filename!r} twice, which no packed model does; do not use it")


def _check_meta(file: zipfile.ZipFile, names: set[str], archive: Path) -> None:
    """Reads what ESPnet is going to read as YAML."""
    metas = [info for info in file.infolist() if PurePosixPath(info.filename).name == "meta.yaml"]
    if not metas:
        raise UserError(
            f"{archive} is no model packed by ESPnet (stage 14 of asr.sh), or it is cut off: there is no meta.yaml in "
            "it; copy or download it again"
        )
    for name in check_meta(_read_yaml(file, metas[0].filename, archive), names, archive):
        _read_yaml(file, name, archive)


def _read_yaml(file: zipfile.ZipFile, name: str, archive: Path) -> object:
    if file.getinfo(name).file_size > 4 * MAX_CHARACTERS:  # a character has at most four bytes
        raise UserError(f"{archive}: {name} is too long for a configuration; do not use it")
    try:
        return load_yaml(file.read(name).decode("utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{archive}: {name} cannot be read: {error}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{archive} is damaged: {error}; copy or download it again") from error


def _check_disk(archive: Path, directory: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        size = sum(info.file_size for info in file.infolist())
    free = shutil.disk_usage(directory.parent).free
    if free < size + _SPARE_BYTES:
        raise UserError(
            f"{directory.parent} has {_gib(free)} free, {archive} needs {_gib(size + _SPARE_BYTES)}; free space, or "
            "move the archive to a larger disk"
        )


def _write(marker: Path, content: dict) -> None:
    with atomic(marker) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
