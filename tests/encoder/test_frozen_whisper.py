"""Whisper's encoder as the fixed lower part of a teacher; random weights of the size tiny."""

import pytest
import torch

from espnet_ext.encoder.frozen_whisper import FrozenWhisperEncoder

LENGTHS = torch.tensor([16000, 9000, 12345])


def make(input_size: int = 1) -> FrozenWhisperEncoder:
    torch.manual_seed(0)
    return FrozenWhisperEncoder(input_size, "tiny", output_size=8, num_blocks=1, linear_units=16, cnn_module_kernel=3)


@pytest.fixture(scope="module")
def encoder() -> FrozenWhisperEncoder:
    return make().eval()


@pytest.fixture(scope="module")
def speech() -> torch.Tensor:
    return torch.randn(3, 16000, generator=torch.Generator().manual_seed(0)) / 10


def test_features_are_whispers_own(encoder):
    """Of 30 s, the only length that the original takes."""
    signal = torch.randn(480000, generator=torch.Generator().manual_seed(1)) / 10
    mel, _ = encoder.whisper.log_mel_spectrogram(signal[None])
    with torch.no_grad():
        expected = encoder.whisper.encoders(mel)[0]  # (1500, 384)
    torch.testing.assert_close(encoder.features(signal), expected.view(750, 2, -1).mean(1), atol=1e-4, rtol=1e-4)


def test_padding_has_no_influence(encoder, speech):
    padded = speech.clone()
    for row, length in zip(padded, LENGTHS, strict=True):
        row[length:] = 100.0
    out, lengths, _ = encoder(padded, LENGTHS)
    for row, frames, signal, samples in zip(out, lengths, speech, LENGTHS, strict=True):
        alone, _, _ = encoder(signal[None, :samples], samples[None])
        assert alone.size(1) == frames == samples // 160 // 4  # 40 ms
        torch.testing.assert_close(row[: frames - 1], alone[0, : frames - 1], atol=1e-4, rtol=1e-4)


def test_whisper_does_not_train(speech):
    encoder = make().train()
    before = [value.clone() for value in encoder.whisper.state_dict().values()]
    encoder(speech, LENGTHS)[0].square().sum().backward()
    assert not encoder.whisper.training and encoder.conformer.training
    assert all(p.grad is None and not p.requires_grad for p in encoder.whisper.parameters())
    assert all(p.grad is not None for p in encoder.embed.parameters())
    assert all(map(torch.equal, before, encoder.whisper.state_dict().values()))


def test_training_on_features_is_training_on_audio(encoder, speech):
    below = make(384).eval()
    below.load_state_dict({k: v for k, v in encoder.state_dict().items() if not k.startswith("whisper.")})
    features = encoder.features(speech[0])
    out, lengths, _ = below(features[None], torch.tensor([len(features)]))
    expected, _, _ = encoder(speech[:1], LENGTHS[:1])
    torch.testing.assert_close(out, expected)


def test_long_audio_is_cut_into_windows(encoder):
    signal = torch.randn(16000 * 31, generator=torch.Generator().manual_seed(1)) / 10
    features = encoder.features(signal)
    assert len(features) == 31 * 25
    torch.testing.assert_close(features[750:], encoder.features(signal[480000:]))


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="whisper_size 'huge'"):
        FrozenWhisperEncoder(1, "huge")
    with pytest.raises(ValueError, match="input_size 80 must be 1"):
        FrozenWhisperEncoder(80, "tiny")
