"""Interpolation to another frame rate."""

import pytest
import torch

from espnet_ext.encoder.resample import resample, resampled_lengths


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 1.5])
def test_line_stays_a_line(ratio):
    """A value that is the time itself is the time at the middles of the new frames, except beyond the ends."""
    lengths = torch.tensor([12, 6])
    time = (torch.arange(12) + 0.5)[None, :, None].repeat(2, 1, 1)
    time[1, 6:] = 1e6  # padding
    result = resample(time, lengths, ratio)
    for i, n in enumerate(resampled_lengths(lengths, ratio).tolist()):
        expected = ((torch.arange(n) + 0.5) * ratio).clamp(0.5, lengths[i] - 0.5)
        torch.testing.assert_close(result[i, :n, 0], expected)


def test_half_the_rate_is_the_mean_of_two_frames():
    values = torch.randn(1, 6, 3)
    expected = values.unflatten(1, (3, 2)).mean(dim=2)
    torch.testing.assert_close(resample(values, torch.tensor([6]), 2.0), expected)


def test_utterance_without_frames_disturbs_no_other():
    values = torch.randn(2, 6, 3)
    result = resample(values, torch.tensor([6, 0]), 2.0)
    torch.testing.assert_close(result[:1], resample(values[:1], torch.tensor([6]), 2.0))


def test_no_utterance_vanishes():
    assert resampled_lengths(torch.tensor([0, 1, 2, 9]), 4.0).tolist() == [0, 1, 1, 2]
