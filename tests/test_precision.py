"""`use_amp` on a CPU: the models in bfloat16, the losses in float32."""

import logging

import pytest
import torch
import yaml
from espnet2.bin.asr_train import main as train
from espnet2.tasks.asr import ASRTask
from espnet2.train import trainer

import espnet_ext.autoload  # noqa: F401  (extends the modules above)
from espnet_ext import precision
from espnet_ext.encrl.task import EncRLTask
from tests.tiny import asr_args, make_batch, model_conf
from tests.trainings import encrl_options, make_data, options

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="ESPnet's own autocast holds where there is a GPU")


@pytest.fixture
def usable(monkeypatch):
    """As on a processor with instructions for bfloat16; PyTorch computes the same without, slowly."""
    monkeypatch.setattr(precision, "_says_whether_usable", lambda: True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu avx512_bf16 amx_tile\n", True),
        ("flags: fpu amx_bf16\n", True),
        ("Features: fp asimd bf16\n", True),
        ("flags: fpu avx512f avx512_vnni\n", False),
        ("", False),
    ],
)
def test_instructions(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert precision.has_bfloat16(tmp_path / "cpuinfo") is expected
    assert not precision.has_bfloat16(tmp_path / "absent")


def test_without_the_instructions_it_says_so_once_and_does_nothing(monkeypatch, caplog):
    precision._says_whether_usable.cache_clear()
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with trainer.autocast("cuda", enabled=True):
                assert not torch.is_autocast_enabled("cpu")
    precision._says_whether_usable.cache_clear()
    assert caplog.text.count("use_amp has no effect") == 1


def test_the_model_is_bfloat16_features_and_loss_are_float32(usable):
    torch.manual_seed(0)
    conf = model_conf(dropout_rate=0.0, positional_dropout_rate=0.0, attention_dropout_rate=0.0)
    model = ASRTask.build_model(asr_args(**conf)).train()
    seen = {}
    model.frontend.register_forward_hook(lambda module, args, out: seen.update(features=out[0].dtype))
    layer = model.encoder.encoders[0].feed_forward.w_1
    layer.register_forward_hook(lambda module, args, out: seen.update(layer=out.dtype))
    model.ctc.ctc_lo.register_forward_hook(lambda module, args, out: seen.update(head=out.dtype))
    batch = make_batch()
    losses, gradients = {}, {}
    for enabled in (False, True):
        with trainer.autocast("cuda", enabled=enabled):
            loss = model(**batch)[0]
        model.zero_grad()
        loss.backward()
        losses[enabled], gradients[enabled] = loss, layer.weight.grad.clone()
    assert seen == {"features": torch.float32, "layer": torch.bfloat16, "head": torch.float32}
    assert losses[True].dtype == layer.weight.dtype == torch.float32
    assert losses[True] != losses[False]
    torch.testing.assert_close(losses[True], losses[False], rtol=0.01, atol=0)
    cosine = torch.cosine_similarity(gradients[True].flatten(), gradients[False].flatten(), dim=0)
    assert cosine > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ctc", "encrl"])
def test_a_training_in_bfloat16_ends_near_one_in_float32(tmp_path, usable, monkeypatch, kind):
    data = make_data(tmp_path)
    seen = set()
    linear = torch.nn.functional.linear

    def spied(*args):
        out = linear(*args)
        seen.add(out.dtype)
        return out

    monkeypatch.setattr(torch.nn.functional, "linear", spied)
    losses = {}
    for use_amp in ("false", "true"):
        seen.clear()
        out = tmp_path / f"exp_{use_amp}"
        words = ["--output_dir", str(out), "--use_amp", use_amp]
        if kind == "ctc":
            conf = yaml.safe_load((data / "e2.yaml").read_text())
            (data / "model.yaml").write_text(yaml.safe_dump(conf))
            train([*options(data, 2), "--config", str(data / "model.yaml"), *words])
        else:
            EncRLTask.main(cmd=[*encrl_options(data, 2), *words])
        assert (torch.bfloat16 in seen) == (use_amp == "true")
        state = torch.load(out / "checkpoint.pth", weights_only=False)
        assert {value.dtype for value in state["model"].values() if value.is_floating_point()} == {torch.float32}
        losses[use_amp] = state["reporter"]["stats"][2]["valid"]["loss"]
    assert losses["true"] != losses["false"]
    assert losses["true"] == pytest.approx(losses["false"], rel=0.02)
