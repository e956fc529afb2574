"""Whatever a model is taken from: it is one model, and its files are what was once written."""

import pytest
import torch
import yaml

from espnet_ext.checkpoints.derive import load_layers
from espnet_ext.checkpoints.find import find_model_files, read_state_dict
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from espnet_ext.export.runtime import OnnxCTC
from espnet_ext.teachers.load import load_teacher
from tests.checkpoints.packed import CHECKPOINT, POINTER, STATISTICS, damage, make_recipe
from tests.tiny import model_conf, save_experiment

DOORS = {
    "teacher": lambda source: load_teacher(str(source)),
    "decoding": lambda source: load_model(source, None, "cpu"),
    "layers": lambda source: load_layers(str(source), "first:1"),
    "files": find_model_files,
}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe directory, the current one, with an experiment in exp/asr."""
    make_recipe(tmp_path / "recipe")
    monkeypatch.chdir(tmp_path / "recipe")
    return tmp_path / "recipe"


@pytest.mark.parametrize("door", DOORS)
def test_a_damaged_checkpoint_is_no_model(recipe, door):
    DOORS[door](recipe / "exp/asr")
    part = damage(recipe / CHECKPOINT)
    torch.load(recipe / CHECKPOINT)  # which says nothing
    with pytest.raises(UserError, match=rf"ave\.pth is damaged: {part} in it does not have the sum.*copy it again"):
        DOORS[door](recipe / "exp/asr")


def test_a_checkpoint_of_a_training_is_read_whole_too(recipe):
    damage(recipe / CHECKPOINT)
    with pytest.raises(UserError, match="is damaged"):  # of export_student, which finds its files itself
        read_state_dict(recipe / CHECKPOINT)


@pytest.mark.parametrize("door", DOORS)
def test_damaged_statistics(recipe, door):
    damage(recipe / STATISTICS, size=16)
    with pytest.raises(UserError, match=r"^statistics .*stats\.npz is damaged: \S+\.npy in it does not have the sum"):
        DOORS[door](recipe / "exp/asr")


def test_files_without_sums_are_taken_as_they_are(recipe):
    expected = torch.load(recipe / CHECKPOINT)
    torch.save(expected, recipe / CHECKPOINT, _use_new_zipfile_serialization=False)
    assert read_state_dict(find_model_files(recipe / "exp/asr")[1]).keys() == expected.keys()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(expected, recipe / CHECKPOINT)
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_state_dict(find_model_files(recipe / "exp/asr")[1]).keys() == expected.keys()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("file", [CHECKPOINT, STATISTICS])
def test_a_pointer_of_git_lfs(recipe, door, file):
    (recipe / file).write_text(POINTER)
    with pytest.raises(
        UserError, match="is a git-lfs pointer, not the file itself; fetch it with: git lfs pull"
    ) as error:
        DOORS[door](recipe / "exp/asr")
    assert "ESPNET_ALLOW_UNSAFE_TORCH_LOAD" not in str(error.value)


def test_other_pointers_of_git_lfs(tmp_path):
    source = save_experiment(tmp_path / "asr", token_type="bpe", bpemodel=str(tmp_path / "bpe.model"), **model_conf())
    (tmp_path / "bpe.model").write_text(POINTER)
    with pytest.raises(UserError, match=r"bpe\.model is a git-lfs pointer"):
        find_model_files(source)
    (tmp_path / "model.onnx").write_text(POINTER)
    with pytest.raises(UserError, match=r"model\.onnx is a git-lfs pointer"):
        OnnxCTC(tmp_path / "model.onnx")


@pytest.mark.parametrize("door", DOORS)
def test_nobody_is_advised_to_load_unsafely(recipe, door):
    for content in (b"<html>not found</html>", b"\x80\x04garbage"):
        (recipe / CHECKPOINT).write_bytes(content)
        if door == "files" and content.startswith(b"\x80"):
            continue  # it loads nothing
        with pytest.raises(UserError, match=r"ave\.pth") as error:
            DOORS[door](recipe / "exp/asr")
        assert "UNSAFE" not in str(error.value) and "opt in" not in str(error.value)


def test_more_than_tensors(recipe):
    torch.save({"a": torch.zeros(1), "b": yaml.YAMLError()}, recipe / CHECKPOINT)
    for door in ("teacher", "decoding", "layers"):
        with pytest.raises(UserError, match=r"could run foreign code; get one that holds the model's state_dict\(\)"):
            DOORS[door](recipe / "exp/asr")


@pytest.mark.parametrize("door", DOORS)
def test_an_encrl_training_is_not_one_model(tmp_path, door):
    encrl = save_experiment(tmp_path / "encrl", token_type="char", **model_conf())
    config = yaml.safe_load((encrl / "config.yaml").read_text())
    config |= {"students": {"e6": {}, "e4": {}}, "teacher": "exp/teacher", "criteria": []}
    (encrl / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (encrl / "valid.cer_ctc.ave.pth").rename(encrl / "valid.e6_loss.ave.pth")
    message = r"encrl is an EncRL training of the students e6, e4, not one model; .*"
    with pytest.raises(
        UserError, match=rf"{message}derive student --encrl_exp .*encrl --student e6, and give .*encrl/e6"
    ):
        DOORS[door](encrl)
    (encrl / "e4").mkdir()
    (encrl / "e4/model.pth").touch()
    with pytest.raises(UserError, match=rf"{message}give .*encrl/e4"):
        DOORS[door](encrl / "valid.e6_loss.ave.pth")
