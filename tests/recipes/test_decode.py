"""Stages 12-13: what is decoded again, and what is not. Nothing is decoded here."""

import os
from pathlib import Path

import pytest

from espnet_ext.errors import UserError
from espnet_ext.recipe.decode import _decode_model, _read_by_decoding
from espnet_ext.record import Record
from tests.recipes.runs import recipe


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Makes the recipe of two test sets whose teacher is trained."""
    monkeypatch.chdir(tmp_path)
    for name in ("test", "other"):
        folder = tmp_path / "dump/raw" / name
        folder.mkdir(parents=True)
        (folder / "a.wav").write_bytes(b"audio")
        (folder / "wav.scp").write_text(f"a dump/raw/{name}/a.wav\n")
        (folder / "text").write_text("a some words\n")
    model = tmp_path / "exp/asr_teacher_raw_en_char/valid.cer_ctc.ave.pth"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"model")
    return lambda *words: recipe(tmp_path, "--students", "none", "--stage", "13", *words)


def decode(one) -> None:
    """Does stage 13, which refuses where stage 12 must be done before."""
    (model,) = one.models
    _decode_model(one, model, _read_by_decoding(one))


def finished(one) -> Path:
    """Decodes and scores, as far as the record is concerned; returns the directory."""
    (model,) = one.models
    read = _read_by_decoding(one)
    digest = Record.begin(Path("exp/digest"), "x", {})
    (Path("exp/digest") / "model").write_bytes(model.checkpoint.read_bytes())
    digest.finish(["model"])
    read["decoding"]["model"] = digest.content["outputs"]["model"]["sha256"]
    directory = model.exp_dir / one.names.inference_tag
    record = Record.begin(directory, "decoding", read)
    files = [f"{name}/{file}" for name in one.options.decoded_sets for file in ("text", "score_wer/result.txt")]
    for file in files:
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(file)
    record.finish(files)
    return directory


def test_what_is_scored_is_kept_for_fewer_sets_too(run, capsys):
    finished(run("--test_sets", "test other"))
    for sets in ("test other", "test", "other"):
        decode(run("--test_sets", sets))
        assert "already scored" in capsys.readouterr().out


def test_what_is_scored_is_kept_whatever_the_clock_says(run, capsys):
    finished(run())
    for second in (1, 4_000_000_000):
        for path in [*Path("exp").rglob("*"), *Path("dump").rglob("*")]:
            os.utime(path, (second, second))
        decode(run())
        assert "already scored" in capsys.readouterr().out


def test_more_sets_are_decoded(run):
    finished(run("--test_sets", "test"))
    with pytest.raises(UserError, match="run stage 12 first"):
        decode(run("--test_sets", "test other"))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: Path("exp/asr_teacher_raw_en_char/valid.cer_ctc.ave.pth").write_bytes(b"other"), ()),
        (lambda d: Path("dump/raw/test/a.wav").write_bytes(b"other audio"), ()),
        (lambda d: (d / "test/text").write_text("a wrong\n"), ()),
        (lambda d: (d / "test/text").unlink(), ()),
        (lambda d: None, ("--inference_args", "--batch_sec 3")),
    ],
)
def test_what_no_longer_matches_is_decoded_again(run, change, words):
    directory = finished(run())
    change(directory)
    with pytest.raises(UserError, match="does not hold the text of the present model, data and options: run stage 12"):
        decode(run("--inference_tag", directory.name, *words))


def test_on_change_keeps_or_refuses_scores_too(run, capsys):
    finished(run())
    Path("dump/raw/test/text").write_text("a corrected words\n")
    with pytest.raises(UserError, match=r"something else: scoring.text.test; --on_change redo"):
        decode(run("--on_change", "fail"))
    decode(run("--on_change", "keep"))
    assert "kept (--on_change keep), though this differs: scoring.text.test" in capsys.readouterr().out
