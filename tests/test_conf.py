"""The configurations of this repository: overlays name criteria that exist, bases describe a whole training."""

from pathlib import Path

import pytest

from espnet_ext.conf_dirs import STUDENTS, shown
from espnet_ext.config import check_keys, option_names, read_config, section_names
from espnet_ext.encrl.criteria import parse_criteria
from espnet_ext.encrl.students import read_students
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import UserError
from espnet_ext.required import check_complete

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("conf", "conf/*", "egs2/*/encrl1/conf", "egs2/*/encrl1/conf/*")


def found(name: str) -> list[Path]:
    paths = [path for folder in FOLDERS for path in sorted(ROOT.glob(f"{folder}/{name}"))]
    return [path for path in paths if path.resolve() == path]  # each once, where directories are links


def short(value: object) -> str:
    return str(value).removeprefix(f"{ROOT}/")


OVERLAYS = [
    f"{path}#{name}"
    for kind in ("criteria", "tuning", "baselines")
    for path in found(f"{kind}.yaml")
    for name in sorted(section_names(path))
]
STUDENT_FILES = found(STUDENTS)
BASES = [(path, kind) for kind in ("encrl", "teacher", "finetune", "scratch") for path in found(f"{kind}.yaml")]


@pytest.mark.parametrize("path", OVERLAYS, ids=short)
def test_overlay_is_valid_and_its_file_says_how_to_run_it(path):
    config = read_config(path)
    check_keys(config, option_names(EncRLTask.get_parser()), path)
    if "criteria" in config:
        parse_criteria(config["criteria"])
    assert any(shown(f"{path.partition('#')[0]}#{name}") in header(path) for name in section_names(path.split("#")[0]))


def header(path: str) -> str:
    return Path(path.partition("#")[0]).read_text(encoding="utf-8").partition("\n\n")[0]


@pytest.mark.parametrize("path", STUDENT_FILES, ids=short)
def test_students_differ_in_their_layers(path):
    names = section_names(path)
    students = read_students({name: f"{path}#{name}" for name in names})
    assert {f"e{students[name]['encoder_conf'].pop('num_blocks')}" for name in names} == names
    assert len({str(config) for config in students.values()}) == 1


@pytest.mark.parametrize(("path", "kind"), BASES, ids=short)
def test_base_describes_a_whole_training(path, kind):
    config = read_config(path)
    model = {}
    if kind in ("finetune", "scratch"):
        (students,) = path.parent.glob(STUDENTS)
        model = read_config(f"{students}#e2")
    check_complete(kind, ["model.yaml", str(path)] if model else [str(path)], model | config)


@pytest.mark.parametrize("name", sorted(section_names(ROOT / "conf/criteria.yaml")))
def test_criteria_alone_describe_no_training(name):
    path = f"{ROOT}/conf/criteria.yaml#{name}"
    with pytest.raises(UserError, match=f'--encrl_config "conf/encrl.yaml conf/criteria/{name}.yaml"'):
        check_complete("encrl", [path], read_config(path))
