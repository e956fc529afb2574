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


def _gradients(
    norms: dict[str, float], broken: set[str] | None = None
) -> tuple[StudentGradients, nn.ModuleDict, _Reporter]:
    broken = set() if broken is None else broken
    model = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in norms})
    for name, norm in norms.items():
        model[name].weight.grad = torch.full((1, 1), norm)
    reporter = _Reporter()
    parts, skipped = {name: [part] for name, part in model.items()}, dict.fromkeys(norms, 0)
    return StudentGradients(model, parts, skipped, broken, 5.0, 2.0, reporter), model, reporter


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
    scaler = StudentScaler(real, clipped)
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
    clipped = StudentGradients(model, parts, {"bad": 0, "good": 0}, set(), 5.0, 2.0, _Reporter())
    assert not torch.isfinite(model["bad"].running_mean).any()
    clipped.parameters()
    assert torch.equal(model["bad"].running_mean, torch.zeros(2)) and torch.equal(model["good"].running_mean, kept)


def _update(model: nn.ModuleDict, clipped: StudentGradients, scaler: StudentScaler, bad: float) -> None:
    """One update in the order of ESPnet's trainer."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scaler.scale(torch.zeros(()))
    for name, part in model.items():
        part.weight.grad = torch.full((1, 1), bad if name == "bad" else scaler.get_scale())
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(clipped.parameters(), math.inf)
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("broken", [True, False])
def test_a_bad_student_does_not_take_the_loss_scale_from_the_others(broken):
    """With a loss that was not finite already the scale stays; otherwise it is lowered, but not below 1."""
    names = set()
    clipped, model, _ = _gradients({"bad": 0.0, "good": 0.0}, names)
    real = torch.amp.GradScaler("cpu", init_scale=8.0)
    scales = []
    for update in range(300):
        if broken:
            names.add("bad")
        _update(model, clipped, StudentScaler(real, clipped), 1.0 if update % 3 == 2 else math.nan)
        scales.append(real.get_scale())
        assert model["good"].weight.grad.item() == pytest.approx(1.0)  # whole, after unscaling
    assert set(scales) == ({8.0} if broken else {4.0, 2.0, 1.0})


def test_a_loss_scale_that_is_too_high_is_lowered_and_rises_again():
    clipped, model, _ = _gradients({"bad": 0.0, "good": 0.0})
    real = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    scales = []
    for bad in (math.inf, 1.0, 1.0, 1.0):
        _update(model, clipped, StudentScaler(real, clipped), bad)
        scales.append(real.get_scale())
    assert scales == [4.0, 4.0, 8.0, 8.0]
