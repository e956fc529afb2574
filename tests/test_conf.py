"""Configurations that are laid over others name criteria that exist."""

from pathlib import Path

import pytest

from espnet_ext.config import check_keys, option_names, read_config
from espnet_ext.encrl.criteria import parse_criteria
from espnet_ext.tasks.encrl import EncRLTask

ROOT = Path(__file__).parents[1]
OVERLAYS = sorted([*ROOT.glob("conf/criteria/*.yaml"), *ROOT.glob("conf/tuning/*.yaml")])


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_overlay_is_valid_and_says_how_to_run_it(path):
    config = read_config(str(path))
    check_keys(config, option_names(EncRLTask.get_parser()), str(path))
    if "criteria" in config:
        parse_criteria(config["criteria"])
    assert f"conf/{path.parent.name}/{path.name}" in path.read_text(encoding="utf-8").split("\ncriteria:")[0]
