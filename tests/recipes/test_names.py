"""Names of experiments: what differs has another name, what is the same is found again, none is too long."""

import json

import pytest

from espnet_ext.recipe.lineage import encrl_of, find_encrl
from espnet_ext.recipe.names import MAX_NAME, Names, bounded
from espnet_ext.record import Record
from tests.recipes.runs import names


def made(run: Names) -> list[str]:
    """What comes of a teacher: EncRL, a start, finetuned students."""
    students = {model.source: model.exp_dir for model in run.models(run.encrl_exp) if model.name == "e6"}
    return [str(path) for path in (run.encrl_exp, run.start_dir("e6", "teacher", run.encrl_exp), *students.values())]


def test_names_are_those_of_before():
    run = names("--students", "e6", "--student_source", "encrl scratch teacher", "--finetune_args", "--max_epoch 3")
    assert [str(model.exp_dir) for model in run.models(run.encrl_exp)] == [
        "exp/asr_teacher_raw_en_char",
        "exp/asr_e6_encrl_raw_en_char_max_epoch3",
        "exp/asr_e6_scratch_raw_en_char",
        "exp/asr_e6_teacher_raw_en_char_max_epoch3",
    ]
    assert str(run.encrl_exp) == "exp/encrl_e6_raw_en_char"
    assert run.inference_tag == "greedy_asr_model_valid.cer_ctc.ave"
    assert str(names("--decoder", "lexicon").token_dir) == "data/en_token_list/char"


def test_what_comes_of_another_teacher_has_another_name():
    sources = ("--student_source", "encrl teacher")
    plain, changed = made(names(*sources)), made(names(*sources, "--teacher_args", "--max_epoch 10"))
    assert not set(plain) & set(changed)
    scratch = ("--student_source", "scratch")
    assert made(names(*scratch))[2:] == made(names(*scratch, "--teacher_args", "--max_epoch 10"))[2:]


@pytest.mark.parametrize(
    "words",
    [
        ("--teacher", "/somewhere/egs2/librispeech/asr1/exp/asr_train_asr_conformer_raw_en_bpe5000_sp/valid.acc.pth"),
        ("--encrl_config", "conf/encrl.yaml conf/criteria/clip_mae.yaml", "--finetune_args", "--max_epoch 3 " * 9),
        ("--encrl_args", "--optim_conf betas=[0.9,0.98]"),
        ("--finetune_args", "--optim_conf 'lr=0.1'"),
    ],
)  # fmt: skip
def test_no_name_is_long_or_needs_quoting(words):
    """A teacher elsewhere, as the documentation shows it, ended in 'File name too long'; a comma split parents."""
    run, other = (names("--student_source", "encrl teacher", *words, *more) for more in ((), ("--nbpe", "31")))
    for name in [*made(run), str(run.teacher_exp)]:
        base = name.rpartition("/")[2]
        assert len(base) <= MAX_NAME and not set(base) & set("[],'\" ")
    assert len(set(made(run))) == len(made(run))
    assert made(run) == made(other)  # with characters as tokens --nbpe says nothing


def test_long_names_that_differ_at_their_end_stay_apart():
    long = "asr_e6_" + "x" * 100
    assert bounded(long + "a") != bounded(long + "b") and bounded(long).startswith("asr_e6_xxx")


def finish(directory, kind, students=(), **about) -> None:
    (directory / "model").parent.mkdir(parents=True, exist_ok=True)
    made_of = {"config": {"students": {name: {} for name in students}}, "arguments": []}
    Record(directory, {"kind": kind, "state": "finished", "made_of": made_of, **about}).write()


def test_a_student_that_is_finished_keeps_the_encrl_it_came_from(tmp_path, monkeypatch):
    """It does not depend on the students beside it, so another set of students trains it no second time."""
    monkeypatch.chdir(tmp_path)
    alone, both = names("--students", "e4"), names("--students", "e6 e4")
    finish(alone.encrl_exp, "encrl", ["e4"], family=alone.family)
    student = alone.models(alone.encrl_exp)[-1].exp_dir
    finish(student, "student", encrl=str(alone.encrl_exp))
    assert encrl_of(both, student, both.encrl_exp) == both.encrl_exp  # not begun: of the present run
    (student / "checkpoint.pth").touch()
    assert encrl_of(both, student, both.encrl_exp) == alone.encrl_exp != both.encrl_exp


def test_a_finished_encrl_of_more_students_serves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more, one = names("--students", "e6 e4 e2"), names("--students", "e4")
    assert find_encrl(one) == one.encrl_exp
    finish(more.encrl_exp, "encrl", ["e6", "e4", "e2"], family=more.family)
    assert find_encrl(one) == more.encrl_exp
    other = names("--students", "e4", "--encrl_args", "--max_epoch 1")
    assert find_encrl(other) == other.encrl_exp
    content = json.loads((more.encrl_exp / "run.json").read_text())
    Record(more.encrl_exp, content | {"state": "begun"}).write()
    assert find_encrl(one) == one.encrl_exp  # not finished


def test_a_file_of_another_program_is_no_record(tmp_path, monkeypatch):
    """Nothing is said of it, least of all to delete its directory."""
    monkeypatch.chdir(tmp_path)
    for content in ('{"id": 3}', "", "[]"):
        (tmp_path / "exp/mine").mkdir(parents=True, exist_ok=True)
        (tmp_path / "exp/mine/run.json").write_text(content)
        assert find_encrl(names("--students", "e4")) == names("--students", "e4").encrl_exp


def test_a_foreign_teacher_is_no_model_that_stages_12_to_15_know(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    foreign = names("--teacher", "transformers:user/name@main,language=deu", "--students", "e6")
    assert foreign.teacher_name == "transformers:user/name@main,language=deu"
    assert str(foreign.teacher_model) == "exp/asr_teacher_from_transformers_user_name_main_language_deu/teacher.json"
    assert [model.name for model in foreign.models(foreign.encrl_exp)] == ["e6"]
    own = names("--teacher", "user/name@main", "--students", "e6")
    assert own.teacher_name == str(own.teacher_model) == "exp/asr_teacher_from_user_name_main/model.pth"
    assert [model.name for model in own.models(own.encrl_exp)] == ["teacher", "e6"]
