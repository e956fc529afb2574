"""The folder for sherpa-onnx, through sherpa-onnx."""

import subprocess
import sys

import pytest
import torch

from espnet_ext.decode.greedy import best_paths
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.export.sherpa import check_front_end, transcribe, write_sherpa
from tests.tiny import model_conf, save_experiment

FRONTEND = {"n_fft": 512, "win_length": 512, "hop_length": 160, "n_mels": 80, "fs": "16k"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    conf = {**model_conf(1, output_size=16), "frontend_conf": FRONTEND}
    exp_dir = save_experiment(tmp_path_factory.mktemp("exp") / "asr", token_type="char", **conf)
    model = load_model(exp_dir, None, "cpu")
    with torch.no_grad():
        model.model.ctc.ctc_lo.weight[0] = 0  # says something other than blank
    return model


def tones(seconds: float) -> torch.Tensor:
    """Returns a signal whose spectrum changes slowly, so that 5 ms matter little."""
    time = torch.arange(int(16000 * seconds)) / 16000
    generator = torch.Generator().manual_seed(0)
    noise = 0.01 * torch.randn(len(time), generator=generator)
    return 0.3 * torch.sin(2 * torch.pi * (300 + 900 * torch.sin(2 * time)) * time) + noise


def test_sherpa_hears_what_the_model_hears(model, tmp_path):
    """Its windows lie half a hop later, so the model is given audio that begins half a hop later."""
    write_sherpa(model, tmp_path)
    signals = [tones(seconds) for seconds in (2.0, 3.1)]
    wrong = total = 0
    for signal, text in zip(signals, transcribe(tmp_path, "model.onnx", signals, 16000), strict=True):
        shifted = signal[80:]
        with torch.inference_mode():
            log_probs, frames = ExportedCTC(model.model, True)(shifted[None], torch.tensor([len(shifted)]))
        tokens = model.tokens(best_paths(log_probs, frames)[0].token_ids)
        expected = " ".join("".join(tokens).replace("▁", " ").split())
        assert expected
        total += len(expected)
        wrong += sum(a != b for a, b in zip(expected, text, strict=False)) + abs(len(expected) - len(text))
    assert wrong <= 0.1 * total


def test_folder_runs_by_itself(model, tmp_path):
    import soundfile

    write_sherpa(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md", "model.int8.onnx", "model.onnx", "run.py", "tokens.txt",
    ]  # fmt: skip
    soundfile.write(tmp_path / "a.wav", tones(1.0).numpy(), 16000)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "a.wav")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert result.stdout.startswith(str(tmp_path / "a.wav"))


def test_other_features_are_refused(tmp_path):
    conf = {**model_conf(1), "frontend_conf": {**FRONTEND, "win_length": 400, "n_mels": 40}}
    model = load_model(save_experiment(tmp_path / "asr", token_type="char", **conf), None, "cpu")
    with pytest.raises(UserError, match="win_length 400, not 512; n_mels 40, not 80"):
        check_front_end(model.model, 16000)
