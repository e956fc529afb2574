"""What an experiment directory says about its training, with ESPnet's own trainer on a very small model."""

import os

import pytest

from espnet_ext.checkpoints.history import check_finite, cost, finished_epochs, is_finished
from espnet_ext.errors import UserError
from tests.checkpoints.line import train


@pytest.fixture
def trained(tmp_path):
    train(tmp_path / "exp", 2)
    return tmp_path / "exp"


def test_a_training_is_finished_once_it_has_averaged(trained, tmp_path):
    assert is_finished(trained) and not is_finished(tmp_path / "not_there")
    later = (trained / "valid.loss.ave.pth").lstat().st_mtime + 1
    os.utime(trained / "checkpoint.pth", (later, later))  # of a later epoch
    assert not is_finished(trained)
    train(trained, 3)
    assert is_finished(trained)


@pytest.mark.filterwarnings("ignore")
def test_losses_that_are_not_finite(tmp_path, trained):
    check_finite(trained)
    train(tmp_path / "nan", 2, value=float("nan"))
    with pytest.raises(UserError, match=r"loss of epoch 1 is not finite \(loss; see .*train\.log\)"):
        check_finite(tmp_path / "nan")
    with pytest.raises(UserError, match="no epoch was finished"):
        check_finite(tmp_path / "not_there")
    log = "[host] 2026-11-21 06:56:30,424 (trainer:500) WARNING: The gradients at all steps are invalid in this epoch."
    (trained / "train.log").write_text(f"{log} Something seems wrong.\n")
    with pytest.raises(UserError, match="gradients of a whole epoch"):
        check_finite(trained)


def test_a_checkpoint_that_cannot_be_read_leaves_the_logs(trained):
    assert [epoch.epoch for epoch in finished_epochs(trained)] == [1, 2]
    (trained / "checkpoint.pth").write_bytes(b"PK\3\4")
    assert finished_epochs(trained) == []


def test_the_cost_adds_up(trained):
    """Of its parts, each a mean over batches in the checkpoint, the training has at most its whole time."""
    seconds = cost(trained)
    epochs = finished_epochs(trained)
    assert seconds.keys() == {"loading data", "forward", "backward", "optimizer", "validation"}
    parts = sum(seconds.values()) - seconds["validation"]
    whole = sum(epoch.seconds["train"] for epoch in epochs)
    assert 0 < parts <= whole + 0.005  # rounded
    assert seconds["validation"] == pytest.approx(sum(epoch.seconds["valid"] for epoch in epochs), abs=0.001)
