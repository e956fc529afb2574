"""The CTC criterion equals torch's loss of each utterance alone, per frame."""

import torch
from torch.nn.functional import ctc_loss

from espnet_ext.losses.ctc import CtcLoss


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
