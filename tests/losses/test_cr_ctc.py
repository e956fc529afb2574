"""CR-CTC equals the formulas of arXiv 2410.05101, utterance by utterance."""

import pytest
import torch

from espnet_ext.losses.cr_ctc import CrCtcLoss
from espnet_ext.losses.ctc import CtcLoss
from tests.losses.test_ctc import make_batch


def views() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    logits, *rest = make_batch()
    return logits, (logits.detach() + torch.randn(3, 20, 6)).requires_grad_(), *rest


@pytest.mark.parametrize("per_frame", [True, False])
def test_value_and_gradient_are_the_published_ones(per_frame):
    torch.manual_seed(0)
    one, two, lengths, text, text_lengths = views()
    loss = CrCtcLoss(0.3, per_frame)(one, lengths, text, text_lengths, two)
    ctc = CtcLoss(per_frame)
    expected = (ctc(one, lengths, text, text_lengths) + ctc(two, lengths, text, text_lengths)) / 2
    for row, frames in enumerate(lengths.tolist()):
        p, q = one[row, :frames].softmax(-1), two[row, :frames].softmax(-1)
        divergence = (q.detach() * (q.detach().log() - p.log())).sum() + (
            p.detach() * (p.detach().log() - q.log())
        ).sum()
        expected = expected + 0.3 * divergence / 2 / 3 / (frames if per_frame else 1)
    torch.testing.assert_close(loss, expected)
    for found, wanted in zip(*(torch.autograd.grad(x, (one, two)) for x in (loss, expected)), strict=True):
        torch.testing.assert_close(found, wanted)


def test_utterances_without_transcript_are_to_be_consistent():
    one, two, lengths, text, _ = views()
    loss = CrCtcLoss()(one, lengths, text, torch.zeros(3, dtype=torch.long), two)
    gradients = torch.autograd.grad(loss, (one, two))
    assert loss > 0 and all(gradient.abs().sum(dim=(1, 2)).gt(0).all() for gradient in gradients)


def test_padding_that_is_not_finite_changes_nothing():
    one, two, lengths, text, text_lengths = views()
    clean = CrCtcLoss()(one, lengths, text, text_lengths, two)
    with torch.no_grad():
        one[1, 11:], two[2, 9:] = torch.nan, torch.inf
    loss = CrCtcLoss()(one, lengths, text, text_lengths, two)
    assert torch.equal(loss, clean) and all(g.isfinite().all() for g in torch.autograd.grad(loss, (one, two)))


def test_bad_scale_is_refused():
    with pytest.raises(ValueError, match="scale"):
        CrCtcLoss(-1)
