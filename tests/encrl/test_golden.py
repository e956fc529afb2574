"""Four updates of a tiny fixed run: whatever changes a loss, a student or the order of random numbers shows here."""

from pathlib import Path

import pytest
import torch

from espnet_ext.config import read_config
from tests.encrl.test_model import build, run
from tests.tiny import make_batch, model_conf, save_experiment

ROOT = Path(__file__).parents[2]
# By this very test, of PyTorch 2.11 on a CPU. A change of the method that is meant to change them replaces them.
GOLDEN = {
    "e2_clip": [5.67117, 4.69768, 4.08899, 3.92914],
    "e2_kld": [0.254865, 0.159917, 0.139480, 0.0992793],
    "n1_clip": [5.09394, 4.33296, 4.59486, 4.26012],
    "n1_kld": [0.402092, 0.383094, 0.368008, 0.330591],
}


def test_losses_of_four_updates(tmp_path):
    teacher = save_experiment(tmp_path / "teacher", **model_conf(4))
    criteria = read_config(ROOT / "conf/encrl.yaml")["criteria"]
    model = build(teacher, criteria, {"e2": model_conf(2), "n1": model_conf(1, output_size=4)})
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.01)
    losses = {f"{name}_{key}": [] for name in ("e2", "n1") for key in ("clip", "kld")}
    for step in range(4):
        torch.manual_seed(step)
        loss, stats, _ = run(model.train(), make_batch(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for key, values in losses.items():
            values.append(stats[key].item())
    assert losses.keys() == GOLDEN.keys()
    for key, values in losses.items():
        assert values == pytest.approx(GOLDEN[key], rel=1e-3), key
