"""Models by tag: names that lead elsewhere, and what a download may not do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.errors import UserError
from tests.checkpoints.packed import CHECKPOINT, CONFIG, STATISTICS, damage, make_recipe
from tests.checkpoints.test_archive import BOMB
from tests.publish.hub import TOKEN, running_hub

ROOT = Path(__file__).parents[2]
LOAD = """
import sys
from espnet_ext.teachers.load import load_teacher
from espnet_ext.errors import UserError
for name in sys.argv[1:]:
    try:
        print(name, "loaded", load_teacher(f"someone/{name}").model.ctc is not None)
    except UserError as error:
        print(name, error)
"""


@pytest.mark.parametrize(
    "revision",
    ["../../x", "/etc/x", "a/../../x", "..", "a/..", "a//b", "a/", "../a", "a\n", ".hidden/x", "a/./b", "a..b"],
)
def test_revisions_that_lead_elsewhere(tmp_path, monkeypatch, revision):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", None)  # nothing is downloaded
    with pytest.raises(UserError, match=r"(?s)u/n@.* is no revision; give a branch, tag or commit such as main"):
        find_model_files(f"u/n@{revision}")


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3", "feature/a_b-c", "0123456789abcdef"])
def test_revisions(tmp_path, monkeypatch, revision):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", None)
    with pytest.raises(UserError, match="pip install espnet_model_zoo"):
        find_model_files(f"u/n@{revision}")


@pytest.mark.parametrize("name", ["../n", "u/..", "./n", "u/.", ".u/n", "u/n..m"])
def test_tags_that_lead_elsewhere(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", None)
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    with pytest.raises(UserError, match=r"does not exist; give an experiment directory|config\.yaml does not exist"):
        find_model_files(name)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The files of a packed model in a repository of the hub."""
    recipe = tmp_path_factory.mktemp("hub") / "recipe"
    make_recipe(recipe)
    meta = {"files": {"asr_model_file": CHECKPOINT}, "yaml_files": {"asr_train_config": CONFIG}}
    return {"meta.yaml": yaml.safe_dump(meta).encode()} | {
        name: (recipe / name).read_bytes() for name in (CHECKPOINT, CONFIG, STATISTICS)
    }


def load(repositories, tmp_path):
    """Loads models from a hub in a process that reads the hub's address at its start; returns a line for each."""
    with running_hub() as hub:
        hub.repos |= {f"someone/{name}": files for name, files in repositories.items()}
        env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {
            "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub"), "HOME": str(tmp_path), "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        command = [sys.executable, "-c", LOAD, *repositories]
        result = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300)
    assert result.returncode == 0, result.stderr
    return dict(line.split(" ", 1) for line in result.stdout.splitlines() if line.split(" ")[0] in repositories)


def other_config(published, **values):
    return published | {CONFIG: yaml.safe_dump(yaml.safe_load(published[CONFIG]) | values).encode()}


@pytest.mark.slow
def test_models_of_the_hub(published, tmp_path):
    """One that is a teacher, and what others may not do."""
    secret = tmp_path / "secret.txt"
    secret.write_text("password\n")
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(published[CHECKPOINT])
    damage(damaged)
    outside = {"files": {"asr_model_file": "../../../x.pth"}, "yaml_files": {"asr_train_config": CONFIG}}
    cases = {
        "good": (published, "loaded True"),
        "tokens": (other_config(published, token_list=str(secret)), "a file of this machine that did not come with"),
        "outside": (
            published | {"meta.yaml": yaml.safe_dump(outside).encode()},
            "meta.yaml names ../../../x.pth, which is no file",
        ),
        "config": (published | {CONFIG: published[CONFIG] + BOMB.encode()}, "config.yaml cannot be read: its aliases"),
        "meta": (
            published | {"meta.yaml": published["meta.yaml"] + BOMB.encode()},
            "meta.yaml cannot be read: its aliases",
        ),
        "damaged": (published | {CHECKPOINT: damaged.read_bytes()}, "ave.pth is damaged"),
    }
    said = load({name: files for name, (files, _) in cases.items()}, tmp_path)
    for name, (_, expected) in cases.items():
        assert expected in said[name]
