"""run.json: what decides whether an experiment is kept, goes on, or is refused. No training is run."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_ext.errors import UserError
from espnet_ext.recipe import checks, data
from espnet_ext.recipe.digests import AudioDigests, source_files
from espnet_ext.recipe.train import Training, _must_train, refused, run_training, say_other_code, trainings
from espnet_ext.record import Record, differences, forbidden
from tests.recipes.runs import recipe

FUTURE_SEC = 4_000_000_000
PARTS = ("config", "arguments", "inputs", "parents")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Makes the recipe of a corpus with data, tokens and statistics, whose configurations are small."""
    monkeypatch.chdir(tmp_path)
    for name in ("train", "valid", "test"):
        folder = tmp_path / "dump/raw" / name
        folder.mkdir(parents=True)
        soundfile.write(folder / "a.wav", np.full(1600, 0.1), 16000)
        (folder / "wav.scp").write_text(f"a dump/raw/{name}/a.wav\n")
        (folder / "text").write_text("a some words\n")
    (tmp_path / "data/en_token_list/char").mkdir(parents=True)
    (tmp_path / "data/en_token_list/char/tokens.txt").write_text("<blank>\n<unk>\na\n<sos/eos>\n")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/e1.yaml").write_text(yaml.safe_dump({"encoder_conf": {"num_blocks": 1}}))
    for name in ("teacher", "encrl", "finetune", "scratch"):
        (tmp_path / f"conf/{name}.yaml").write_text(yaml.safe_dump({"max_epoch": 2, "optim": "adam"}))
    return lambda *words: recipe(tmp_path, "--students", "e1", "--student_source", "scratch", *words)


def finished(one, **parents: str) -> tuple[Training, dict]:
    """Trains a student, as far as its record is concerned."""
    (training,) = [training for training in trainings(one) if training.kind == "student"]
    made_of = training.made_of(data.inputs(one), parents)
    training.exp_dir.mkdir(parents=True, exist_ok=True)
    (training.exp_dir / "checkpoint.pth").write_bytes(b"checkpoint")
    record = Record.begin(training.exp_dir, "student", made_of, **training.about)
    (training.exp_dir / training.outputs[0]).write_bytes(b"averaged")
    record.finish(training.outputs)
    return training, made_of


def decide(one, **parents: str) -> bool:
    """Whether the student must be trained now."""
    (training,) = [training for training in trainings(one) if training.kind == "student"]
    made_of = training.made_of(data.inputs(one), parents)
    refused(one, training, made_of, PARTS)
    return _must_train(training, made_of, one.options.on_change, lambda text: print(text))


def test_what_is_the_same_is_kept_whatever_the_clock_says(run):
    finished(run())
    for path in [*Path("exp").rglob("*"), *Path("dump").rglob("*"), *Path("conf").rglob("*")]:
        os.utime(path, (FUTURE_SEC, FUTURE_SEC))
    assert not decide(run())
    for path in [*Path("exp").rglob("*"), *Path("dump").rglob("*")]:
        os.utime(path, (1, 1))
    assert not decide(run())


def rewrite(path: str, text: str) -> None:
    Path(path).write_text(text)


CHANGES = {
    "corrected transcript": (lambda: rewrite("dump/raw/train/text", "a other words\n"), "training text"),
    "added utterance": (
        lambda: rewrite("dump/raw/train/wav.scp", "a dump/raw/train/a.wav\nb dump/raw/valid/a.wav\n"),
        "training audio .dump/raw/train/wav.scp",
    ),
    "other audio of the same length": (
        lambda: soundfile.write("dump/raw/train/a.wav", np.full(1600, 0.2), 16000),
        "training audio",
    ),
    "validation": (lambda: rewrite("dump/raw/valid/text", "a no\n"), "validation text"),
    "token list": (
        lambda: rewrite("data/en_token_list/char/tokens.txt", "<blank>\n<unk>\nb\n<sos/eos>\n"),
        "tokens .data/en_token_list/char/tokens.txt",
    ),
    "configuration": (
        lambda: rewrite("conf/e1.yaml", "encoder_conf: {num_blocks: 3}\n"),
        r"encoder_conf.num_blocks: 1, now 3 \(in conf/e1.yaml\)",
    ),
    "another optimizer": (lambda: rewrite("conf/scratch.yaml", "{max_epoch: 2, optim: sgd}\n"), "in conf/scratch.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", ["finished", "begun"])
def test_a_change_is_refused_with_its_name_and_the_remedy(run, change, state):
    training, _ = finished(run())
    if state == "begun":
        content = json.loads((training.exp_dir / "run.json").read_text())
        Record(training.exp_dir, content | {"state": "begun", "outputs": {}}).write()
    do, message = CHANGES[change]
    do()
    with pytest.raises(
        UserError, match=f"{training.exp_dir} was trained with something else: .*{message}.*--on_change redo"
    ):
        decide(run())
    assert decide(run("--on_change", "keep")) == (state == "begun")
    assert (training.exp_dir / "checkpoint.pth").exists()
    assert decide(run("--on_change", "redo"))
    assert not (training.exp_dir / "checkpoint.pth").exists()


@pytest.mark.parametrize("deletions", [1, 2])
def test_killed_while_it_makes_room_for_another_one_the_same_command_goes_on(run, monkeypatch, deletions):
    """Whatever was deleted before the kill, in whatever order the disk lists files."""
    training, _ = finished(run())
    (training.exp_dir / "images").mkdir()
    rewrite("dump/raw/train/text", "a other words\n")
    deleted, listed, unlink = [], Path.iterdir, Path.unlink

    def killed(path, missing_ok=False):
        if len(deleted) == deletions:
            raise KeyboardInterrupt
        deleted.append(path)
        unlink(path, missing_ok)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(Path, "unlink", killed)
        context.setattr(
            Path, "iterdir", lambda path: iter(sorted(listed(path), key=lambda one: one.name != "run.json"))
        )
        decide(run("--on_change", "redo"))
    assert decide(run("--on_change", "redo"))
    assert not (training.exp_dir / "checkpoint.pth").exists()


def test_another_seed_or_teacher_in_the_same_directory_is_refused(run):
    finished(run("--seed", "1"), teacher="1" * 64)
    assert not decide(run("--seed", "1"), teacher="1" * 64)
    with pytest.raises(UserError, match=r"config.seed: 1, now 2"):
        decide(run("--seed", "2"), teacher="1" * 64)
    with pytest.raises(UserError, match=r"something else: parents.teacher"):
        decide(run("--seed", "1"), teacher="2" * 64)


def test_training_longer_is_the_same_experiment(run, capsys):
    finished(run())
    rewrite("conf/scratch.yaml", "{max_epoch: 9, optim: adam}\n")
    assert decide(run()) and Path("exp/asr_e1_scratch_raw_en_char/checkpoint.pth").exists()


def test_another_version_of_the_code_is_no_other_experiment_but_said(run):
    training, made_of = finished(run())
    former, said = Record.read(training.exp_dir), []
    record = Record.begin(training.exp_dir, "student", made_of)
    say_other_code(former, record, said.append)
    assert not said
    former.content["code"] = "0.0.9"
    say_other_code(former, record, said.append)
    assert said == [f"goes on with version {record.content['code']} of the code; it was begun with 0.0.9"]
    (training.exp_dir / "checkpoint.pth").unlink()
    (training.exp_dir / training.outputs[0]).unlink()  # nothing that could go on
    say_other_code(former, record, said.append)
    assert len(said) == 1


def test_an_experiment_that_nothing_was_trained_in_may_change(run):
    training, _ = finished(run())
    for name in ("checkpoint.pth", *training.outputs):
        (training.exp_dir / name).unlink()
    rewrite("dump/raw/train/text", "a other words\n")
    assert decide(run())


def test_a_damaged_model_of_a_finished_training_is_made_again(run, capsys):
    training, _ = finished(run())
    (training.exp_dir / training.outputs[0]).write_bytes(b"aver")  # truncated
    assert decide(run())
    assert f"{training.outputs[0]} is not as it was written; making it again" in capsys.readouterr().out


def test_a_checkpoint_without_a_record_is_refused(run):
    training, _ = finished(run())
    (training.exp_dir / "run.json").unlink()
    with pytest.raises(UserError, match="holds a training of which no run.json tells what it was made of; delete it"):
        decide(run())


@pytest.mark.parametrize("is_finished", [True, False])
def test_an_experiment_of_an_earlier_version_is_adopted_once(run, capsys, is_finished):
    """Its marks become a record; data and parents are taken as unchanged, the configuration is compared."""
    training, made_of = finished(run(), teacher="1" * 64)
    (training.exp_dir / "run.json").unlink()
    (training.exp_dir / "recipe.yaml").write_text(yaml.safe_dump(made_of["config"]))
    (training.exp_dir / "lineage.yaml").write_text("{model: e1, source: scratch, parents: []}\n")
    if is_finished:
        (training.exp_dir / ".trained").touch()
    one = run()
    refused(one, training, training.made_of({}, {}), ("config", "arguments"))  # before any work
    assert "a training of an earlier version" in capsys.readouterr().out
    assert sorted(path.name for path in training.exp_dir.iterdir()) == [
        "checkpoint.pth",
        "run.json",
        training.outputs[0],
    ]
    assert decide(one, teacher="1" * 64) != is_finished
    assert "earlier" not in capsys.readouterr().out
    with pytest.raises(UserError, match="something else: parents.teacher"):
        decide(one, teacher="2" * 64)
    rewrite("conf/e1.yaml", "encoder_conf: {num_blocks: 3}\n")
    with pytest.raises(UserError, match="num_blocks: 1, now 3"):
        decide(run(), teacher="1" * 64)


def test_an_adopted_experiment_may_have_had_a_longer_name(run, capsys):
    words = ("--scratch_args", "--optim_conf lr=0.001 --keep_nbest_models 10 --max_epoch 33 --log_interval 10")
    training, made_of = finished(run(*words))
    long = run(*words).names.long[training.exp_dir]
    training.exp_dir.rename(long)
    (long / "run.json").unlink()
    (long / "recipe.yaml").write_text(yaml.safe_dump(made_of["config"]))
    (long / ".trained").touch()
    assert not decide(run(*words)) and "names are shorter" in capsys.readouterr().out


def test_a_kill_while_a_record_is_written_leaves_the_former_one(run):
    training, _ = finished(run())
    (training.exp_dir / ".run.json.1234").write_text("{")  # what a kill leaves
    assert not decide(run())


@pytest.mark.parametrize("content", ["", "null", "{", '{"kind": "student"}'])
def test_a_record_that_is_none_is_named_with_the_remedy(run, content):
    training, _ = finished(run())
    (training.exp_dir / "run.json").write_text(content)
    with pytest.raises(UserError, match=rf"{training.exp_dir}/run.json is not as it was written: .*put the file back"):
        decide(run())


def test_training_without_statistics_is_refused_before_any_work(run):
    with pytest.raises(UserError, match="has no statistics, which training needs: begin with --stage 10"):
        checks.check(run("--stage", "11"))


def test_no_training_starts_from_a_damaged_model(run):
    """`torch.load` compares no sums: a block of zeros becomes weights."""
    start = Path("start/model.pth")
    start.parent.mkdir()
    torch.save({"a": torch.full((1000,), 0.5)}, start)
    half = torch.full((1,), 0.5).numpy().tobytes()
    start.write_bytes(start.read_bytes().replace(half * 100, bytes(400)))
    assert not torch.load(start)["a"].all()
    one = run()
    (training,) = [training for training in trainings(one) if training.kind == "student"]
    with pytest.raises(UserError, match="model.pth is damaged"):
        run_training(one, training, data.inputs(one), start)
    assert Record.read(training.exp_dir) is None


def test_differences_are_named_by_their_place():
    before = {"config": {"optim_conf": {"lr": 0.1, "betas": [0.9, 0.98]}, "max_epoch": 3}, "inputs": {"text": "a" * 64}}
    now = {"config": {"optim_conf": {"lr": 0.2, "betas": [0.9, 0.98]}, "max_epoch": 4}, "inputs": {"text": "b" * 64}}
    found = differences(before, now)
    assert found == ["config.optim_conf.lr: 0.1, now 0.2", "config.max_epoch: 3, now 4", "inputs.text"]
    assert forbidden(found) == [found[0], found[2]]


def test_audio_is_read_once_for_each_size_and_time(run, monkeypatch):
    digests = AudioDigests(Path("exp/log/audio_digests.json"))
    first = digests.of(Path("dump/raw/train/wav.scp"))
    os.utime("dump/raw/train/a.wav", (FUTURE_SEC, FUTURE_SEC))  # written again, the same
    assert digests.of(Path("dump/raw/train/wav.scp")) == first
    monkeypatch.setattr("espnet_ext.recipe.digests.audio_files", lambda _: pytest.fail("read again"))
    monkeypatch.setattr("espnet_ext.recipe.digests.stats_of", lambda _: {})
    with pytest.raises(pytest.fail.Exception):
        digests.of(Path("dump/raw/train/wav.scp"))


def test_a_corpus_is_what_stands_around_its_audio(tmp_path):
    """Transcripts beside the audio, or in a directory beside that of the audio."""
    for audio, text in (("wav/s1/a.wav", "etc/all.trans"), ("wav/s2/b.wav", "table.tsv")):
        for name in (audio, text):
            (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "corpus" / name).write_text("x")
    scp = tmp_path / "wav.scp"
    scp.write_text(f"a sph2pipe -p {tmp_path}/corpus/wav/s1/a.wav |\nb {tmp_path}/corpus/wav/s2/b.wav\n")
    before = source_files([scp])
    assert {Path(name).name for name in before} == {"a.wav", "b.wav", "all.trans", "table.tsv"}
    (tmp_path / "corpus/etc/all.trans").write_text("corrected")
    assert source_files([scp]) != before
