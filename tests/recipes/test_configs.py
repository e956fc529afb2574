"""Configurations are checked before any work."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import yaml

from espnet_ext.errors import UserError
from espnet_ext.recipe.configs import Config, check_configs
from tests.tiny import model_conf

STUDENT = {key: value for key, value in model_conf(1).items() if key != "normalize"}


@pytest.fixture
def files(tmp_path):
    configs = {"e1": STUDENT, "finetune": {"max_epoch": 2, "keep_nbest_models": 1}, "encrl": {"max_epoch": 1}}
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
    assert encrl.merged() == {"max_epoch": 1, "students": {"e1": STUDENT}}
    assert Config(encrl.files, encrl.students, seed=7).merged()["seed"] == 7


@pytest.mark.parametrize(
    "file, keys, message",
    [
        ("finetune", {"max_epochs": 3}, r"finetune.yaml: unknown key 'max_epochs'; did you mean 'max_epoch'"),
        ("encrl", {"criteri": []}, r"encrl.yaml: unknown key 'criteri'; did you mean 'criteria'"),
        ("e1", {"encoder": "conformr"}, "conformr"),
        ("e1", {"max_epoch": 3}, "describes a model only"),
        ("finetune", {"optim": "adam", "optim_conf": {"rate": 1}}, "e1.yaml .*finetune.yaml: optim .* argument 'rate'"),
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
    assert merged["scheduler_conf"] == {"step_size": 3} and merged["optim_conf"] == {"lr": 0.1, "weight_decay": 0.5}


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
