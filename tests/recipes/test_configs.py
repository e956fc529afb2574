"""Configurations are checked before any work."""

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from espnet_ext.errors import UserError
from espnet_ext.recipe.configs import Config, check_configs
from tests.tiny import model_conf

STUDENT = {key: value for key, value in model_conf(1).items() if key != "normalize"}
WHOLE = {"max_epoch": 1, "optim": "adam", "optim_conf": {"lr": 0.001}, "batch_type": "numel", "batch_bins": 1000}
BEST = {"best_model_criterion": [["valid", "cer_ctc", "min"]]}
CRITERIA = [{"loss": "kld", "on": "log_probs"}]


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


def configs(files: Path, **args: str) -> list[Config]:
    student = str(files / "e1.yaml")
    finetune, encrl = args.get("finetune", ""), args.get("encrl", "")
    return [
        Config((student, str(files / "finetune.yaml")), {}, finetune, "--finetune_args"),
        Config((str(files / "encrl.yaml"),), {"e1": student}, encrl, "--encrl_args", kind="encrl"),
    ]


def change(path: Path, **keys) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **keys}))


def test_files_are_merged(files):
    finetune, encrl = configs(files)
    check_configs([finetune, encrl], 10, files / "exp")
    merged = finetune.merged()
    assert merged["max_epoch"] == 2 and merged["encoder_conf"] == STUDENT["encoder_conf"]
    assert encrl.merged() == WHOLE | {"criteria": CRITERIA, "students": {"e1": STUDENT}}
    assert Config(encrl.files, encrl.students, seed=7).merged()["seed"] == 7


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
def test_a_wrong_configuration_is_named(files, file, keys, message):
    change(files / f"{file}.yaml", **keys)
    with pytest.raises(UserError, match=message):
        check_configs(configs(files), 10, files / "exp")


@pytest.mark.parametrize(
    "option, args, message",
    [
        ("finetune", "--max_epocs 3", "--finetune_args .*unknown key 'max_epocs'; did you mean 'max_epoch'"),
        ("finetune", "--max_epoch three", r'--finetune_args .*max_epoch: invalid int value'),
        ("encrl", "--criterion []", "--encrl_args .*unknown key 'criterion'; did you mean 'criteria'"),
        ("finetune", "--optim_conf rate=1", "optim or scheduler cannot be built.*rate"),
        ("finetune", "--encoder conformr", "--finetune_args .*conformr"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_found_before_hours_of_work(files, option, args, message):
    """By ESPnet's own parser; found after EncRL before."""
    with pytest.raises(UserError, match=message):
        check_configs(configs(files, **{option: args}), 10, files / "exp")
    good = {"finetune": "--max_epoch 3 --optim adam --optim_conf betas=[0.9,0.98]", "encrl": "--max_epoch=1"}
    check_configs(configs(files, **good), 10, files / "exp")


def test_options_of_a_class_go_with_it(files):
    """A file laid over another may name another scheduler, which has other options."""
    change(files / "finetune.yaml", scheduler="warmuplr", scheduler_conf={"warmup_steps": 5}, optim_conf={"lr": 0.1})
    steps = {"scheduler": "steplr", "scheduler_conf": {"step_size": 3}, "optim_conf": {"weight_decay": 0.5}}
    (files / "steps.yaml").write_text(yaml.safe_dump(steps))
    config = configs(files)[0]
    config = Config((*config.files, str(files / "steps.yaml")))
    check_configs([config], 10, files / "exp")
    merged = config.merged()
    assert merged["scheduler_conf"] == {"step_size": 3}
    assert merged["optim_conf"] == {"lr": 0.1, "weight_decay": 0.5}


def test_missing_and_broken_files(files):
    (files / "finetune.yaml").write_text("- a\n- b\n")
    with pytest.raises(UserError, match="key: value"):
        check_configs(configs(files), 10, files / "exp")
    (files / "finetune.yaml").unlink()
    with pytest.raises(UserError, match="does not exist"):
        check_configs(configs(files), 10, files / "exp")


def test_the_file_of_a_key_is_named(files):
    finetune, encrl = configs(files)
    assert finetune.file_of("encoder_conf.num_blocks") == str(files / "e1.yaml")
    assert finetune.file_of("max_epoch") == str(files / "finetune.yaml")
    assert encrl.file_of("students.e1.encoder_conf.num_blocks") == str(files / "e1.yaml")


def test_full_disk_is_refused(files, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 2**40, 2**20))
    with pytest.raises(UserError, match="GiB free"):
        check_configs(configs(files), 10, files / "exp")


def refused(config: Config, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config.check(10)


@pytest.mark.parametrize("key", ["max_epoch", "optim", "optim_conf", "batch_type", "batch_bins", "criteria"])
def test_an_encrl_that_would_take_espnets_values_is_refused(files, key):
    config = {name: value for name, value in (WHOLE | {"criteria": CRITERIA}).items() if name != key}
    (files / "encrl.yaml").write_text(yaml.safe_dump(config))
    refused(configs(files)[1], rf"encrl.yaml: {key}.* missing")


def test_an_overlay_without_its_base_is_refused_with_the_base(files):
    (files / "criteria").mkdir()
    overlay = files / "criteria/mse.yaml"
    overlay.write_text(yaml.safe_dump({"criteria": [{"loss": "mse", "on": "log_probs"}]}))
    config = configs(files)[1]
    remedy = f'--encrl_config "{files}/encrl.yaml {overlay}"'
    missing = rf"{overlay}: max_epoch, optim, optim_conf.lr, batch_type missing.* {remedy}"
    refused(replace(config, files=(str(overlay),)), missing)
    replace(config, files=(*config.files, str(overlay))).check(10)


@pytest.mark.parametrize("kind", ["finetune", "scratch"])
def test_a_ctc_training_without_its_base_is_refused(files, kind):
    overlay = files / "short.yaml"
    overlay.write_text("max_epoch: 3\n")
    config = Config((str(files / "e1.yaml"), str(overlay)), kind=kind)
    refused(config, rf'batch_type, best_model_criterion missing.* --{kind}_config ".*{kind}.yaml {overlay}"')


def test_a_teacher_without_its_base_is_refused(files):
    """As conf/baselines/early_exit.yaml by itself."""
    overlay = files / "early_exit.yaml"
    overlay.write_text(yaml.safe_dump(WHOLE | BEST | {"encoder_conf": {"interctc_layer_idx": [1]}}))
    refused(
        Config((str(overlay),), kind="teacher"), rf'encoder missing.* --teacher_config "conf/teacher.yaml {overlay}"'
    )


def test_an_optimizer_that_loses_its_learning_rate_is_refused(files):
    """What is said of another optimizer is dropped, also its learning rate."""
    (files / "sgd.yaml").write_text("optim: sgd\n")
    config = configs(files)[0]
    refused(replace(config, files=(*config.files, str(files / "sgd.yaml"))), "sgd.yaml: optim_conf.lr missing")


def test_a_value_that_is_no_mapping_says_no_learning_rate(files):
    change(files / "encrl.yaml", optim_conf=0.1)
    refused(configs(files)[1], "encrl.yaml: optim_conf.lr missing")


def test_an_encrl_that_no_cache_serves_is_refused(files):
    change(files / "encrl.yaml", criteria=[CRITERIA[0] | {"conf": {"masked": False}}])
    config = configs(files)[1]
    config.check(10)
    cached = replace(config, teacher_cache=True)
    refused(cached, "encrl.yaml: criterion 'kld' has masked: false.*--teacher_cache false")
    change(files / "encrl.yaml", criteria=CRITERIA, teacher_train_mode=True)
    refused(cached, "encrl.yaml: teacher_train_mode: .*--teacher_cache false")


MASKS = {"apply_time_warp": False, "apply_time_mask": True, "time_mask_width_ratio_range": [0.0, 0.1]}
SPECAUG = {"specaug": "specaug", "specaug_conf": MASKS}


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"criteria": [{"loss": "ctk"}]}, "unknown loss 'ctk'; did you mean 'ctc'"),
        (
            {"criteria": [{"loss": "cr_ctc"}]},
            "'cr_ctc' compares two draws of SpecAugment, and there is none; set specaug",
        ),
        ({"criteria": [{"loss": "ctc"}], "students": {"e1": {}}}, "finetune.yaml: unknown key 'students'"),
        ({"criteria": [{"loss": "ctc"}], "ctc_conf": {"dropout_rate": 0.1}}, "leave ctc_type and dropout_rate out"),
        ({"criteria": [{"loss": "ctc"}]} | SPECAUG, ""),
        ({"criteria": [{"loss": "cr_ctc"}, *CRITERIA]} | SPECAUG, ""),
    ],
)
def test_criteria_of_finetuning_are_checked(files, keys, message):
    change(files / "finetune.yaml", **keys)
    config = configs(files)[0]
    if not message:
        check_configs([config], 10, files / "exp")
        assert config.needs_teacher == (len(keys["criteria"]) == 2)
        return
    with pytest.raises(UserError, match=message):
        check_configs([config], 10, files / "exp")


def test_a_teacher_compares_with_no_teacher(files):
    change(files / "finetune.yaml", criteria=CRITERIA)
    with pytest.raises(UserError, match="finetune.yaml: criterion 'kld' compares with a teacher, and this trains one"):
        check_configs([replace(configs(files)[0], kind="teacher")], 10, files / "exp")


def test_selection_is_of_what_a_validation_gives(files):
    change(files / "encrl.yaml", select_by="cer")
    with pytest.raises(UserError, match="select_by: a validation has no 'cer'; did you mean 'cer_ctc'"):
        check_configs([configs(files)[1]], 10, files / "exp")
    assert configs(files, encrl="--select_by kld")[1].value("select_by") == "kld"
    assert configs(files, encrl="--select_by=loss")[1].value("select_by") == "loss"
    assert configs(files)[1].value("select_by") == "cer" and configs(files)[1].value("seed") is None
