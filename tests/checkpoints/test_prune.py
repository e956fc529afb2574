"""One-shot pruning: which tensors, how much of each, and that finetuning keeps the zeros."""

import pytest
import torch
import yaml

from espnet_ext.checkpoints.find import read_state_dict
from espnet_ext.checkpoints.prune import prune
from espnet_ext.cli import derive as derive_verb
from espnet_ext.encoder.layers import PARTS
from espnet_ext.encrl.init import keep_zeros
from espnet_ext.errors import UserError
from tests.tiny import model_conf, save_experiment

ENCODERS = {
    "conformer": model_conf(2),
    "torchaudio_conformer": model_conf(2)
    | {
        "encoder": "torchaudio_conformer",
        "encoder_conf": {"output_size": 8, "attention_heads": 2, "linear_units": 16, "num_blocks": 2},
    },
}


@pytest.fixture(scope="module", params=ENCODERS)
def exp_dir(request, tmp_path_factory):
    return save_experiment(tmp_path_factory.mktemp("exp") / request.param, **ENCODERS[request.param])


def zeros(state, key):
    return int((state[key] == 0).sum())


def test_the_smallest_weights_of_each_tensor_go(exp_dir):
    state = read_state_dict(exp_dir / "valid.cer_ctc.ave.pth")
    pruned, share = prune(state, 0.25, PARTS)
    changed = [key for key in state if not torch.equal(state[key], pruned[key])]
    for key in changed:
        assert zeros(pruned, key) == round(0.25 * state[key].numel()), key
        gone = pruned[key] == 0
        assert state[key][gone].abs().max() <= state[key][~gone].abs().min()
    assert all(state[key].dim() > 1 for key in changed)
    for part in ("ffn1" if "torchaudio" in str(exp_dir) else "feed_forward", "self_attn", "conv_module"):
        assert any(part in key for key in changed), part
    assert not any(key.startswith(("ctc", "encoder.embed", "normalize")) for key in changed)
    assert 0 < share < 0.25


def test_chosen_modules_only_and_biases_as_released(exp_dir):
    state = read_state_dict(exp_dir / "valid.cer_ctc.ave.pth")
    pruned, _ = prune(state, 0.25, ["self_attn"], weights_only=False)
    changed = [key for key in state if not torch.equal(state[key], pruned[key])]
    assert changed and all("attn" in key for key in changed)
    _, more = prune(state, 0.25, PARTS, weights_only=False)
    assert more > prune(state, 0.25, PARTS)[1]


@pytest.mark.parametrize(
    ("amount", "groups", "message"),
    [(1.5, ["conv"], "--amount 1.5"), (0.1, ["convv"], "did you mean 'conv'")],
)
def test_bad_options_are_named(exp_dir, amount, groups, message):
    with pytest.raises(UserError, match=message):
        prune(read_state_dict(exp_dir / "valid.cer_ctc.ave.pth"), amount, groups)


def test_a_group_that_the_model_lacks_is_named():
    with pytest.raises(UserError, match="no layer of this model has such a module"):
        prune({"encoder.encoders.0.feed_forward.w_1.weight": torch.randn(2, 2)}, 0.5, ["conv"])


def test_the_command_writes_a_model_that_loads(exp_dir, tmp_path, capsys):
    target = tmp_path / "pruned"
    derive_verb.main(["pruned", "--source", str(exp_dir), "--amount", "0.5", "--output_dir", str(target)])
    assert "% of the parameters are zero" in capsys.readouterr().out
    config = yaml.safe_load((target / "config.yaml").read_text())
    assert config["encoder"] == yaml.safe_load((exp_dir / "config.yaml").read_text())["encoder"]
    assert read_state_dict(target / "model.pth").keys() == read_state_dict(exp_dir / "valid.cer_ctc.ave.pth").keys()


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_zeros_stay_in_training(optimizer):
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 5)
    with torch.no_grad():
        model.weight[model.weight.abs() < 0.2] = 0
    dead = model.weight == 0
    assert keep_zeros(model) == int(dead.sum()) > 0
    before = model.weight.detach().clone()
    steps = optimizer(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(5):
        steps.zero_grad()
        model(torch.randn(4, 6)).square().sum().backward()
        steps.step()
    assert (model.weight[dead] == 0).all()
    assert (model.weight[~dead] != before[~dead]).all()
