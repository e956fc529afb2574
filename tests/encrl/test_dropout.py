"""The quick dropout drops as often as asked, scales what stays, and leaves a model otherwise as it was."""

import pytest
import torch
from torch import nn

from espnet_ext.encrl.dropout import quicken_dropout


def dropout(p: float) -> nn.Module:
    module = nn.Sequential(nn.Dropout(p))
    quicken_dropout(module)
    return module


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_scale_and_gradient(p: float):
    torch.manual_seed(0)
    x = torch.ones(3, 333, 1001, requires_grad=True)  # no multiple of four
    y = dropout(p)(x)
    kept = y != 0
    # five standard deviations of the share
    assert (1 - kept.float().mean()).item() == pytest.approx(p, abs=5 * (p * (1 - p) / x.numel()) ** 0.5)
    torch.testing.assert_close(y[kept].unique(), torch.tensor([1 / (1 - p)]), rtol=1e-4, atol=0)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_values_are_dropped_independently():
    torch.manual_seed(0)
    kept = (dropout(0.5)(torch.ones(1 << 20)) != 0).float() - 0.5
    for lag in (1, 2, 3, 4, 1 << 10):
        assert abs((kept[lag:] * kept[:-lag]).mean().item()) < 5 * 0.25 / (1 << 10)


def test_same_seed_same_mask_and_another_call_another_mask():
    module, x = dropout(0.3), torch.ones(1000)
    torch.manual_seed(1)
    first, second = module(x), module(x)
    torch.manual_seed(1)
    torch.testing.assert_close(module(x), first, rtol=0, atol=0)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_extremes(p: float):
    x = torch.randn(10)
    torch.testing.assert_close(dropout(p)(x), x if p == 0 else torch.zeros(10))


def test_evaluation_and_weights_are_untouched():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.2)))
    before = model.state_dict()
    quicken_dropout(model)
    assert model.state_dict().keys() == before.keys()
    x = torch.randn(2, 4)
    torch.testing.assert_close(model.eval()(x), model[0](x))


def test_double_and_empty_inputs():
    assert dropout(0.5)(torch.ones(8, dtype=torch.double)).dtype == torch.double
    assert dropout(0.5)(torch.ones(0, 3)).shape == (0, 3)
