"""Gradients of students are clipped and checked one by one."""

import math

import pytest
import torch
from torch import nn

from espnet_ext.encrl.trainer import _MAX_SKIPPED, StudentGradients, StudentScaler
from espnet_ext.errors import UserError


class _Reporter:
    """Keeps what ESPnet's reporter would average."""

    def __init__(self):
        self.stats = {}

    def register(self, stats):
        self.stats = stats


def _gradients(norms: dict[str, float]) -> tuple[StudentGradients, nn.ModuleDict, _Reporter]:
    model = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in norms})
    for name, norm in norms.items():
        model[name].weight.grad = torch.full((1, 1), norm)
    reporter = _Reporter()
    parts, skipped = {name: [part] for name, part in model.items()}, dict.fromkeys(norms, 0)
    return StudentGradients(model, parts, skipped, max_norm=5.0, norm_type=2.0, reporter=reporter), model, reporter


def test_each_student_is_clipped_by_its_own_norm():
    clipped, model, reporter = _gradients({"big": 50.0, "small": 3.0})
    assert len(list(clipped.parameters())) == 2
    torch.testing.assert_close(model["big"].weight.grad.item(), 5.0, rtol=1e-4, atol=0)
    assert model["small"].weight.grad.item() == 3.0
    assert reporter.stats["big_grad_norm"] == 50.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradient_that_is_not_finite_stops_its_student_only(bad, caplog):
    clipped, model, _ = _gradients({"bad": bad, "good": 1.0})
    before = model["bad"].weight.clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    assert torch.isfinite(nn.utils.clip_grad_norm_(clipped.parameters(), math.inf))  # what the trainer does
    optimizer.step()
    assert torch.equal(model["bad"].weight, before) and model["good"].weight.grad.item() == 1.0
    assert "Student bad" in caplog.text


@pytest.mark.parametrize("bad", [math.nan, 4.0])
def test_a_loss_scaler_stops_no_other_student(bad):
    """In the order of ESPnet's trainer; the gradients are those of a loss that was scaled by 4."""
    clipped, model, _ = _gradients({"bad": bad, "good": 4.0})
    before = {name: part.weight.clone() for name, part in model.items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    real = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler = StudentScaler(real)
    scaler.scale(torch.zeros(()))
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(clipped.parameters(), math.inf)
    scaler.step(optimizer)
    scaler.update()
    moved = {name: (before[name] - part.weight).item() for name, part in model.items()}
    assert moved == pytest.approx({"bad": 0.0 if math.isnan(bad) else 1.0, "good": 1.0}, abs=1e-5)
    assert real.get_scale() == (2.0 if math.isnan(bad) else 4.0)


def test_student_that_never_recovers_is_an_error():
    clipped, model, _ = _gradients({"bad": math.nan, "good": 1.0})
    with pytest.raises(UserError, match=r"student bad.*learning rate"):
        for _ in range(_MAX_SKIPPED):
            model["bad"].weight.grad = torch.full((1, 1), math.nan)
            clipped.parameters()


def test_statistics_that_one_batch_has_broken_begin_anew():
    model = nn.ModuleDict({"bad": nn.BatchNorm1d(2), "good": nn.BatchNorm1d(2)})
    for name, norm in model.items():
        norm(torch.full((3, 2), math.inf if name == "bad" else 1.0)).sum().backward()
    kept = model["good"].running_mean.clone()
    parts = {name: [part] for name, part in model.items()}
    clipped = StudentGradients(model, parts, {"bad": 0, "good": 0}, max_norm=5.0, norm_type=2.0, reporter=_Reporter())
    assert not torch.isfinite(model["bad"].running_mean).any()
    clipped.parameters()
    assert torch.equal(model["bad"].running_mean, torch.zeros(2)) and torch.equal(model["good"].running_mean, kept)
