"""Students that start from layers of another model, and criteria without a teacher."""

from argparse import Namespace

import pytest
import torch

from espnet_ext.checkpoints.derive import load_layers
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import UserError
from tests.tiny import TOKENS, make_batch, model_conf, save_experiment


@pytest.fixture(scope="module")
def teacher_exp(tmp_path_factory):
    return save_experiment(tmp_path_factory.mktemp("exp") / "teacher", seed=3, **model_conf(4))


def build(teacher, **options):
    args = vars(EncRLTask.get_parser().parse_args([]))
    args |= {"token_list": TOKENS, "teacher": teacher and str(teacher), "students": {"e2": model_conf(2)}, **options}
    torch.manual_seed(1)
    return EncRLTask.build_model(Namespace(**args))


@pytest.mark.parametrize("selection", ["first", "last", "even"])
def test_a_student_starts_with_the_chosen_layers(teacher_exp, selection):
    student = build(teacher_exp, student_init="teacher", student_init_layers=selection).students["e2"]
    _, expected = load_layers(str(teacher_exp), f"{selection}:2", ctc_only=True)
    own = student.state_dict()  # without the front end, which is shared
    assert len(own) > 10
    for key, value in own.items():
        assert torch.equal(value, expected[key]), key


def test_without_it_a_student_starts_at_random(teacher_exp):
    _, layers = load_layers(str(teacher_exp), "even:2", ctc_only=True)
    own = build(teacher_exp).students["e2"].state_dict()
    assert not torch.equal(own["ctc.ctc_lo.weight"], layers["ctc.ctc_lo.weight"])


def test_other_dimensions_are_named(teacher_exp):
    with pytest.raises(UserError, match="student e2 cannot start from layers of .*tensors differ"):
        build(teacher_exp, student_init="teacher", students={"e2": model_conf(2, output_size=16)})


def test_auto_takes_layers_where_they_fit_and_says_where_not(teacher_exp, caplog):
    students = {"e2": model_conf(2), "narrow": model_conf(2, output_size=16)}
    model = build(teacher_exp, student_init="auto", students=students, criteria=[{"loss": "kld", "on": "log_probs"}])
    _, expected = load_layers(str(teacher_exp), "even:2", ctc_only=True)
    assert torch.equal(model.students["e2"].state_dict()["ctc.ctc_lo.weight"], expected["ctc.ctc_lo.weight"])
    assert "narrow starts with random values" in caplog.text and "e2 starts" not in caplog.text


def test_auto_without_a_teacher_is_random():
    model = build(None, student_init="auto", criteria=CTC)
    assert model.teacher is None


CTC = [{"loss": "ctc", "on": "text"}]


def test_ctc_alone_needs_no_teacher_and_trains_the_head(teacher_exp):
    model = build(teacher_exp, criteria=CTC)
    assert model.teacher is None
    loss, stats, _ = model.train()(**make_batch())
    loss.sum().backward()
    assert set(stats) == {"e2_ctc", "e2_loss", "loss"}
    assert model.students["e2"].ctc.ctc_lo.weight.grad.abs().sum() > 0


def test_classic_distillation_adds_ctc_to_the_comparison(teacher_exp):
    batch = make_batch()
    both = build(teacher_exp, criteria=[*CTC, {"loss": "kld", "on": "log_probs", "weight": 0.5}]).eval()
    _, stats, _ = both(**batch)
    torch.testing.assert_close(stats["e2_loss"], stats["e2_ctc"] + 0.5 * stats["e2_kld"])
    with pytest.raises(UserError, match="criterion 'ctc' needs transcripts"):
        both(batch["speech"], batch["speech_lengths"])


@pytest.mark.parametrize("entry", [{"loss": "ctc", "on": "encoder"}, {"loss": "mse", "on": "text"}])
def test_ctc_and_text_belong_together(teacher_exp, entry):
    with pytest.raises(UserError, match="belong together"):
        build(teacher_exp, criteria=[entry])
