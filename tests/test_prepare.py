"""Configurations are checked before any work."""

import fcntl
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from espnet_ext.errors import UserError
from espnet_ext.prepare import Job, prepare
from tests.tiny import model_conf

WHOLE = {"max_epoch": 1, "optim": "adam", "optim_conf": {"lr": 0.001}, "batch_type": "numel", "batch_bins": 1000}
BEST = {"best_model_criterion": [["valid", "cer_ctc", "min"]]}
CRITERIA = [{"loss": "kld", "on": "log_probs"}]
STUDENT = {key: value for key, value in model_conf(1).items() if key != "normalize"}


@pytest.fixture
def files(tmp_path):
    configs = {
        "e1": STUDENT,
        "finetune": WHOLE | BEST | {"max_epoch": 2, "keep_nbest_models": 1},
        "encrl": WHOLE | {"criteria": CRITERIA},
    }
    for name, config in configs.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def jobs(files: Path) -> list[Job]:
    student = str(files / "e1.yaml")
    return [
        Job(files / "exp/asr_e1", (student, str(files / "finetune.yaml"))),
        Job(files / "exp/encrl", (str(files / "encrl.yaml"),), (f"e1={student}",)),
    ]


def change(path: Path, **keys) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **keys}))


def test_merged_configurations_are_written(files):
    prepare(jobs(files), vocab_size=10)
    merged = yaml.safe_load((files / "exp/asr_e1/recipe.yaml").read_text())
    assert merged["max_epoch"] == 2 and merged["encoder_conf"] == STUDENT["encoder_conf"]
    expected = WHOLE | {"criteria": CRITERIA, "students": {"e1": STUDENT}}
    assert yaml.safe_load((files / "exp/encrl/recipe.yaml").read_text()) == expected


@pytest.mark.parametrize(
    "file, keys, message",
    [
        ("finetune", {"max_epochs": 3}, r"finetune.yaml: unknown key 'max_epochs'; did you mean 'max_epoch'"),
        ("encrl", {"criteri": []}, r"encrl.yaml: unknown key 'criteri'; did you mean 'criteria'"),
        ("e1", {"encoder": "conformr"}, "conformr"),
        ("e1", {"max_epoch": 3}, "describes a model only"),
        (
            "finetune",
            {"optim": "adam", "optim_conf": {"lr": 1, "rate": 1}},
            "e1.yaml .*finetune.yaml: optim .* argument 'rate'",
        ),
        ("encrl", {"scheduler": "warmup"}, "encrl.yaml: optim or scheduler cannot be built: KeyError.'warmup'"),
    ],
)
def test_wrong_configuration_stops_before_anything_is_written(files, file, keys, message):
    change(files / f"{file}.yaml", **keys)
    with pytest.raises(UserError, match=message):
        prepare(jobs(files), vocab_size=10)
    assert not (files / "exp/asr_e1").exists()


def test_options_of_a_class_go_with_it(files):
    """A file laid over another may name another scheduler, which has other options."""
    change(files / "finetune.yaml", scheduler="warmuplr", scheduler_conf={"warmup_steps": 5}, optim_conf={"lr": 0.1})
    steps = {"scheduler": "steplr", "scheduler_conf": {"step_size": 3}, "optim_conf": {"weight_decay": 0.5}}
    (files / "steps.yaml").write_text(yaml.safe_dump(steps))
    job = jobs(files)[0]
    prepare([Job(job.exp_dir, (*job.configs, str(files / "steps.yaml")))], vocab_size=10)
    merged = yaml.safe_load((files / "exp/asr_e1/recipe.yaml").read_text())
    assert merged["scheduler_conf"] == {"step_size": 3} and merged["optim_conf"] == {"lr": 0.1, "weight_decay": 0.5}


def test_missing_and_broken_files(files):
    (files / "finetune.yaml").write_text("- a\n- b\n")
    with pytest.raises(UserError, match="key: value"):
        prepare(jobs(files), vocab_size=10)
    (files / "finetune.yaml").unlink()
    with pytest.raises(UserError, match="does not exist"):
        prepare(jobs(files), vocab_size=10)


def test_a_started_training_keeps_its_configuration(files):
    prepare(jobs(files), vocab_size=10)
    (files / "exp/asr_e1/checkpoint.pth").touch()
    change(files / "finetune.yaml", max_epoch=5)
    prepare(jobs(files), vocab_size=10)  # training longer is the same experiment
    change(files / "finetune.yaml", optim="sgd")
    with pytest.raises(UserError, match=r"asr_e1 was trained with another configuration \(optim\)"):
        prepare(jobs(files), vocab_size=10)


def test_a_training_in_its_first_epoch_keeps_its_configuration(files):
    prepare(jobs(files), vocab_size=10)
    change(files / "finetune.yaml", optim="sgd")
    with (files / "exp/asr_e1/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as encrl_train.sh does
        with pytest.raises(UserError, match=r"asr_e1 was trained with another configuration \(optim\)"):
            prepare(jobs(files), vocab_size=10)
    prepare(jobs(files), vocab_size=10)  # it has ended without an epoch


def test_a_started_encrl_keeps_its_students(files):
    prepare(jobs(files), vocab_size=10)
    (files / "exp/encrl/checkpoint.pth").touch()
    change(files / "e1.yaml", encoder_conf=STUDENT["encoder_conf"] | {"num_blocks": 2})
    with pytest.raises(UserError, match=r"encrl was trained with another configuration \(students: e1\)"):
        prepare(jobs(files), vocab_size=10)


def test_a_finished_encrl_of_more_students_serves(files):
    (files / "e2.yaml").write_text(yaml.safe_dump(STUDENT))
    job = jobs(files)[1]
    more = Job(job.exp_dir, job.configs, (*job.students, f"e2={files}/e2.yaml"))
    prepare([more], vocab_size=10)
    (files / "exp/encrl/checkpoint.pth").touch()
    recipe = (files / "exp/encrl/recipe.yaml").read_text()
    change(files / "e2.yaml", encoder_conf=STUDENT["encoder_conf"] | {"num_blocks": 2})
    prepare([job], vocab_size=10)  # what became of a student that is not asked for does not matter
    assert (files / "exp/encrl/recipe.yaml").read_text() == recipe


def test_full_disk_is_refused(files, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 2**40, 2**20))
    with pytest.raises(UserError, match="GiB free"):
        prepare(jobs(files), vocab_size=10)


@pytest.mark.parametrize("key", ["max_epoch", "optim", "optim_conf", "batch_type", "batch_bins", "criteria"])
def test_an_encrl_that_would_take_espnets_values_is_refused(files, key):
    config = {name: value for name, value in (WHOLE | {"criteria": CRITERIA}).items() if name != key}
    (files / "encrl.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=rf"encrl.yaml: {key}.* missing"):
        prepare(jobs(files), vocab_size=10)
    assert not (files / "exp").exists()


def test_an_overlay_without_its_base_is_refused_with_the_base(files):
    (files / "criteria").mkdir()
    overlay = files / "criteria/mse.yaml"
    overlay.write_text(yaml.safe_dump({"criteria": [{"loss": "mse", "on": "log_probs"}]}))
    job = jobs(files)[1]
    remedy = f'--encrl_config "{files}/encrl.yaml {overlay}"'
    with pytest.raises(UserError, match=rf"{overlay}: max_epoch, optim, optim_conf.lr, batch_type missing.* {remedy}"):
        prepare([replace(job, configs=(str(overlay),))], vocab_size=10)
    prepare([replace(job, configs=(*job.configs, str(overlay)))], vocab_size=10)


@pytest.mark.parametrize("kind", ["finetune", "scratch"])
def test_a_ctc_training_without_its_base_is_refused(files, kind):
    overlay = files / "short.yaml"
    overlay.write_text("max_epoch: 3\n")
    job = replace(jobs(files)[0], kind=kind, configs=(str(files / "e1.yaml"), str(overlay)))
    with pytest.raises(
        UserError, match=rf'batch_type, best_model_criterion missing.* --{kind}_config ".*{kind}.yaml {overlay}"'
    ):
        prepare([job], vocab_size=10)


def test_a_teacher_without_its_base_is_refused(files):
    """As conf/baselines/early_exit.yaml by itself."""
    overlay = files / "early_exit.yaml"
    overlay.write_text(yaml.safe_dump(WHOLE | BEST | {"encoder_conf": {"interctc_layer_idx": [1]}}))
    with pytest.raises(UserError, match=rf'encoder missing.* --teacher_config "conf/teacher.yaml {overlay}"'):
        prepare([Job(files / "exp/asr_teacher", (str(overlay),), kind="teacher")], vocab_size=10)


def test_an_optimizer_that_loses_its_learning_rate_is_refused(files):
    """What is said of another optimizer is dropped, also its learning rate."""
    (files / "sgd.yaml").write_text("optim: sgd\n")
    job = jobs(files)[0]
    with pytest.raises(UserError, match="sgd.yaml: optim_conf.lr missing"):
        prepare([replace(job, configs=(*job.configs, str(files / "sgd.yaml")))], vocab_size=10)


def test_a_value_that_is_no_mapping_says_no_learning_rate(files):
    change(files / "encrl.yaml", optim_conf=0.1)
    with pytest.raises(UserError, match="encrl.yaml: optim_conf.lr missing"):
        prepare(jobs(files), vocab_size=10)


def test_an_encrl_that_no_cache_serves_is_refused(files):
    change(files / "encrl.yaml", criteria=[CRITERIA[0] | {"conf": {"masked": False}}])
    prepare(jobs(files), vocab_size=10)
    with pytest.raises(UserError, match="encrl.yaml: criterion 'kld' has masked: false.*--teacher_cache false"):
        prepare(jobs(files), vocab_size=10, teacher_cache=True)
    change(files / "encrl.yaml", criteria=CRITERIA, teacher_train_mode=True)
    with pytest.raises(UserError, match="encrl.yaml: teacher_train_mode: .*--teacher_cache false"):
        prepare(jobs(files), vocab_size=10, teacher_cache=True)
