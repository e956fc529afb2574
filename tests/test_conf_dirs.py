"""Which file a configuration's path stands for: of the recipe, the repository, an overlay, or a section of a file."""

from pathlib import Path

import pytest

from espnet_ext import conf_dirs
from espnet_ext.conf_dirs import config_name, locate, require_config, require_directory, shown
from espnet_ext.config import read_config
from espnet_ext.encrl.students import read_students
from espnet_ext.errors import UserError


@pytest.fixture
def trees(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """An empty recipe, the current directory, and an empty repository."""
    recipe, repository = tmp_path / "recipe", tmp_path / "repository"
    for tree in (recipe, repository):
        (tree / "conf/mine").mkdir(parents=True)
    monkeypatch.chdir(recipe)
    monkeypatch.setattr(conf_dirs, "REPOSITORY", repository)
    return recipe, repository


def write(path: Path, text: str = "max_epoch: 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_overlay_comes_first_and_the_recipe_before_the_repository(trees):
    recipe, repository = trees
    path, overlay = "conf/mine/encrl.yaml", "conf/mine"
    assert locate(path, overlay) == path  # nowhere: as it was given
    for file, found in (
        (repository / "conf/encrl.yaml", str(repository / "conf/encrl.yaml")),
        (recipe / "conf/encrl.yaml", "conf/encrl.yaml"),
        (repository / "conf/mine/encrl.yaml", str(repository / "conf/mine/encrl.yaml")),
        (recipe / "conf/mine/encrl.yaml", "conf/mine/encrl.yaml"),
    ):
        write(file)
        assert locate(path, overlay) == found
    assert locate("./conf/mine//encrl.yaml", "conf/mine/") == path


def test_only_the_overlay_of_the_run_falls_back(trees):
    """A mistyped directory would train with another configuration than the one that was named."""
    write(trees[1] / "conf/encrl.yaml")
    assert locate("conf/mine/encrl.yaml") == "conf/mine/encrl.yaml"
    assert locate("exp/encrl.yaml") == "exp/encrl.yaml"


def test_an_overlay_may_lie_anywhere(trees, tmp_path):
    base = write(trees[1] / "conf/finetune.yaml")
    own = write(tmp_path / "elsewhere/encrl.yaml")
    assert locate(str(own), str(own.parent)) == str(own)
    assert locate(f"{own.parent}/finetune.yaml", str(own.parent)) == str(base)


def test_a_path_may_name_a_section_and_a_whole_file_comes_before_it(trees):
    recipe, repository = trees
    sections = write(repository / "conf/criteria.yaml", "mse: {criteria: [1]}\nmae: {criteria: [2]}\n")
    found = locate("conf/criteria/mse.yaml")
    assert found == f"{sections}#mse" and read_config(found) == {"criteria": [1]}
    assert locate("conf/mine/criteria/mse.yaml", "conf/mine") == locate("conf/criteria.yaml#mse") == found
    assert config_name(found) == config_name("conf/criteria/mse.yaml") == "mse"
    assert shown(found) == "conf/criteria/mse.yaml"
    write(recipe / "conf/criteria.yaml", "own: {criteria: [3]}\n")  # others are still found
    assert locate("conf/criteria/mse.yaml") == found and locate("conf/criteria/own.yaml") == "conf/criteria.yaml#own"
    write(recipe / "conf/criteria/mse.yaml")
    assert locate("conf/criteria/mse.yaml") == "conf/criteria/mse.yaml"


def test_students_are_of_the_nearest_directory_that_has_some(trees):
    recipe, repository = trees
    text = "default: {encoder: a, encoder_conf: {size: 1, num_blocks: 0}}\ne6: {encoder_conf: {num_blocks: 6}}\ne4:\n"
    write(repository / "conf/students.yaml", text)
    found = locate("conf/e6.yaml", student=True)
    assert read_config(found) == {"encoder": "a", "encoder_conf": {"size": 1, "num_blocks": 6}}
    assert read_students({"e6": "conf/e6.yaml"})["e6"] == read_config(found)
    write(recipe / "conf/students.yaml", "e2: {encoder: b}\n")
    assert read_config(locate("conf/e2.yaml", student=True)) == {"encoder": "b"}
    with pytest.raises(
        UserError, match=r"--students: conf/e6.yaml does not exist.* conf/students.yaml; valid names: e2"
    ):
        require_config("--students", "conf/e6.yaml", student=True)
    write(recipe / "conf/e6.yaml", "encoder: c\n")  # a whole one of the user's own
    require_config("--students", "conf/e6.yaml", student=True)
    assert read_config(locate("conf/mine/e6.yaml", "conf/mine", student=True)) == {"encoder": "c"}
    assert locate("conf/e2.yaml") == "conf/e2.yaml"  # as a configuration of a training it is none


@pytest.mark.parametrize(
    "section, message",
    [("e5", "has no section 'e5'; valid names: e6"), ("default", "has no section"), ("e6", "must hold 'key: value'")],
)
def test_a_section_that_is_none_is_named(trees, section, message):
    write(trees[0] / "conf/students.yaml", "default: {encoder: a}\ne6: 6\n")
    with pytest.raises(UserError, match=message):
        read_config(f"conf/students.yaml#{section}")


def test_a_file_whose_name_holds_the_mark_is_read(trees):
    write(trees[0] / "conf/a#b.yaml")
    write(trees[0] / "c#d/a.yaml")
    assert read_config("conf/a#b.yaml") == read_config("c#d/a.yaml") == {"max_epoch": 1}


def test_what_is_missing_is_named_with_what_is_there(trees):
    recipe, repository = trees
    write(repository / "conf/finetune.yaml")
    write(repository / "conf/criteria.yaml", "mse: {}\n")
    where = f"{recipe}/conf or {repository}/conf"
    with pytest.raises(
        UserError, match=f"--finetune_config: conf/fintune.yaml does not exist in {where}; did you mean 'fine"
    ):
        require_config("--finetune_config", "conf/fintune.yaml")
    with pytest.raises(UserError, match=f"in {recipe}/conf/criteria or {repository}/conf/criteria; did you mean 'mse'"):
        require_config("--encrl_config", "conf/criteria/mss.yaml")
    require_config("--encrl_config", "conf/criteria/mse.yaml")
    write(repository / "conf/mine/teacher.yaml")
    with pytest.raises(UserError, match=f"--conf_dir conf/mien: .* {recipe} or {repository}; did you mean 'conf/mine'"):
        require_directory("conf/mien")
    require_directory("conf/mine")
