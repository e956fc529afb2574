"""No command replaces a folder of the user beside what it writes."""

import argparse
import json
import zipfile
from pathlib import Path

import pytest
import soundfile
from numpy import zeros

from digits import Options, make_split
from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.cli import derive as derive_verb
from espnet_ext.errors import UserError
from espnet_ext.export.run import Export, export
from espnet_ext.publish.repository import stage_files
from espnet_ext.teachers.cache_writer import plan
from split import MANIFEST
from talks import SETS, make_tedlium
from tests.tiny import model_conf, save_experiment


def users_folder(path: Path) -> Path:
    """Makes a folder with a file of the user, and returns that."""
    path.mkdir(parents=True)
    (path / "thesis.txt").write_text("three years")
    return path / "thesis.txt"


def data_set(directory: Path) -> Path:
    directory.mkdir(parents=True)
    soundfile.write(directory / "a.wav", zeros(16000), 16000)
    (directory / "wav.scp").write_text(f"a {directory / 'a.wav'}\n")
    (directory / "text").write_text("a a\n")
    return directory


@pytest.mark.parametrize("name", ["onnx", "onnx.partial", "onnx.old"])
def test_export_replaces_no_folder_of_the_user(tmp_path, name):
    source = save_experiment(tmp_path / "asr", token_type="char", **model_conf())
    thesis = users_folder(tmp_path / name)
    args = Export(
        exp_dir=source, asr_model_file=None, sherpa=False, data_dir=data_set(tmp_path / "set"), audio_format="wav",
        utterances=1, output_dir=tmp_path / "onnx", precisions=[], tolerance=1e-3, max_wer_loss=1.0,
    )  # fmt: skip
    if name == "onnx.old":
        list(export(args))
        list(export(args))  # its own result is replaced
        assert (tmp_path / "onnx/model.onnx").is_file()
    else:
        with pytest.raises(UserError, match=rf"{name} holds files that this program has not made"):
            list(export(args))
    assert thesis.read_text() == "three years"


def test_upload_replaces_no_folder_of_the_user(tmp_path):
    thesis = users_folder(tmp_path / "hub_me_model")
    (tmp_path / "model.pth").touch()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("exp/model.pth", "x")
    with pytest.raises(UserError, match="hub_me_model holds files that this program has not made"):
        stage_files(tmp_path / "model.pth", tmp_path / "a.zip", tmp_path / "onnx", thesis.parent)
    assert thesis.read_text() == "three years"
    assert stage_files(tmp_path / "model.pth", tmp_path / "a.zip", tmp_path / "onnx", tmp_path / "hub") == [
        "exp/model.pth"
    ]


def test_the_cache_replaces_no_folder_of_the_user(tmp_path):
    source = save_experiment(tmp_path / "asr", token_type="char", **model_conf())
    thesis = users_folder(tmp_path / "cache/shards")
    options = {"batch_sec": 1.0, "max_padding": 0.0, "ngpu": 0, "audio_format": "wav"}
    with pytest.raises(UserError, match=r"cache/shards holds files of something else"):
        plan(str(source), data_set(tmp_path / "set"), tmp_path / "cache", [], "float32", 10, **options)
    assert thesis.read_text() == "three years"


def test_corpora_of_digits_replace_no_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr("digits.Espeak", lambda: argparse.Namespace(version="1"))
    monkeypatch.setattr("digits.make_babble", lambda *_: None)

    def fails(*_):
        raise RuntimeError

    monkeypatch.setattr("split._write", fails)
    thesis = users_folder(tmp_path / ".train.mine")
    with pytest.raises(RuntimeError):
        make_split(tmp_path, "train", Options(num_utts=1))
    assert thesis.read_text() == "three years"
    assert [path.name for path in tmp_path.iterdir()] == [".train.mine"]


def test_a_corpus_of_talks_replaces_no_folder_of_the_user(tmp_path):
    statistics = {"num_utts": 0, "num_speakers": 0, "seconds": 0.0}
    for split in SETS:
        (tmp_path / "digits" / split).mkdir(parents=True)
        manifest = {"made_from": {}, "statistics": statistics}
        (tmp_path / "digits" / split / MANIFEST).write_text(json.dumps(manifest))
    thesis = users_folder(tmp_path / "ted/.legacy.mine")
    make_tedlium(tmp_path / "digits", tmp_path / "ted")
    assert thesis.read_text() == "three years" and (tmp_path / "ted/legacy").is_dir()


ACTIONS = {
    "layers": ["--layers", "last:1"],
    "pruned": ["--amount", "0.5"],
    "link": [],
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("there", ["training", "model of a user", "source"])
def test_a_derived_model_replaces_no_other_model(action, there, tmp_path):
    source = save_experiment(tmp_path / "source", token_type="char", **model_conf())
    (source / "valid.cer_ctc.ave.pth").rename(source / "model.pth")
    other = source if there == "source" else save_experiment(tmp_path / "other", token_type="char", **model_conf(1))
    if there == "model of a user":
        (other / "valid.cer_ctc.ave.pth").rename(other / "model.pth")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = [action, "--source", str(source), *ACTIONS[action], "--output_dir"]
    with pytest.raises(UserError, match=r"holds a model that this command has not made|is the directory of --source"):
        derive_verb.main([*words, str(other)])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for _ in range(2):  # its own result is replaced
        derive_verb.main([*words, str(tmp_path / "new")])
    assert find_model_files(tmp_path / "new")
