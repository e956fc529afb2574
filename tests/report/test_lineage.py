"""Where a model comes from, and what that cost."""

import json
import os

import pytest

from espnet_ext.errors import UserError
from espnet_ext.report.collect import collect
from espnet_ext.report.lineage import trace
from tests.report.conftest import record

CTC = [{"loss": 9.0}, {"loss": 4.0}]
ENCRL = [{"loss": 3.0, "e4_loss": 2.0, "e2_loss": 1.0}] * 3


def encrl(recipe, exp="", **config):
    return recipe.train(f"{exp}encrl_x", 1, ENCRL, 20.0, None, **config)


def student(recipe, exp="", source="encrl", parents=("encrl_x",)):
    lineage = {"model": "e2", "source": source, "parents": [f"exp/{exp}{parent}" for parent in parents]}
    return collect(recipe.train(f"{exp}asr_e2_{source}_x", 1, CTC, 10.0, lineage) / "decode", [])


@pytest.mark.parametrize("exp", ["", "ours_seed1/"])
def test_cost_of_every_stage(recipe, exp, monkeypatch):
    recipe.train(f"{exp}asr_teacher_x", 2, CTC, 50.0, {"model": "teacher", "source": "teacher", "parents": []})
    encrl(recipe, exp, teacher=f"exp/{exp}asr_teacher_x/valid.loss.ave.pth")
    decode_dir = recipe.root / student(recipe, exp).decode_dir
    monkeypatch.chdir(recipe.root.parent)  # paths in run.json start at the recipe, wherever the report is made
    run = collect(decode_dir, [])
    assert (run.own_sec, run.own_epochs, run.encrl_epochs) == (pytest.approx(20), 2, 3)
    assert run.encrl_share_sec == pytest.approx(60 / 2)
    assert run.total_sec == pytest.approx(50)
    assert run.teacher_sec == pytest.approx(100)
    assert run.total_with_teacher_sec == pytest.approx(150)


@pytest.mark.parametrize("known", [True, False])
def test_teacher_cache_is_part_of_the_cost_of_encrl(recipe, known):
    cache = recipe.root / "exp/asr_teacher_x/cache/train"
    cache.mkdir(parents=True)
    (cache / "manifest.json").write_text(json.dumps({"seconds": 40.0} if known else {}))
    data = [["dump/raw/train/wav.scp", "speech", "sound"]]
    data.append([str(cache.relative_to(recipe.root) / "teacher_encoder.scp"), "teacher_encoder", "kaldi_ark"])
    encrl(recipe, train_data_path_and_name_and_type=data)
    run = student(recipe)
    assert run.encrl_share_sec == pytest.approx((60 + 40 * known) / 2)
    assert any("cache" in note for note in run.notes) != known


def test_layers_of_the_teacher(recipe):
    recipe.train("asr_teacher_x", 2, CTC, 50.0, {"model": "teacher", "source": "teacher", "parents": []})
    run = student(recipe, source="teacher_even", parents=("asr_teacher_x",))
    assert (run.total_sec, run.teacher_sec, run.encrl_share_sec) == (pytest.approx(20), pytest.approx(100), None)


def test_layers_of_a_student_of_encrl(recipe):
    """As the paper makes 4 and 2 layers: `--teacher exp/encrl_x/e4/model.pth --student_source teacher`."""
    recipe.train("asr_teacher_x", 2, CTC, 50.0, {"model": "teacher", "source": "teacher", "parents": []})
    encrl(recipe, teacher="exp/asr_teacher_x/valid.loss.ave.pth")
    linked = recipe.root / "exp/asr_teacher_from_exp_encrl_x_e4_model_pth"
    for folder in (recipe.root / "exp/encrl_x/e4", linked):
        folder.mkdir()
    (recipe.root / "exp/encrl_x/e4/model.pth").write_bytes(b"")
    os.symlink(recipe.root / "exp/encrl_x/e4/model.pth", linked / "model.pth")
    run = student(recipe, source="teacher_from_exp_encrl_x_e4_model_pth_last", parents=(linked.name,))
    assert (run.own_sec, run.encrl_share_sec, run.teacher_sec) == pytest.approx((20, 30, 100))


@pytest.mark.parametrize("source, share", [("encrl_only", 30), ("teacher_even_only", 0)])
def test_a_model_without_finetuning_has_no_own_cost(recipe, source, share):
    recipe.train("asr_teacher_x", 2, CTC, 50.0, {"model": "teacher", "source": "teacher", "parents": []})
    encrl(recipe, teacher="exp/asr_teacher_x/valid.loss.ave.pth")
    parent = "encrl_x" if source == "encrl_only" else "asr_teacher_x"
    folder = recipe.root / "exp/encrl_x/e2"
    folder.mkdir()
    record(folder, "e2", source, [f"exp/{parent}"])
    run = collect(folder / "decode", [])
    assert (run.own_sec, run.total_sec, run.teacher_sec) == (0, pytest.approx(share), pytest.approx(100))
    assert not any("finished epoch" in note for note in run.notes)
    assert any("without a training of its own" in note for note in run.notes) == (source != "encrl_only")


def test_a_linked_teacher_costs_what_its_source_did(recipe):
    source = recipe.train("asr_large", 2, CTC, 50.0, None)
    (source / "valid.loss.ave.pth").write_bytes(b"")
    linked = recipe.root / "exp/asr_teacher_from_exp_asr_large"
    linked.mkdir()
    os.symlink((source / "valid.loss.ave.pth").resolve(), linked / "model.pth")
    encrl(recipe, teacher=f"exp/{linked.name}/model.pth")
    assert student(recipe).teacher_sec == pytest.approx(100)


def test_what_is_not_known_is_not_zero(recipe):
    encrl(recipe, teacher="exp/asr_teacher_from_the_zoo/model.pth", student_init="exp/asr_e12")
    run = student(recipe)
    assert run.teacher_sec is run.total_with_teacher_sec is None
    assert run.total_sec == pytest.approx(50)
    assert any("its teacher cost is not known (asr_teacher_from_the_zoo has no log)" in note for note in run.notes)
    assert any("began with layers of exp/asr_e12" in note for note in run.notes)
    lost = student(recipe, exp="other/", parents=("encrl_gone",))
    assert lost.own_sec == pytest.approx(20) and lost.total_sec is None
    assert any("EncRL training is not found" in note for note in lost.notes)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is not as it was written"),  # as a full disk leaves it
        ("[]", "it lacks kind, state or made_of"),
        ('{"kind": "student", "state": "finished", "made_of": {}, "model": "e2"}', "no 'init' in it"),
    ],
)
def test_a_broken_record_is_named(recipe, text, message):
    exp_dir = recipe.train("asr_e2_x", 1, CTC, 1.0, None)
    (exp_dir / "run.json").write_text(text)
    with pytest.raises(UserError, match=f"asr_e2_x/run.json.*{message}"):
        trace(exp_dir, [])
