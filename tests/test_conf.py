"""The configurations of this repository: overlays name criteria that exist, bases describe a whole training."""

from pathlib import Path

import pytest

from espnet_ext.config import check_keys, option_names, read_config
from espnet_ext.encrl.criteria import parse_criteria
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import UserError
from espnet_ext.required import check_complete

ROOT = Path(__file__).parents[1]
OVERLAYS = sorted([*ROOT.glob("conf/criteria/*.yaml"), *ROOT.glob("conf/tuning/*.yaml")])


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_overlay_is_valid_and_says_how_to_run_it(path):
    config = read_config(str(path))
    check_keys(config, option_names(EncRLTask.get_parser()), str(path))
    if "criteria" in config:
        parse_criteria(config["criteria"])
    assert f"conf/{path.parent.name}/{path.name}" in path.read_text(encoding="utf-8").split("\ncriteria:")[0]


BASES = [
    (path, kind)
    for kind in ("encrl", "teacher", "finetune", "scratch")
    for pattern in ("conf", "conf/*", "egs2/*/encrl1/conf", "egs2/*/encrl1/conf/*")
    for path in sorted(ROOT.glob(f"{pattern}/{kind}.yaml"))
]


@pytest.mark.parametrize(("path", "kind"), BASES, ids=lambda value: str(value).removeprefix(f"{ROOT}/"))
def test_base_describes_a_whole_training(path, kind):
    config = read_config(path)
    model = {} if kind in ("encrl", "teacher") else read_config(next(path.parent.glob("e[0-9]*.yaml")))
    check_complete(kind, ["model.yaml", str(path)] if model else [str(path)], model | config)


@pytest.mark.parametrize("path", sorted(ROOT.glob("conf/criteria/*.yaml")), ids=lambda path: path.name)
def test_criteria_alone_describe_no_training(path):
    base = ROOT / "conf/encrl.yaml"
    with pytest.raises(UserError, match=f'--encrl_config "{base} {path}"'):
        check_complete("encrl", [str(path)], read_config(path))
