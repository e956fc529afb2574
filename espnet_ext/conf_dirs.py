"""Where a configuration is: in the recipe's `conf`, else in the repository's; in an overlay (`--conf_dir`) before both.

With `--conf_dir conf/paper` the path `conf/paper/encrl.yaml` is the first file that exists of

    conf/paper/encrl.yaml of the recipe, conf/paper/encrl.yaml of the repository,
    conf/encrl.yaml of the recipe, conf/encrl.yaml of the repository.

A file may hold small configurations as its sections (`espnet_ext.config.read_config`). So `conf/criteria/mse.yaml` may
be the section `mse` of `conf/criteria.yaml`, and the student e6 the section `e6` of `students.yaml`. A whole file comes
before a section. The first directory with a `students.yaml` is the last one that is searched for a student, as one of
another directory would be of another size. The current directory is the recipe's. Needs the standard library only.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from espnet_ext.errors import UserError, did_you_mean

REPOSITORY = Path(__file__).resolve().parents[1]
STUDENTS = "students.yaml"


def places(path: str, conf_dir: str = "conf") -> list[str]:
    """Returns where a configuration may be, in the order of the search.

    Args:
        path: as given; relative to the recipe.
        conf_dir: directory of the run's configurations, an overlay of `conf`.
    """
    path, overlay = os.path.normpath(path), os.path.normpath(conf_dir)
    names = [path]
    if path.startswith(f"{overlay}/"):
        names.append(f"conf/{path.removeprefix(f'{overlay}/')}")
    found = []
    for name in names:
        found += [name, str(REPOSITORY / name)] if name.startswith("conf/") else [name]
    return list(dict.fromkeys(found))


def locate(path: str, conf_dir: str = "conf", student: bool = False) -> str:
    """Returns the file, or the `FILE#SECTION`, that a path stands for; the path itself where there is none.

    Args:
        path: as given, `FILE` or `FILE#SECTION`.
        conf_dir: directory of the run's configurations.
        student: it describes a student, so it may be a section of `students.yaml`.
    """
    file, mark, section = path.partition("#")
    for place in places(file, conf_dir):
        if os.path.isfile(place):
            return place + mark + section
        folder, name = os.path.split(place)
        name = name.removesuffix(".yaml")
        if not mark and student and os.path.isfile(f"{folder}/{STUDENTS}"):
            return f"{folder}/{STUDENTS}#{name}"
        if not mark and name in _sections(f"{folder}.yaml"):
            return f"{folder}.yaml#{name}"
    return path


def config_name(path: str) -> str:
    """Returns the name of a configuration: that of its section, or of its file without ending."""
    return path.rpartition("#")[2] if "#" in path else Path(path).stem


def shown(path: str) -> str:
    """Returns the path of a located configuration as a user types it."""
    file, mark, section = path.removeprefix(f"{REPOSITORY}/").partition("#")
    return (
        f"{file.removesuffix('.yaml')}/{section}.yaml"
        if mark and Path(file).name != STUDENTS
        else file + mark + section
    )


def require_config(option: str, path: str, conf_dir: str = "conf", student: bool = False) -> None:
    """Raises a `UserError` where a path stands for no configuration.

    It names the option, the directories that were searched, and what exists there.
    """
    file, _, section = locate(path, conf_dir, student).partition("#")
    if os.path.isfile(file) and (not section or section in _sections(file)):
        return
    folders = list(dict.fromkeys(os.path.dirname(place) or "." for place in places(path.partition("#")[0], conf_dir)))
    names = _names([file] if section else folders, student)
    said = did_you_mean(config_name(path), names) if names else "no configuration is there"
    where = f", nor such a section in {file}" if section else f" in {' or '.join(map(os.path.abspath, folders))}"
    raise UserError(f"{option}: {path} does not exist{where}; {said}")


def _names(places: Iterable[str], student: bool) -> set[str]:
    found: set[str] = set()
    for place in places:
        found |= _sections(place) | _sections(f"{place}.yaml")
        found |= _sections(f"{place}/{STUDENTS}") if student else {path.stem for path in Path(place).glob("*.yaml")}
    return found


def _sections(file: str) -> set[str]:
    if not os.path.isfile(file):
        return set()
    from espnet_ext.config import section_names

    return section_names(file)


def require_directory(conf_dir: str) -> None:
    """Raises a `UserError` where `--conf_dir` is neither in the recipe nor in the repository."""
    roots = [Path.cwd(), REPOSITORY]
    if any((root / conf_dir).is_dir() for root in roots):
        return
    overlays = [path for root in roots for path in (root / "conf").glob("*") if (path / "teacher.yaml").is_file()]
    said = did_you_mean(os.path.normpath(conf_dir), {f"conf/{path.name}" for path in overlays} | {"conf"})
    raise UserError(f"--conf_dir {conf_dir}: no such directory in {' or '.join(map(str, roots))}; {said}")
