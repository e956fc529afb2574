"""A teacher whose output is not finite is refused, and nobody advises another learning rate."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_ext.cli import check as check_verb
from espnet_ext.encoder.outputs import Outputs
from espnet_ext.errors import UserError
from espnet_ext.teachers.finite import not_finite
from espnet_ext.teachers.load import load_teacher
from tests.encrl.test_model import build, run
from tests.tiny import TOKENS, make_batch, model_conf, save_experiment

CRITERIA = [{"loss": "clip", "on": "encoder"}, {"loss": "kld", "on": "log_probs"}]
OUTPUTS = ["encoder", "log_probs"]
NAN = float("nan")


def save_teacher(directory: Path, weight: str | None = None, value: float = NAN, **conf) -> Path:
    """Writes a teacher one of whose weights is damaged."""
    exp = save_experiment(directory, **(model_conf(2) | conf), token_type="char")
    if weight is not None:
        state = torch.load(exp / "valid.cer_ctc.ave.pth")
        state[weight].view(-1)[0] = value
        torch.save(state, exp / "valid.cer_ctc.ave.pth")
    return exp


@pytest.fixture
def data_dir(tmp_path) -> Path:
    folder = tmp_path / "valid"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("u1", "u2", "u3"):
        soundfile.write(folder / f"{name}.wav", rng.standard_normal(16000) / 10, 16000, "FLOAT")
    (folder / "wav.scp").write_text("".join(f"{name} {folder}/{name}.wav\n" for name in ("u1", "u2", "u3")))
    (folder / "text").write_text("".join(f"{name} cd\n" for name in ("u1", "u2", "u3")))
    return folder


def check(teacher: Path, data_dir: Path) -> None:
    check_verb.main(
        ["teacher", "--teacher", str(teacher), "--data_dir", str(data_dir), "--output", str(data_dir / "shown")]
    )


@pytest.mark.parametrize("weight", ["encoder.after_norm.weight", "ctc.ctc_lo.weight"])
@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_the_check_before_encrl_refuses_it(tmp_path, data_dir, weight, value):
    teacher = save_teacher(tmp_path / "teacher", weight, value)
    with pytest.raises(
        UserError, match="teacher .*: its output is not finite .* 3 utterances, e.g. u[123], .*another checkpoint"
    ):
        check(teacher, data_dir)
    assert not (data_dir / "shown").exists()  # so the next run checks again


def test_the_check_refuses_it_without_a_ctc_output(tmp_path, data_dir):
    conf = {"decoder": "rnn", "model_conf": {"ctc_weight": 0.0}}
    check(save_teacher(tmp_path / "sound", **conf), data_dir)
    assert "not decoded" in (data_dir / "shown").read_text()
    with pytest.raises(UserError, match="its output is not finite .* e.g. u1"):
        check(save_teacher(tmp_path / "teacher", "encoder.after_norm.weight", **conf), data_dir)


def test_the_check_blames_audio_that_is_not_finite(tmp_path, data_dir):
    soundfile.write(data_dir / "u2.wav", np.full(16000, NAN, dtype=np.float32), 16000, "FLOAT")
    with pytest.raises(UserError, match="the audio of u2 holds samples that are not finite"):
        check(save_teacher(tmp_path / "teacher"), data_dir)


@pytest.mark.parametrize("weight", ["encoder.after_norm.weight", "ctc.ctc_lo.weight"])
def test_live_training_blames_the_teacher(tmp_path, weight, caplog):
    model = build(save_teacher(tmp_path / "teacher", weight), CRITERIA)
    with pytest.raises(
        UserError, match="teacher .*: its output is not finite .* 3 utterances, e.g. utt0, .*another checkpoint"
    ):
        run(model, make_batch())
    assert "learning rate" not in caplog.text


def test_cached_training_blames_the_teacher(tmp_path):
    """Its encoder outputs are sound, the head that is applied to them is not."""
    teacher = load_teacher(str(save_teacher(tmp_path / "teacher", "ctc.ctc_lo.weight")))
    cached = torch.randn(2, 9, 8), torch.tensor([9, 4]), {}
    teacher.from_cache(*cached, OUTPUTS[:1])
    with pytest.raises(UserError, match="its output is not finite .* e.g. a,"):
        teacher.from_cache(*cached, OUTPUTS, ["a", "b"])


def test_audio_that_is_not_finite_is_no_fault_of_the_teacher(tmp_path):
    batch = make_batch()
    batch["speech"][1, 100] = NAN
    run(build(save_teacher(tmp_path / "teacher"), CRITERIA), batch)


def test_an_overflow_of_half_precision_is_computed_in_32_bits(tmp_path, caplog):
    teacher = load_teacher(str(save_teacher(tmp_path / "teacher", "encoder.after_norm.weight", 1e6)))
    batch = make_batch()
    arguments = (batch["speech"], batch["speech_lengths"], OUTPUTS, batch["utt_id"])
    expected = teacher(*arguments)
    with torch.autocast("cpu", dtype=torch.float16):
        assert not_finite(teacher._run(*arguments[:3])) == [0, 1, 2]
        outputs = teacher(*arguments)
    torch.testing.assert_close(outputs.logits, expected.logits, rtol=1e-4, atol=0.0)
    assert "overflows in half precision" in caplog.text


def test_padding_may_hold_anything():
    encoder = torch.zeros(2, 5, len(TOKENS))
    encoder[0, 3] = NAN
    lengths = torch.tensor([3, 5])
    assert not_finite(Outputs(lengths, encoder, None, {})) == []
    assert not_finite(Outputs(torch.tensor([4, 5]), encoder, encoder, {})) == [0]
