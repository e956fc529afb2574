"""Parameters and multiply-accumulates."""

import pytest
import torch

from espnet_ext.report.size import SPEECH_SEC, Size, macs_per_second, model_size

FRAMES = 250


class Attention(torch.nn.Module):
    """One self-attention layer on 250 frames of 16 values; what ESPnet's `encode` and `ctc_lo` look like."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(16, 2, batch_first=True)
        self.convolution = torch.nn.Conv1d(16, 16, 3, padding=1, groups=16)
        self.ctc = torch.nn.Module()
        self.ctc.ctc_lo = torch.nn.Linear(16, 7)

    def encode(self, speech, lengths):
        assert speech.shape == (1, SPEECH_SEC * 8000) and not self.training
        x = torch.zeros(1, FRAMES, 16)
        x, _ = self.attention(x, x, x, need_weights=False)
        return (self.convolution(x.transpose(1, 2)).transpose(1, 2), ["intermediate"]), lengths


def test_macs_by_hand():
    projections = FRAMES * 16 * (3 * 16 + 16)
    attention = 2 * FRAMES * FRAMES * 16
    depthwise = FRAMES * 16 * 3
    ctc = FRAMES * 16 * 7
    expected = (projections + attention + depthwise + ctc) / SPEECH_SEC
    assert macs_per_second(Attention(), 8000) == pytest.approx(expected)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_layer_adds_the_same_each_time(recipe):
    sizes = []
    for blocks in (1, 2, 3):
        exp_dir = recipe.train(f"asr_{blocks}", blocks, [{"loss": 1.0}], 1.0, None)
        (exp_dir / "checkpoint.pth").unlink()
        sizes.append(model_size(exp_dir, []))
    assert [size.layers for size in sizes] == [1, 2, 3]
    one, two, three = (size.macs_per_sec for size in sizes)
    assert three - two == pytest.approx(two - one) and two > one > 0


@pytest.mark.parametrize("rate, macs", [("16k", 1.0), (8000, 0.5)])
def test_half_the_sampling_rate_is_half_the_frames(recipe, rate, macs):
    conf = {"fs": rate, "n_fft": 128, "hop_length": 128}
    exp_dir = recipe.train("asr_x", 1, [{"loss": 1.0}], 1.0, None, frontend_conf=conf)
    full = recipe.train("asr_y", 1, [{"loss": 1.0}], 1.0, None, frontend_conf=conf | {"fs": 16000})
    share = model_size(exp_dir, []).macs_per_sec / model_size(full, []).macs_per_sec
    # not exactly: the attention's part falls to a quarter
    assert share == pytest.approx(macs, abs=0 if macs == 1 else 0.2) and (macs == 1 or share < 0.5)


def test_features_as_input(recipe):
    notes = []
    exp_dir = recipe.train("asr_x", 1, [{"loss": 1.0}], 1.0, None, input_size=80)
    size = model_size(exp_dir, notes)
    assert size.parameters > 0 and size.macs_per_sec is None
    assert notes == ["the model reads features instead of a waveform, so its MACs are not counted"]
    notes.clear()
    (exp_dir / "config.yaml").unlink()
    assert model_size(exp_dir, notes) == Size() and "no config.yaml" in notes[0]
