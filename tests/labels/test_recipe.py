"""Pseudo-labels in runs of run.sh: beside a transcribed set, and without one human transcript."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from espnet_ext.data.text import read_text
from espnet_ext.errors import UserError
from espnet_ext.recipe.checks import check
from tests.labels.test_label import talkative
from tests.recipes import runs
from tests.recipes.corpora import copy_recipe, run
from tests.recipes.stages import TEMPLATE, write_data_dir
from tests.recipes.tiny_conf import write_tiny_conf
from tests.teachers.foreign import save

TOKENS = ["<blank>", "<unk>", "A", "B", "C", "D", "<sos/eos>"]
LENIENT = "--min_confidence 0 --min_character_rate 0 --max_repetitions 1000"
PREPARE = """#!/usr/bin/env bash
set -euo pipefail
. ../../TEMPLATE/encrl1/local/corpus.sh
. ./path.sh
stage_data
cp -r ready/data/* data/.new
publish train valid test
"""
needs_espnet = pytest.mark.skipif(not TEMPLATE.exists(), reason="needs ESPnet's recipe tree: run tools/install.sh")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A copy of mini_digits with sets of noise, two without text, and a teacher that says letters of noise."""
    directory = copy_recipe("mini_digits", tmp_path)
    (directory / "data").mkdir()
    (directory / "local/data.sh").write_text(PREPARE)
    write_tiny_conf(directory / "conf/tiny", "conformer")
    audio = tmp_path / "corpus/audio"
    audio.mkdir(parents=True)
    (audio.parent / "README").write_text("A corpus ends here.")  # what stands beside it is none of it
    rng = np.random.default_rng(0)
    for name, count in (("train", 4), ("valid", 3), ("test", 2), ("extra", 5)):
        entries = {}
        for number in range(count):
            utterance = f"{name}-{number}"
            entries[utterance] = str(audio / f"{utterance}.wav")
            samples = int(16000 * (1.2 if number else 0.05))  # the first is shorter than stage 4 takes
            soundfile.write(entries[utterance], 0.1 * rng.standard_normal(samples), 16000)
        folder = write_data_dir(directory / "ready", name, entries, text="ABC D")
        if name == "extra":
            (folder / "text").unlink()
    talkative(directory / "teacher", tokens=TOKENS)
    return directory


def train(recipe: Path, *options: str, status: int = 0) -> str:
    words = "--nj 2 --ngpu 0 --conf_dir conf/tiny --students e1 --token_type char --stop_stage 11 --train_set train"
    words += " --valid_set valid --test_sets test --teacher teacher --results"
    return run(recipe, "./run.sh", *words.split(), "", "--pseudo_label_args", LENIENT, *options, status=status)


@needs_espnet
@pytest.mark.slow
def test_pseudo_labels_join_the_training_set(recipe: Path):
    options = ("--student_source", "scratch", "--pseudo_label_sets", "extra")
    output = train(recipe, *options)
    assert "extra: 4 of 5 utterances kept" in output and "left out: short 1 (above 0.1 s passes)" in output
    (joined,) = recipe.glob("dump/raw/train_extra_labels_*")
    texts = read_text(joined / "text")
    assert sorted(texts) == [f"extra-{n}" for n in range(1, 5)] + [f"train-{n}" for n in range(1, 4)]
    assert texts["train-1"] == "ABC D" and set(texts["extra-1"]) <= set("ABCD ")
    (exp,) = recipe.glob("exp/asr_e1_scratch_from_teacher_labels_extra_*")
    told = yaml.safe_load((exp / "config.yaml").read_text())
    assert [Path(path).parent.name for path, _, _ in told["train_data_path_and_name_and_type"]] == [joined.name] * 2
    (stats,) = recipe.glob("exp/asr_stats_raw_en_char_extra_labels_*")
    shapes = (stats / "train/speech_shape").read_text().splitlines()
    assert sorted(line.split()[0] for line in shapes) == sorted(texts)
    assert told["normalize_conf"]["stats_file"] == f"exp/{stats.name}/train/feats_stats.npz"
    inputs = json.loads((exp / "run.json").read_text())["made_of"]["inputs"]
    assert [name for name in inputs if joined.name in name] == [
        f"training text (dump/raw/{joined.name}/text)",
        f"training audio (dump/raw/{joined.name}/wav.scp)",
    ]
    assert (exp / "valid.cer_ctc.ave.pth").is_file()
    before = (exp / "checkpoint.pth").stat().st_mtime_ns
    output = train(recipe, *options)  # nothing is done twice
    assert "already trained" in output and "transcribes" not in output and "statistics (output" not in output
    assert (exp / "checkpoint.pth").stat().st_mtime_ns == before


@needs_espnet
@pytest.mark.slow
def test_a_student_without_one_human_transcript(recipe: Path):
    for name in ("train", "valid"):
        (recipe / "ready/data" / name / "text").unlink()
    (recipe / "local/data.sh").write_text(
        PREPARE.replace("publish train valid test", "publish --text false train valid")
    )
    options = ("--student_source", "encrl", "--pseudo_label_sets", "train valid")
    options += ("--encrl_config", "conf/tiny/encrl.yaml conf/tuning/clip_frames.yaml")  # its tokens are others
    output = train(recipe, *options)
    assert "Stage 4: train: 3 of 4 utterances kept" in output and "Stage 4: valid: 2 of 3" in output
    texts = read_text(recipe / "dump/raw/train/text")
    assert sorted(texts) == ["train-1", "train-2", "train-3"] and not (recipe / "data/train/text").exists()
    letters = {letter for text in texts.values() for letter in text}
    tokens = (recipe / "data/en_token_list/char/tokens.txt").read_text().splitlines()
    assert {token for token in tokens if len(token) == 1} == letters - {" "} != set()
    (exp,) = recipe.glob("exp/asr_e1_encrl_*")
    assert (exp / "valid.cer_ctc.ave.pth").is_file()
    output = train(recipe, *options, "--stop_stage", "5")
    assert "data is as it was made" in output and "tokens are as they were made" in output


@needs_espnet
@pytest.mark.slow
@pytest.mark.full
def test_a_teacher_that_is_trained_in_the_run_transcribes(recipe: Path):
    """An untrained one says little, so a bias is no surprise; what counts is who waits for whom."""
    options = ("--student_source", "encrl scratch teacher", "--pseudo_label_sets", "extra", "--unlabelled_set", "extra")
    output = train(recipe, *options, "--teacher", "", "--model_nj", "2", "--speed_perturb_factors", "0.9 1.0")
    (joined,) = recipe.glob("dump/raw/train_sp_extra_labels_*")
    assert {"sp0.9-train-1", "train-1", "extra-1"} <= read_text(joined / "text").keys()
    students = [path for path in recipe.glob("exp/asr_e1_*") if (path / "valid.cer_ctc.ave.pth").is_file()]
    assert len(students) == 3 and output.index("asr_teacher_raw_en_char_sp transcribes extra") > output.index(
        "teacher: "
    )
    for path in students:
        told = yaml.safe_load((path / "config.yaml").read_text())
        assert {Path(one).parent.name for one, _, _ in told["train_data_path_and_name_and_type"]} == {joined.name}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--pseudo_label_sets test --teacher x", "test is one of --test_sets; scored by the teacher's own text"),
        ("--pseudo_label_sets train", "train cannot train the teacher that transcribes it; give a --teacher"),
        ("--pseudo_label_sets extra --pseudo_label_config conf/none.yaml", "--pseudo_label_config: .* does not exist"),
    ],
)
def test_options_that_do_not_fit(words, message):
    with pytest.raises(UserError, match=message):
        runs.options(*words.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage", "2"], "data/extra has no wav.scp; begin with --stage 1"),
        (["--stage", "10"], "raw/extra is not there: --pseudo_label_sets extra is formatted in stage 3"),
        (["--pseudo_label_args", "--min_confidence 2"], "min_confidence is between 0 and 1, not 2"),
        (["--pseudo_label_args", "--max_repetitions often"], "pseudo-labels: argument --max_repetitions"),
        (["--students", "none"], "no student is trained on them"),
    ],
)
def test_what_would_fail_later_is_said_first(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    given = runs.recipe(tmp_path, "--pseudo_label_sets", "extra", *words)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message):
        check(given)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_teacher_without_text_is_refused_first(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    words = ("--pseudo_label_sets", "extra", "--student_source", "scratch", "--teacher")
    for name, tokenizer in (("wavlm_encoder", True), ("wavlm", False)):
        model = save(tmp_path / name, name, tokenizer=tokenizer)
        with pytest.raises(UserError, match=f"teacher transformers:.*{name} makes no text"):
            check(runs.recipe(tmp_path, *words, f"transformers:{model}"))


def test_tokens_are_made_of_the_pseudo_labels_where_there_is_no_other_text():
    own = ("--bpe_train_text", "data/train/text", "--pseudo_label_sets", "train", "--teacher", "x")
    assert runs.options(*own).asr["bpe_train_text"] == "dump/raw/train/text"
    assert runs.options(*own[2:]).asr["lm_train_text"] == "dump/raw/train/text"
    assert runs.options(*own, "--bpe_train_text", "books.txt").asr["bpe_train_text"] == "books.txt"
    assert "lm_train_text" not in runs.options(*own[:2], "--pseudo_label_sets", "extra").asr


def test_students_of_pseudo_labels_have_names_of_their_own():
    def directories(*words: str) -> list[str]:
        made = runs.names("--students", "e1", "--student_source", "encrl scratch teacher", *words)
        return [model.exp_dir.name for model in made.models(made.encrl_exp) if model.name != "teacher"]

    without, given = directories(), directories("--pseudo_label_sets", "extra")
    strict = directories("--pseudo_label_sets", "extra", "--pseudo_label_args", "--min_confidence 0.9")
    own = directories("--pseudo_label_sets", "extra", "--teacher", "exp/large")
    assert len({*without, *given, *strict, *own}) == 12
    assert all("_labels_extra" in name or len(name) == 64 for name in given)
