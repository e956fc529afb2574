"""Trainings of a run whose configurations list criteria."""

import pytest
import yaml
from espnet2.tasks.asr import ASRTask

import espnet_ext.autoload  # noqa: F401
from espnet_ext.config import check_keys, option_names, write_config
from espnet_ext.errors import UserError
from espnet_ext.recipe.statistics import statistics_config
from espnet_ext.recipe.train import trainings
from tests.recipes.runs import recipe
from tests.recipes.tiny_conf import write_tiny_conf

CTC_KLD = [{"loss": "ctc", "on": "text"}, {"loss": "kld", "on": "log_probs"}]


@pytest.fixture
def conf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny_conf(tmp_path / "tiny", "conformer")
    return tmp_path / "tiny"


def change(path, **keys) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | keys))


def run(conf, *words: str):
    return recipe(conf.parent, "--conf_dir", "tiny", "--students", "e1", *words)


def test_a_student_with_criteria_is_trained_by_our_task(conf):
    plain = trainings(run(conf))[-1]
    assert "./asr.sh" in plain.command(conf / "told", conf / "start.pth")
    change(conf / "finetune.yaml", criteria=CTC_KLD)
    given = run(conf, "--finetune_args", "--max_epoch 3")
    training = trainings(given)[-1]
    words = training.command(conf / "told", conf / "start.pth")
    module = words.index("espnet_ext.encrl.finetune")
    assert "./asr.sh" not in words and words[-2:] == ["--max_epoch", "3"]
    for option, value in (
        ("--teacher", given.names.teacher_name),
        ("--init_param", str(conf / "start.pth")),
        ("--output_dir", str(training.exp_dir)),
        ("--config", str(conf / "told")),
        ("--token_type", "char"),
        ("--train_shape_file", str(given.names.stats_dir / "train/speech_shape")),
    ):
        assert words[words.index(option, module) + 1] == value
    assert training.outputs == plain.outputs and training.made_of({}, {})["config"]["criteria"] == CTC_KLD


def test_statistics_are_collected_by_espnets_training(conf):
    change(conf / "scratch.yaml", criteria=CTC_KLD, teacher_train_mode=False)
    config = statistics_config([str(conf / "e1.yaml"), str(conf / "scratch.yaml")])
    check_keys(config, option_names(ASRTask.get_parser()), "statistics")
    assert config["encoder_conf"]["num_blocks"] == 1 and config["max_epoch"] == 1


def test_without_comparison_no_teacher_is_given(conf):
    change(conf / "scratch.yaml", criteria=CTC_KLD[:1])
    (training,) = trainings(run(conf, "--student_source", "scratch"))
    words = training.command(conf / "told", None)
    assert "espnet_ext.encrl.finetune" in words and "--teacher" not in words and "--init_param" not in words
    change(conf / "scratch.yaml", criteria=CTC_KLD)
    with pytest.raises(
        UserError, match="scratch.yaml compares with a teacher, .* --student_source scratch alone has none"
    ):
        trainings(run(conf, "--student_source", "scratch"))
    training = trainings(run(conf, "--student_source", "scratch teacher"))[1]
    assert "--teacher" in training.command(conf / "told", None)


def test_the_best_epochs_of_encrl_are_chosen_by_what_is_asked_for(conf):
    assert trainings(run(conf))[1].outputs == ["valid.e1_loss.ave.pth"]
    change(conf / "encrl.yaml", select_by="cer_ctc")
    assert trainings(run(conf))[1].outputs == ["valid.e1_cer_ctc.ave.pth"]
    assert trainings(run(conf, "--encrl_args", "--select_by kld"))[1].outputs == ["valid.e1_kld.ave.pth"]


def test_transcripts_are_given_to_encrl_with_audio_that_has_none(conf):
    given = run(conf, "--unlabelled_set", "more")
    write_config({"students": {"e1": {}}}, conf / "told")
    words = trainings(given)[1].command(conf / "told", None)
    assert "dump/raw/train_more/text,text,text" in words and "dump/raw/valid/text,text,text" in words
