"""Masked losses equal the mean over utterances without padding; paper mode equals the released formulas."""

import pytest
import torch
import torch.nn.functional as F

from espnet_ext.losses import LOSSES
from espnet_ext.losses.clip import ClipLoss

LENGTHS = torch.tensor([7, 3, 5])


def make_inputs(seed: int, dim: int = 6, garbage: float = 1e3) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns student and teacher, (3, 7, dim), with large values in the padding."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 3, 7, dim, generator=generator)
    for i, length in enumerate(LENGTHS):
        student[i, length:] = garbage
        teacher[i, length:] = -garbage
    return student.requires_grad_(), teacher


def gradients(loss: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, student)[0]


@pytest.mark.parametrize(
    "name, conf",
    [("mse", {}), ("mae", {}), ("cosine", {}), ("kld", {}), ("clip", {"pooling": "frame"})],
)
def test_masked_loss_is_the_mean_over_unpadded_utterances(name, conf):
    student, teacher = make_inputs(0)
    loss = LOSSES[name](**conf)
    value = loss(student, teacher, LENGTHS)
    parts = [
        loss(student[i : i + 1, :n], teacher[i : i + 1, :n], torch.tensor([n])) for i, n in enumerate(LENGTHS.tolist())
    ]
    expected = torch.stack(parts).mean()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradients(value, student), gradients(expected, student))
    unmasked = LOSSES[name](**conf, masked=False)(student, teacher, LENGTHS)
    assert not torch.isclose(unmasked, value)  # the padding matters, so the test above can fail


@pytest.mark.parametrize("normalize", [True, False])
def test_masked_clip_pools_valid_frames_only(normalize):
    student, teacher = make_inputs(1)
    loss = ClipLoss(normalize=normalize)
    value = loss(student, teacher, LENGTHS)
    pooled_student = torch.stack([student[i, :n].mean(0) for i, n in enumerate(LENGTHS.tolist())])
    pooled_teacher = torch.stack([teacher[i, :n].mean(0) for i, n in enumerate(LENGTHS.tolist())])
    expected = loss(pooled_student[:, None], pooled_teacher[:, None], torch.ones(3, dtype=torch.long))
    torch.testing.assert_close(value, expected)
    gradient = gradients(value, student)
    torch.testing.assert_close(gradient, gradients(expected, student))
    assert torch.all(gradient[1, 3:] == 0)


def test_paper_clip_equals_the_released_formula():
    """Section 3.3 of the released code: mean over all T, dot products / 0.07, symmetric cross entropy."""
    student, teacher = make_inputs(2, garbage=0.5)
    value = ClipLoss(normalize=False, temperature=0.07, masked=False)(student, teacher, LENGTHS)
    a, b = student.sum(1) / 7, teacher.sum(1) / 7
    logits = torch.empty(3, 3)
    for i in range(3):
        for j in range(3):
            logits[i, j] = (a[i] * b[j]).sum() * (1 / 0.07)
    rows = -torch.stack([logits[i].log_softmax(0)[i] for i in range(3)]).mean()
    columns = -torch.stack([logits[:, i].log_softmax(0)[i] for i in range(3)]).mean()
    torch.testing.assert_close(value, (rows + columns) / 2)


def test_paper_mse_equals_the_released_formula():
    """Mean over B x T x V of the squared difference of log-softmax outputs, padding included."""
    student, teacher = (x.log_softmax(-1) for x in make_inputs(3, garbage=0.5))
    value = LOSSES["mse"](masked=False)(student, teacher, LENGTHS)
    torch.testing.assert_close(value, sum(((student - teacher) ** 2).flatten()) / student.numel())
    value = LOSSES["mae"](masked=False)(student, teacher, LENGTHS)
    torch.testing.assert_close(value, sum((student - teacher).abs().flatten()) / student.numel())


def test_kld_takes_logits_or_log_probs():
    student, teacher = make_inputs(4)
    by_logits = LOSSES["kld"]()(student, teacher, LENGTHS)
    torch.testing.assert_close(by_logits, LOSSES["kld"]()(student.log_softmax(-1), teacher.log_softmax(-1), LENGTHS))
    i, t = 1, 2  # one frame by hand
    p, q = teacher[i, t].softmax(0), student[i, t].softmax(0)
    one = LOSSES["kld"]()(student[i : i + 1, t : t + 1], teacher[i : i + 1, t : t + 1], torch.tensor([1]))
    torch.testing.assert_close(one, (p * (p / q).log()).sum())


def test_learned_temperature_gets_gradient_and_is_bounded():
    student, teacher = make_inputs(5)
    loss = ClipLoss(learn_temperature=True)
    loss(student, teacher, LENGTHS).backward()
    assert loss.log_scale.grad.abs() > 0
    with torch.no_grad():
        loss.log_scale.fill_(50.0)
    vectors = F.normalize(torch.randn(3, 1, 6), dim=-1)
    ones = torch.ones(3, dtype=torch.long)
    torch.testing.assert_close(loss(vectors, vectors, ones), ClipLoss(temperature=0.01)(vectors, vectors, ones))
    assert not list(ClipLoss().parameters())


@pytest.mark.parametrize("conf", [{"pooling": "max"}, {"temperature": 0.0}])
def test_bad_clip_options_are_refused(conf):
    with pytest.raises(ValueError, match=next(iter(conf))):
        ClipLoss(**conf)
