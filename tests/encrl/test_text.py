"""Criteria on transcripts: the value of ESPnet's own training, utterances without transcripts, early refusal."""

import copy
from argparse import Namespace

import pytest
import torch
from espnet2.tasks.asr import ASRTask
from espnet2.train.collate_fn import CommonCollateFn

from espnet_ext.data.text import complete_text
from espnet_ext.encoder.outputs import compute_outputs
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import UserError
from tests.tiny import TOKENS, asr_args, make_batch, model_conf, save_experiment
from tests.trainings import make_data

SUM = {"loss": "ctc", "conf": {"per_frame": False}}
JOINT = [{"loss": "clip", "on": "encoder"}, {"loss": "kld", "on": "log_probs"}, {"loss": "ctc", "weight": 0.3}]


def build(criteria, teacher=None, students=None, **options):
    args = vars(EncRLTask.get_parser().parse_args([]))
    args |= {"token_list": TOKENS, "teacher": teacher, "students": students or {"e1": model_conf(1)}}
    torch.manual_seed(0)
    return EncRLTask.build_model(Namespace(**args | {"criteria": criteria} | options))


def listed(data, text="text"):
    """Returns the data options of both sets."""
    files = [(f"{data}/wav.scp", "speech", "sound"), *([(f"{data}/{text}", "text", "text")] if text else [])]
    return {f"{part}_data_path_and_name_and_type": files for part in ("train", "valid")}


def stats_of(model, batch):
    return {key: value.squeeze() for key, value in model(**batch)[1].items() if value is not None}


def test_loss_and_gradient_are_those_of_espnets_training():
    """Of the same weights, in evaluation mode: without a teacher, none is loaded."""
    model, batch = build([SUM]).eval(), make_batch()
    assert model.teacher is None
    stock = ASRTask.build_model(asr_args(**model_conf(1))).eval()
    student = model.students["e1"].state_dict()
    stock.load_state_dict(student | {key: v for key, v in model.state_dict().items() if key.startswith("frontend.")})
    loss, stats, _ = model(**batch)
    expected, theirs, _ = stock(**{key: value for key, value in batch.items() if key != "utt_id"})
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(stats["e1_ctc"], theirs["loss_ctc"])
    assert stats["e1_cer_ctc"] == pytest.approx(theirs["cer_ctc"].item())
    loss.backward()
    expected.backward()
    gradients = {name: p.grad for name, p in stock.named_parameters()}
    for name, parameter in model.students["e1"].named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], msg=name)


def test_one_phase_of_three_criteria(tmp_path):
    """The frames of all utterances are compared with the teacher, the text counts where there is some."""
    teacher = str(save_experiment(tmp_path / "teacher", **model_conf(2)))
    model, batch = build(JOINT, teacher).eval(), make_batch()
    whole = stats_of(model, batch)
    part = copy.deepcopy(batch)
    part["text"][1], part["text_lengths"][1] = -1, 0
    some = stats_of(model, part)
    rows = torch.tensor([0, 2])
    alone = stats_of(model, {k: v[rows] for k, v in batch.items() if k != "utt_id"} | {"utt_id": ["utt0", "utt2"]})
    for key in ("e1_ctc", "e1_cer_ctc"):
        torch.testing.assert_close(some[key], alone[key], rtol=1e-4, atol=1e-5)
    for key in ("e1_clip", "e1_kld"):
        torch.testing.assert_close(some[key], whole[key])
    expected = some["e1_clip"] + some["e1_kld"] + 0.3 * some["e1_ctc"]
    torch.testing.assert_close(some["e1_loss"], expected)
    none = stats_of(model, batch | {"text": batch["text"][:, :0], "text_lengths": torch.zeros(3, dtype=torch.long)})
    assert none["e1_ctc"].isnan() and "e1_cer_ctc" not in none
    torch.testing.assert_close(none["loss"], whole["e1_clip"] + whole["e1_kld"])


def test_an_utterance_without_transcript_is_a_line_with_its_name(tmp_path):
    """As ESPnet's loader and preprocessor read it."""
    data = make_data(tmp_path)
    (data / "some").write_text("utt1 a b\nutt4 a  a\n")
    complete_text(data / "some", data / "wav.scp", data / "all")
    lines = (data / "all").read_text().splitlines()
    assert lines == ["utt0", "utt1 a b", "utt2", "utt3", "utt4 a a", "utt5"]
    complete_text(None, data / "wav.scp", data / "none")
    assert (data / "none").read_text().splitlines() == [f"utt{i}" for i in range(6)]
    args = Namespace(**vars(EncRLTask.get_parser().parse_args(["--token_type", "char"])) | {"token_list": TOKENS})
    args.use_preprocessor = True
    (kind,) = [EncRLTask.build_preprocess_fn(args, train=True)]
    batch = [(name, kind(name, {"text": text})) for name, _, text in (line.partition(" ") for line in lines)]
    _, found = CommonCollateFn(int_pad_value=-1)(batch)
    assert found["text_lengths"].tolist() == [0, 3, 0, 0, 3, 0]
    _, empty = CommonCollateFn(int_pad_value=-1)([batch[0], batch[2]])
    assert empty["text"].shape == (2, 0) and empty["text_lengths"].tolist() == [0, 0]


def test_students_are_selected_by_what_the_validation_gives():
    model_args = Namespace(**vars(EncRLTask.get_parser().parse_args([])))
    model_args.students, model_args.token_list, model_args.criteria = {"e1": model_conf(1)}, TOKENS, [SUM]
    for select_by in ("cer_ctc", "ctc", "loss"):
        model_args.select_by, model_args.students = select_by, {"e1": model_conf(1)}
        EncRLTask.build_model(model_args)
        assert ("valid", f"e1_{select_by}", "min") in model_args.best_model_criterion
    with pytest.raises(UserError, match="select_by: a validation has no 'cer'; did you mean 'cer_ctc'"):
        build([SUM], select_by="cer")


def test_transcripts_that_lack_are_missed_before_any_work(tmp_path):
    data = make_data(tmp_path)
    (data / "short").write_text("utt0 a b\n")
    (data / "empty").write_text("".join(f"utt{i}\n" for i in range(6)))
    build([SUM], **listed(data))
    build([{"loss": "clip", "on": "encoder"}], str(data / "teacher"), **listed(data, "empty"))
    frames = {"criteria": [{"loss": "clip", "on": "encoder"}], "teacher": str(data / "teacher")}
    for text, change, message in (
        (None, {}, "criterion 'ctc' needs transcripts: give them, too, as --train_data_path_and_name_and_type"),
        ("short", {}, "short lacks 5 utterances of .*wav.scp, e.g. utt1; .* a line with its name alone"),
        ("empty", {}, "criterion 'ctc' needs transcripts, and .*empty has none"),
        ("short", frames, "short lacks 5 utterances"),
        (None, frames | {"select_by": "cer_ctc"}, "select_by: cer_ctc needs transcripts: .*--valid_data_path"),
    ):
        with pytest.raises(UserError, match=message):
            build(**{"criteria": [SUM], **listed(data, text), **change})


@pytest.mark.parametrize("conf", [{"dropout_rate": 0.1}, {"ctc_type": "builtin2"}])
def test_a_student_with_another_ctc_is_refused(conf):
    with pytest.raises(UserError, match="student e1: criteria on text are plain CTC; leave ctc_type and dropout_rate"):
        build([SUM], students={"e1": model_conf(1) | {"ctc_conf": conf}})


SPECAUG = {
    "specaug": "specaug",
    "specaug_conf": {"apply_time_warp": False, "apply_time_mask": True, "time_mask_width_ratio_range": [0.0, 0.3]},
}


@pytest.mark.parametrize("with_teacher", [False, True])
def test_two_views_are_heard_in_training_and_one_in_validation(tmp_path, with_teacher):
    criteria, teacher = [{"loss": "cr_ctc"}], None
    if with_teacher:
        criteria += [{"loss": "kld", "on": "log_probs"}, {"loss": "clip", "on": "encoder"}]
        teacher = str(save_experiment(tmp_path / "teacher", **model_conf(2)))
    model, batch = build(criteria, teacher, {"e1": model_conf(1, dropout_rate=0.0) | SPECAUG}), make_batch()
    heard = []
    model.students["e1"].encoder.register_forward_hook(lambda _, inputs, output: heard.append((inputs[0], output[0])))
    loss = model.train()(**batch)[0]
    loss.backward()
    features, outputs = heard[0]
    assert len(features) == 6 and not torch.equal(features[:3], features[3:])  # each masked in its own way
    parameters = model.students["e1"].named_parameters()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for _, parameter in parameters)
    stats = stats_of(model.eval(), batch)
    assert len(heard[1][0]) == 3
    plain = build([{"loss": "ctc"}]).eval()
    plain.students["e1"].load_state_dict(model.students["e1"].state_dict())
    torch.testing.assert_close(stats["e1_cr_ctc"], stats_of(plain, batch)["e1_ctc"])


def test_views_of_a_criterion_that_compares_none_are_averaged(tmp_path):
    """The loss of both together is the mean of what each gives alone."""
    teacher = str(save_experiment(tmp_path / "teacher", **model_conf(2)))
    criteria = [{"loss": "cr_ctc"}, {"loss": "kld", "on": "log_probs"}, {"loss": "clip", "on": "encoder"}]
    model, batch = build(criteria, teacher, {"e1": model_conf(1) | SPECAUG}), make_batch()
    given = {key: batch[key] for key in ("text", "text_lengths")}
    feats = model._features(batch["speech"], batch["speech_lengths"])
    theirs = model.teacher(feats[0].clone(), feats[1], ["encoder", "log_probs"])
    views = compute_outputs(model.students["e1"], *(torch.cat([x, x]) for x in feats), ["logits"]).halves()
    both = model._losses("e1", views, theirs, given, None)
    alone = [model._losses("e1", [view], theirs, given, None) for view in views]
    for key in ("kld", "clip"):
        torch.testing.assert_close(both[key], (alone[0][key] + alone[1][key]) / 2)
    ctc = (alone[0]["cr_ctc"] + alone[1]["cr_ctc"]) / 2  # of one view, consistent with itself
    assert both["cr_ctc"] > ctc


def test_views_need_specaug():
    with pytest.raises(UserError, match="student e1: criterion 'cr_ctc' compares two draws of SpecAugment"):
        build([{"loss": "cr_ctc"}])
