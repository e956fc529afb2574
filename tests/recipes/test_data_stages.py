"""Stages 1 to 3 and 13 of run.sh on a corpus made by hand: what they cannot do well is said before they do it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.data.check import check_data_dir
from tests.recipes.corpora import copy_recipe, run
from tests.recipes.stages import TEMPLATE, copy_data_dir, format_wav_scp, make_recipe_dir, write_data_dir

pytestmark = pytest.mark.skipif(not TEMPLATE.exists(), reason="needs ESPnet's recipe tree: run tools/install.sh")
SETS = ("train", "valid", "test")
PREPARE = """#!/usr/bin/env bash
set -euo pipefail
. ../../TEMPLATE/encrl1/local/corpus.sh
. ./path.sh
stage_data
cp -r ready/data/* data/.new
publish train valid test
"""


def tone(seconds: float = 1.0, rate: int = 16000) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize(("rate", "fs"), [(8000, 16000), (44100, 16000), (16000, 8000)])
def test_stage_3_resamples(tmp_path: Path, rate: int, fs: int):
    recipe = make_recipe_dir(tmp_path / "recipe")
    soundfile.write(tmp_path / "a.wav", tone(rate=rate), rate)
    write_data_dir(recipe, "train", {"a": str(tmp_path / "a.wav")})
    format_wav_scp(recipe, "train", fs=str(fs))
    path = (recipe / "dump/train/wav.scp").read_text().split()[1]
    samples, found = soundfile.read(recipe / path)
    assert (found, len(samples)) == (fs, fs)
    inner = slice(fs // 10, -fs // 10)
    assert np.abs(samples - tone(rate=fs))[inner].max() < 2e-3


def add_recording(data_dir: Path) -> None:
    (data_dir / "wav.scp").write_text((data_dir / "wav.scp").read_text() + f"c {data_dir.parents[2]}/a.wav\n")
    (data_dir / "segments").write_text("a a 0 0.4\nb b 0 0.4\n")


REFUSED: dict[str, Callable[[Path], object]] = {
    "no-break space": lambda d: (d / "text").write_text("a SOME\xa0WORDS\nb SOME WORDS\n"),
    "next line": lambda d: (d / "text").write_text("a SOME\x85WORDS\nb SOME WORDS\n"),
    "em space": lambda d: (d / "text").write_text("a SOME\u2003WORDS\nb SOME WORDS\n"),
    "byte order mark": lambda d: (d / "text").write_text("\ufeffa SOME WORDS\nb SOME WORDS\n"),
    "not in order": lambda d: (d / "wav.scp").write_text("".join(sorted(open(d / "wav.scp"), reverse=True))),
    "kaldi's words": lambda d: (d / "text").write_text("a SOME </s> WORDS\nb SOME WORDS\n"),
    "speaker of two words": lambda d: (d / "utt2spk").write_text("a a\nb b c\n"),
    "end of -1": lambda d: (d / "segments").write_text("a a 0 -1\nb b 0 0.4\n"),
    "recording without segment": add_recording,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_stage_3_refuses_the_check_refuses(tmp_path: Path, kind: str):
    recipe = make_recipe_dir(tmp_path / "recipe")
    soundfile.write(tmp_path / "a.wav", tone(), 16000)
    data_dir = write_data_dir(recipe, "train", {"a": str(tmp_path / "a.wav"), "b": str(tmp_path / "a.wav")})
    assert check_data_dir(data_dir, 16000).errors == []
    copy_data_dir(recipe, "train")
    REFUSED[kind](data_dir)
    with pytest.raises(subprocess.CalledProcessError):
        copy_data_dir(recipe, "train")
    findings = check_data_dir(data_dir, 16000)
    assert findings.num_errors >= 1 and findings.num_errors <= 2, findings.errors


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A copy of mini_digits that prepares data made by hand: two utterances of 8 kHz a set."""
    directory = copy_recipe("mini_digits", tmp_path)
    (directory / "data").mkdir()
    (directory / "local/data.sh").write_text(PREPARE)
    for name in SETS:
        entries = {}
        for utterance in (f"{name}-a", f"{name}-b"):
            entries[utterance] = str(directory / f"{utterance}.wav")
            soundfile.write(entries[utterance], tone(rate=8000), 8000)
        write_data_dir(directory / "ready", name, entries, text="ONE TWO")
    return directory


def stages(recipe: Path, last: str, *options: str, status: int = 0) -> str:
    return run(
        recipe, "./run.sh", "--nj", "1", "--ngpu", "0", "--stage", "1", "--stop_stage", last, *options, status=status
    )


@pytest.mark.slow
def test_a_corpus_of_8_khz_with_both_rates(recipe: Path):
    stages(recipe, "3", "--fs", "16k")
    assert "2 of 2 recordings have 8000 Hz, not 16000 Hz" in (recipe / "exp/log/data_preparation.log").read_text()
    assert (recipe / "dump/raw/test/utt2num_samples").read_text() == "test-a 16000\ntest-b 16000\n"
    stages(recipe, "3", "--fs", "8k")
    assert "not 8000 Hz" not in (recipe / "exp/log/data_preparation.log").read_text()
    assert (recipe / "dump/raw/test/utt2num_samples").read_text() == "test-a 8000\ntest-b 8000\n"


def replace(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.slow
def test_lists_corrected_by_hand_are_used_or_kept(recipe: Path):
    prepared, formatted, kept = (recipe / name for name in ("data/test", "dump/raw/test", "dump/edited"))
    stages(recipe, "3", "--fs", "8k")
    replace(prepared / "text", "test-a ONE", "test-a THREE")
    output = stages(recipe, "3", "--fs", "8k", "--stage", "2")
    assert "data/test/text is not as it was made" in output and "kept in" not in output
    assert "test-a THREE TWO" in (formatted / "text").read_text()
    assert "test-a THREE TWO" in (kept / "data/test/text").read_text()  # for when stage 1 writes it anew for a reason
    replace(prepared / "text", "test-b ONE", "test-b FOUR")
    replace(formatted / "text", "test-b ONE", "test-b FIVE")
    assert "kept in dump/edited: data/test/text, dump/raw/test/text" in stages(recipe, "3", "--fs", "8k")
    assert (prepared / "text").read_text() == (formatted / "text").read_text() == "test-a ONE TWO\ntest-b ONE TWO\n"
    assert "test-b FOUR" in (kept / "data/test/text").read_text()
    assert "test-b FIVE" in (kept / "dump/raw/test/text").read_text()


@pytest.mark.slow
def test_what_later_stages_cannot_do_is_said_after_stage_1(recipe: Path):
    text = recipe / "ready/data/test/text"
    replace(text, "test-b ONE", "test-b {ONE")
    assert "text: test-b: '{' begins an alternation" in stages(recipe, "3", status=2)
    text.write_text("test-a ONE TWO\ntest-b ONE TWO\n")
    replace(recipe / "ready/data/train/text", "train-b ONE", "train-b {ONE")  # training takes it
    spaced = recipe / "some where"
    spaced.mkdir()
    shutil.move(recipe / "train-b.wav", spaced)
    replace(recipe / "ready/data/train/wav.scp", "/train-b.wav", "/some where/train-b.wav")
    output = stages(recipe, "3", "--speed_perturb_factors", "0.9 1.0", status=2)
    assert "wav.scp: train-b: speed perturbation writes the path" in output
    assert not list((recipe / "dump").rglob("wav.scp")) and not (recipe / "data/train_sp").exists()
    stereo = write_data_dir(recipe, "extra", {"extra-a": str(recipe / "extra.wav")})
    (stereo / "text").unlink()
    soundfile.write(recipe / "extra.wav", np.stack([tone(), tone()], axis=1), 16000)
    output = stages(recipe, "1", "--unlabelled_set", "extra", status=2)
    assert "data/extra/wav.scp: extra-a: 2 channels" in output
    stages(recipe, "1")


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("sclite", path="/usr/lib/sctk/bin:/usr/bin:/usr/local/bin") is None, reason="no sclite"
)
@pytest.mark.parametrize(
    ("reference", "hypothesis", "reason"),
    [
        ("ONE TWO", "ONE TWO THREE", None),
        ("ONE {TWO", "ONE TWO THREE", "reference of test-b: '{' begins"),
        ("ONE TWO", "ONE T{WO THREE", "hypothesis of test-b: '{' begins"),
        ("ONE TWO @", "ONE TWO", "reference of test-b: '@' is no word"),
    ],
)
def test_where_sclite_cannot_score_jiwer_does(recipe: Path, reference: str, hypothesis: str, reason: str | None):
    shutil.copytree(recipe / "ready/data/test", recipe / "dump/raw/test")
    (recipe / "dump/raw/test/text").write_text(f"test-a ONE TWO\ntest-b {reference}\n")
    (recipe / "greedy/test").mkdir(parents=True)
    (recipe / "greedy/test/text").write_text(f"test-a one two\ntest-b {hypothesis}\n")
    command = "python3 -m espnet_ext score --decode_dir greedy --data_dir dump/raw --test_sets test"
    output = run(recipe, "bash", "-c", f". ./path.sh; {command}")
    scores = recipe / "greedy/test/score_wer"
    if reason is None:
        assert (scores / "result.txt").exists() and not (scores / "result_jiwer.json").exists()
    else:
        assert reason in output and "scoring by jiwer" in output
        assert '"words": ' in (scores / "result_jiwer.json").read_text() and not (scores / "result.txt").exists()
        assert (recipe / "greedy/test/score_cer/result_jiwer.json").exists()
