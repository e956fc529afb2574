"""The EncRL model: masked losses, a teacher that cannot train, gradients to students only."""

import copy
import re
from argparse import Namespace

import numpy as np
import pytest
import torch
import yaml

from espnet_ext.encoder.outputs import Outputs
from espnet_ext.encrl.criteria import Criterion, parse_criteria
from espnet_ext.encrl.model import _cer
from espnet_ext.encrl.students import read_students
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import UserError
from tests.tiny import TOKENS, make_batch, model_conf, save_experiment

CRITERIA = [
    {"loss": "clip", "on": "encoder", "conf": {"learn_temperature": True}},
    {"loss": "mse", "on": "log_probs", "weight": 0.5},
    {"loss": "cosine", "on": "layer:1/2"},
    {"loss": "kld", "on": "logits"},
]


@pytest.fixture(scope="module")
def teacher_exp(tmp_path_factory):
    return save_experiment(tmp_path_factory.mktemp("exp") / "teacher", **model_conf(4))


def build(teacher, criteria=CRITERIA, students=None, seed=1, **options):
    args = vars(EncRLTask.get_parser().parse_args([]))
    students = students or {"e2": model_conf(2), "e1": model_conf(1)}
    args |= {
        "token_list": TOKENS,
        "teacher": teacher and str(teacher),
        "students": students,
        "criteria": criteria,
        **options,
    }
    torch.manual_seed(seed)
    return EncRLTask.build_model(Namespace(**args))


def run(model, batch):
    """Returns loss, statistics and weight as scalars; ESPnet passes them as vectors of one."""
    loss, stats, weight = model(**batch)
    return loss.squeeze(), {key: value.squeeze() for key, value in stats.items()}, weight.item()


def test_character_errors_are_counted_on_valid_frames_only(teacher_exp):
    """Whatever the encoder says of the padding, the error rate of validation stays."""
    model = build(teacher_exp).eval()
    student, text = model.students["e1"], torch.tensor([[2, 4], [3, -1]])
    generator = torch.Generator().manual_seed(0)
    encoder = 10 * torch.randn(2, 40, student.ctc.ctc_lo.in_features, generator=generator)
    lengths = torch.tensor([9, 4])
    outputs = [Outputs(lengths, encoder[:, :frames], None, {}) for frames in (9, 40)]
    short, padded = (_cer(student, output, text) for output in outputs)
    assert short is not None and short == padded
    assert _cer(student, Outputs(torch.tensor([40, 40]), encoder, None, {}), text) != short


def test_batch_equals_utterance_by_utterance(teacher_exp):
    """In eval mode (batch norm of the stock conformer sees padding in training) no loss depends on padding."""
    criteria = [c for c in CRITERIA if c["loss"] != "clip"] + [
        {"loss": "clip", "on": "encoder", "conf": {"pooling": "frame"}}
    ]
    model = build(teacher_exp, criteria).eval()
    batch = make_batch()
    loss, stats, weight = run(model, batch)
    parts = []
    for i, n in enumerate(batch["speech_lengths"]):
        one = {"speech": batch["speech"][i : i + 1, :n], "speech_lengths": batch["speech_lengths"][i : i + 1]}
        parts.append(run(model, one)[0])
    torch.testing.assert_close(loss, torch.stack(parts).mean(), rtol=1e-4, atol=1e-5)
    assert weight == 3
    expected = {f"{s}_{key}" for s in ("e2", "e1") for key in ("clip", "mse", "cosine_layer_1_2", "kld_logits", "loss")}
    assert set(stats) == expected | {"loss", "e2_cer_ctc", "e1_cer_ctc"}


def test_total_is_the_weighted_sum(teacher_exp):
    _, stats, _ = run(build(teacher_exp).eval(), make_batch())
    for name in ("e2", "e1"):
        parts = {"clip": 1.0, "mse": 0.5, "cosine_layer_1_2": 1.0, "kld_logits": 1.0}
        torch.testing.assert_close(stats[f"{name}_loss"], sum(w * stats[f"{name}_{key}"] for key, w in parts.items()))
    torch.testing.assert_close(stats["loss"], stats["e2_loss"] + stats["e1_loss"])


def test_teacher_is_frozen_in_eval_and_absent_from_checkpoints(teacher_exp):
    model = build(teacher_exp)
    before = copy.deepcopy(model.teacher.model.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for step in range(3):
        model.train()  # ESPnet's trainer calls it every epoch
        model(**make_batch(step))[0].backward()
        optimizer.step()
    teacher = model.teacher.model  # (its unused attention loss ignores eval())
    assert not any(module.training for part in (teacher.encoder, teacher.ctc) for module in part.modules())
    assert all(p.grad is None and not p.requires_grad for p in model.teacher.model.parameters())
    after = model.teacher.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any("teacher" in key for key in model.state_dict())
    students = [p for name in ("e2", "e1") for p in model.students[name].parameters()]
    assert all(p.grad is not None for p in students if p.requires_grad)


def test_train_mode_teacher_of_the_released_code_is_noisy(teacher_exp):
    batch = make_batch()
    frozen = build(teacher_exp)
    released = build(teacher_exp, teacher_train_mode=True)
    feats = frozen._features(batch["speech"], batch["speech_lengths"])
    names = ["encoder", "log_probs"]
    assert torch.equal(frozen.teacher(*feats, names).encoder, frozen.teacher(*feats, names).encoder)
    assert not torch.equal(released.teacher(*feats, names).encoder, released.teacher(*feats, names).encoder)


def test_perfect_student_has_zero_loss(teacher_exp):
    model = build(teacher_exp, [{"loss": "mse", "on": "log_probs"}], {"e4": model_conf(4)}).eval()
    state = model.teacher.model.state_dict()
    model.students["e4"].load_state_dict({k: v for k, v in state.items() if not k.startswith("frontend")})
    loss, _, _ = run(model, make_batch())
    assert loss < 1e-10


def test_front_end_is_shared_only_where_models_agree(teacher_exp):
    model = build(teacher_exp)
    assert model.frontend is not None and model.teacher_shares_frontend
    assert all(student.frontend is None for student in model.students.values())
    other = model_conf(1)
    other["frontend_conf"] = {**other["frontend_conf"], "n_mels": 24}
    mixed = build(teacher_exp, students={"e2": model_conf(2), "e1": other})
    assert mixed.frontend is None and all(student.frontend is not None for student in mixed.students.values())
    mixed(**make_batch())


def test_shared_features_are_not_normalised_twice(tmp_path):
    """ESPnet's GlobalMVN works in place."""
    np.savez(tmp_path / "stats.npz", count=10, sum=np.full(20, -50.0), sum_square=np.full(20, 900.0))
    mvn = {"normalize": "global_mvn", "normalize_conf": {"stats_file": str(tmp_path / "stats.npz")}}
    teacher = save_experiment(tmp_path / "teacher", **{**model_conf(3), **mvn})
    student = {key: value for key, value in model_conf(3).items() if key != "normalize"}
    model = build(teacher, [{"loss": "mse", "on": "log_probs"}], {"a": student, "b": student}, **mvn).eval()
    state = {k: v for k, v in model.teacher.model.state_dict().items() if not k.startswith("frontend")}
    for name in ("a", "b"):
        model.students[name].load_state_dict(state)
    _, stats, _ = run(model, make_batch())
    assert stats["a_mse"] < 1e-10 and stats["b_mse"] < 1e-10


def test_projection_appears_when_widths_differ(teacher_exp):
    criteria = [{"loss": "clip", "on": "encoder"}, {"loss": "mse", "on": "log_probs"}]
    model = build(teacher_exp, criteria, {"narrow": model_conf(1, output_size=4), "e1": model_conf(1)})
    assert model.projections["narrow"]["clip"].weight.shape == (8, 4)
    assert torch.equal(model.projections["narrow"]["clip"].weight[:4], torch.eye(4))
    assert "mse" not in model.projections["narrow"] and not model.projections["e1"]
    forced = build(teacher_exp, [{"loss": "cosine", "on": "encoder", "project": True}])
    assert torch.equal(forced.projections["e1"]["cosine"].weight, torch.eye(8))
    assert not any(p.requires_grad for p in forced.students["e1"].ctc.parameters())  # no criterion on the head


def test_collecting_statistics_needs_no_teacher():
    model = build("does/not/exist", collect_stats=True)
    assert model.teacher is None
    feats = model.collect_feats(**make_batch())
    assert feats["feats"].shape[0] == 3 and feats["feats"].shape[2] == 20


def test_a_warning_of_losses_that_are_not_finite_names_the_utterances(teacher_exp, caplog):
    batch = make_batch()
    batch["speech"][1, 100] = float("nan")
    run(build(teacher_exp), batch)
    assert re.search(r"e2_.*utt0, utt1, utt2", caplog.text)


def test_loss_of_one_student_that_is_not_finite_is_a_warning(teacher_exp, caplog):
    model = build(teacher_exp)
    with torch.no_grad():
        model.students["e1"].ctc.ctc_lo.weight[0, 0] = float("nan")
    loss, stats, _ = run(model, make_batch())
    assert "e1_loss" in caplog.text and "utt0, utt1, utt2" in caplog.text
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.students["e2"].parameters() if p.grad is not None)
    assert stats["e2_loss"].isfinite() and not stats["e1_loss"].isfinite()


def test_student_beside_others_equals_itself_alone(teacher_exp):
    """Same weights at the start, same dropout, same gradient."""
    together, alone = build(teacher_exp), build(teacher_exp, students={"e1": model_conf(1)})
    for step in range(2):
        for model in (together, alone):
            torch.manual_seed(step)
            model.train()(**make_batch(step))[0].backward()
    ours, theirs = (dict(model.students["e1"].named_parameters()) for model in (together, alone))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for name, parameter in theirs.items():
        if parameter.grad is not None:
            torch.testing.assert_close(ours[name].grad, parameter.grad)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"criteria": [{"loss": "clp", "on": "encoder"}]}, "did you mean 'clip'"),
        ({"criteria": [{"loss": "mse", "on": "log_prob"}]}, "did you mean 'log_probs'"),
        ({"criteria": [{"loss": "mse", "on": "layer:3/2"}]}, "layer:A/B"),
        ({"criteria": [{"loss": "mse", "on": "encoder", "wieght": 1}]}, "did you mean 'weight'"),
        ({"criteria": [{"loss": "clip", "on": "encoder", "conf": {"normalise": True}}]}, "did you mean 'normalize'"),
        ({"criteria": [{"loss": "kld", "on": "encoder"}]}, "log_probs"),
        ({"criteria": []}, "list"),
        ({"students": {"e1": {**model_conf(1), "encoder_cnf": {}}}}, "did you mean 'encoder_conf'"),
        ({"students": {"e1": {**model_conf(1), "model_conf": {}}}}, "ctc_weight: 1.0"),
        ({"students": {"e1": {**model_conf(1), "specaug": "specaug", "specaug_conf": {}}}}, "apply_time_warp"),
        ({"students": {"e1": model_conf(1, linear_unit=3)}}, "cannot be built"),
        ({"students": {"e1": model_conf(1, hop_length=800)}}, "frames/s.*factor of 4"),
        (
            {"students": {"e1": model_conf(1), "n1": {**model_conf(1), "frontend_conf": {"fs": "8k"}}}},
            "e1 16000, n1 8000 Hz",
        ),
        ({"token_list": [*TOKENS[:-1], "x", TOKENS[-1]]}, "token"),
        ({"teacher": "does/not/exist"}, "does/not/exist"),
        ({"teacher": None}, "--teacher is missing"),
    ],
)
def test_bad_input_is_named(teacher_exp, change, message):
    with pytest.raises(UserError, match=message):
        build(**{"teacher": teacher_exp, **change})


def test_bare_on_in_yaml_means_the_key_on():
    criteria = parse_criteria(yaml.safe_load("[{loss: mse, on: log_probs, weight: 2}]"))
    assert criteria == [Criterion("mse", "log_probs", 2)]


def test_token_lists_need_not_agree_for_encoder_criteria(teacher_exp):
    build(teacher_exp, [{"loss": "clip", "on": "encoder"}], token_list=[*TOKENS[:-1], "x", TOKENS[-1]])


def test_checkpoint_of_another_model_is_refused(tmp_path):
    exp = save_experiment(tmp_path / "teacher", **model_conf(2))
    state = torch.load(exp / "valid.cer_ctc.ave.pth")
    torch.save({k: v for k, v in state.items() if "encoders.1" not in k}, exp / "valid.cer_ctc.ave.pth")
    with pytest.raises(UserError, match="lacks"):
        build(exp)


def test_agreement_error_names_criterion_and_need(teacher_exp):
    with pytest.raises(UserError, match=r"criterion 'mse' on log_probs .* same token list"):
        build(teacher_exp, [{"loss": "mse", "on": "log_probs"}], token_list=[*TOKENS[:-1], "x", TOKENS[-1]])


def test_teacher_of_another_frame_rate_is_interpolated(teacher_exp, caplog):
    """At half the rate, two frames of the teacher become their mean."""
    criteria = [{"loss": "mse", "on": "log_probs"}, {"loss": "cosine", "on": "encoder"}]
    model = build(teacher_exp, criteria, {"e1": model_conf(1, hop_length=320)}).eval()
    assert "interpolated" in caplog.text and model.frame_ratios["e1"] == 2
    batch = make_batch()
    speech = (batch["speech"][:1], batch["speech_lengths"][:1])
    theirs = model.teacher.model.encode(*speech)[0]  # (1, T, D)
    ours = model.students["e1"].encode(*model._features(*speech))[0]
    pairs = theirs[:, : theirs.size(1) // 2 * 2].unflatten(1, (-1, 2)).mean(dim=2)
    frames = min(ours.size(1), pairs.size(1))
    expected = 1 - torch.cosine_similarity(ours[:, :frames], pairs[:, :frames], dim=-1).mean()
    torch.testing.assert_close(run(model, {"speech": speech[0], "speech_lengths": speech[1]})[1]["e1_cosine"], expected)


def test_shares_of_the_gradient_are_reported(teacher_exp):
    model = build(teacher_exp).train()
    _, stats, _ = run(model, make_batch())
    shares = [stats[f"e2_{key}_share"] for key in ("clip", "mse", "cosine_layer_1_2", "kld_logits")]
    torch.testing.assert_close(sum(shares), torch.tensor(1.0))
    assert all(share > 0 for share in shares)
    assert not any("share" in key for key in run(model, make_batch())[1])  # every 50th update only


def test_two_criteria_on_one_layer_are_refused(teacher_exp):
    criteria = [{"loss": "cosine", "on": "layer:1/3"}, {"loss": "cosine", "on": "layer:2/3"}]
    with pytest.raises(UserError, match=r"student e1 has too few layers for criteria on both layer:1/3 and layer:2/3"):
        build(teacher_exp, criteria, {"e1": model_conf(2)})


def test_fused_attention_of_the_teacher_says_what_espnet_says(teacher_exp):
    model, batch = build(teacher_exp), make_batch()
    feats = model._features(batch["speech"], batch["speech_lengths"])
    stock = copy.deepcopy(model.teacher.model)
    attention = [module for module in stock.modules() if getattr(module, "use_sdpa", False)]
    assert attention
    for module in attention:
        module.use_sdpa = False
    expected, lengths = stock.encode(feats[0].clone(), feats[1])
    found = model.teacher((feats[0].clone()), feats[1], ["encoder"])
    assert torch.equal(found.lengths, lengths)
    for ours, theirs, length in zip(found.encoder, expected, lengths, strict=True):
        torch.testing.assert_close(ours[:length], theirs[:length])


def test_weights_of_a_projection_see_no_padding(teacher_exp):
    criteria = [{"loss": "mse", "on": "encoder", "project": True}]
    model = build(teacher_exp, criteria, {"e1": model_conf(1)})
    grads = []
    for padding in (0.0, float("nan")):
        ours, theirs = (torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(i)) for i in range(2))
        ours[1, 3:] = theirs[1, 3:] = padding
        outputs = [Outputs(torch.tensor([5, 3]), x, None, {}) for x in (ours.requires_grad_(), theirs)]
        model.zero_grad()
        model._losses("e1", outputs[:1], outputs[1], {}, None)["mse_encoder"].backward()
        grads.append(model.projections["e1"]["mse_encoder"].weight.grad.clone())
    assert torch.isfinite(grads[1]).all() and torch.equal(*grads)


def test_students_whose_loss_is_not_finite_are_told_to_the_trainer(teacher_exp):
    model = build(teacher_exp)
    with torch.no_grad():
        model.students["e1"].ctc.ctc_lo.bias[0] = float("nan")
    run(model, make_batch())
    assert model.broken_losses == {"e1"}


@pytest.mark.parametrize("name", ["pop", "items", "type", "teacher", "none", "a b", "é1", "1e", "a.b"])
def test_names_that_students_cannot_have(teacher_exp, name):
    with pytest.raises(UserError, match=f"--students.*'{re.escape(name)}'.*rename it"):
        build(teacher_exp, students={name: model_conf(1)})


def test_students_with_dashes_in_their_names_are_told_apart(teacher_exp):
    model = build(teacher_exp, students={"a-b": model_conf(1), "c-b": model_conf(2)})
    _, stats, _ = run(model, make_batch())
    assert {"a-b_loss", "c-b_loss"} <= stats.keys()


def test_a_name_is_given_once():
    with pytest.raises(UserError, match="--students: 'e4' comes twice"):
        read_students(["e4=conf/e4.yaml", "e2=conf/e2.yaml", "e4=conf/other.yaml"])
