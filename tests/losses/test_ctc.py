"""The CTC criterion equals torch's loss of each utterance alone; those without a transcript do not count."""

import pytest
import torch
from torch.nn.functional import ctc_loss

from espnet_ext.losses.ctc import CtcLoss


def make_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns logits (3, 20, 6), their lengths, text (3, 4), its lengths."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 20, 6, generator=generator).requires_grad_()
    text = torch.randint(1, 6, (3, 4), generator=generator)
    return logits, torch.tensor([20, 11, 9]), text, torch.tensor([4, 2, 3])


def test_batch_equals_utterance_by_utterance_forward_and_gradient():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 20, 6, generator=generator).requires_grad_()
    lengths, text_lengths = torch.tensor([20, 11, 3]), torch.tensor([4, 2, 3])
    text = torch.randint(1, 6, (3, 4), generator=generator)
    text[2] = torch.tensor([1, 1, 2, -1])  # needs 4 frames and has 3: counts as zero
    text[1, 2:] = -1
    loss = CtcLoss()(logits, lengths, text, text_lengths)
    (gradient,) = torch.autograd.grad(loss, logits)

    parts = []
    for row, frames, tokens, count in zip(logits, lengths, text, text_lengths, strict=True):
        one = row[:frames].log_softmax(-1)[:, None]
        total = ctc_loss(one, tokens[None, :count], frames[None], count[None], reduction="sum", zero_infinity=True)
        parts.append(total / frames)
    expected = torch.stack(parts).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])
    assert parts[2] == 0 and parts[1] > 0


@pytest.mark.parametrize("per_frame", [True, False])
def test_only_transcribed_utterances_count(per_frame):
    logits, lengths, text, text_lengths = make_batch()
    loss = CtcLoss(per_frame)
    some = loss(logits, lengths, text, torch.tensor([4, 0, 3]))
    kept = torch.tensor([0, 2])
    torch.testing.assert_close(some, loss(logits[kept], lengths[kept], text[kept], text_lengths[kept]))
    (gradient,) = torch.autograd.grad(some, logits)
    assert torch.all(gradient[1] == 0) and gradient[0].abs().sum() > 0


@pytest.mark.parametrize("columns", [0, 4])
def test_a_batch_without_transcripts_has_no_gradient_but_a_graph(columns):
    """Processes of a distributed run wait for the gradient of every weight."""
    logits, lengths, text, _ = make_batch()
    value = CtcLoss()(logits, lengths, text[:, :columns], torch.zeros(3, dtype=torch.long))
    (gradient,) = torch.autograd.grad(value, logits)
    assert value == 0 and torch.all(gradient == 0)
