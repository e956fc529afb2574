"""Whatever change of a file ESPnet's trainer is killed before, the resumed training ends as one that was not killed."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espnet_ext.checkpoints.saving import SavingTorch, save_whole
from espnet_ext.errors import UserError
from tests.checkpoints.line import train
from tests.trainings import encrl_options, make_data, options

REPO = Path(__file__).parents[2]


def weights(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def assert_same_model(one: dict, other: dict) -> None:
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def untimed(reporter: dict) -> dict:
    """Returns the statistics of epochs without what clocks measured."""
    return {
        (epoch, phase, key): repr(value)  # nan is nan
        for epoch, phases in reporter["stats"].items()
        for phase, stats in phases.items()
        for key, value in stats.items()
        if "time" not in key
    }


def assert_same_training(killed: Path, whole: Path) -> None:
    """Compares all that is left: names, links, weights, what the next epoch would start from."""
    names = {path.name for path in whole.iterdir()}
    left = {path.name for path in killed.iterdir()}
    # Killed between the last checkpoint and the removal of a model that is no longer among the best.
    assert names <= left and all(name.endswith("epoch.pth") for name in left - names), sorted(left ^ names)
    for path in whole.glob("*.pth"):
        other = killed / path.name
        if path.is_symlink():
            assert os.readlink(other) == os.readlink(path), path.name
        elif path.name != "checkpoint.pth":
            assert_same_model(weights(other), weights(path))
    one, two = weights(killed / "checkpoint.pth"), weights(whole / "checkpoint.pth")
    assert_same_model(one["model"], two["model"])
    assert untimed(one["reporter"]) == untimed(two["reporter"])
    torch.testing.assert_close(one["optimizers"], two["optimizers"], rtol=0, atol=0)
    assert one["schedulers"] == two["schedulers"]


def assert_survives_kills(root: Path, function: str, *words: str) -> None:
    command = [sys.executable, "-m", "tests.checkpoints.kill_points", str(root), function, *words]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    kills = int(done.stdout.splitlines()[-1])
    assert kills > 20
    for number in range(1, kills + 1):
        try:
            assert_same_training(root / str(number), root / "whole")
        except AssertionError as error:
            raise AssertionError(f"killed before change {number} of {kills}: {error}") from error


@pytest.mark.slow
def test_killed_anywhere(tmp_path):
    assert_survives_kills(tmp_path, "tests.checkpoints.line:main")


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("function", ["espnet2.bin.asr_train:main", "espnet_ext.encrl.task:EncRLTask.main"])
def test_real_trainings_killed_anywhere(tmp_path, function):
    data = tmp_path / "data"
    data.mkdir()
    make_data(data)
    given = options(data, 2) + ["--config", f"{data}/e1.yaml"] if "asr" in function else encrl_options(data, 2)
    assert_survives_kills(tmp_path / "trainings", function, *given)


def test_a_checkpoint_comes_after_the_model_of_its_epoch(tmp_path):
    saving = SavingTorch(torch)
    saving.save({"epoch": 1}, tmp_path / "checkpoint.pth")
    assert not list(tmp_path.iterdir())
    saving.save({"weight": torch.ones(1)}, tmp_path / "1epoch.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1epoch.pth", "checkpoint.pth"]
    assert weights(tmp_path / "checkpoint.pth") == {"epoch": 1}


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_full_disk_leaves_what_was_there(tmp_path, size):
    path = tmp_path / "1epoch.pth"
    save_whole({"weight": torch.ones(1)}, path)
    (tmp_path / ".1epoch.pth.new").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"1epoch\.pth cannot be written: No space left on device; make room"):
        save_whole({"weight": torch.zeros(size)}, path)
    assert weights(path) == {"weight": torch.ones(1)} and os.listdir(tmp_path) == ["1epoch.pth"]


def test_a_disk_that_fills_up_in_the_middle_of_a_file(tmp_path):
    """The system refuses more than 100 kB; torch then says only that its position is unexpected."""
    code = f"""
import resource, torch
from pathlib import Path
from espnet_ext.checkpoints.saving import save_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
save_whole({{"weight": torch.zeros(1_000_000)}}, Path({str(tmp_path / "checkpoint.pth")!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert "checkpoint.pth cannot be written: File too large" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.fixture
def trained(tmp_path):
    """Three finished epochs."""
    train(tmp_path / "exp", 3, keep=3)
    return tmp_path / "exp"


def damage_tensor(path: Path) -> None:
    """Zeroes the model's tensors in a file of torch.save, as a failing disk does; it stays as long."""
    content = path.read_bytes()
    state = weights(path)
    for value in state.get("model", state).values():
        assert content.count(value.numpy().tobytes())
        content = content.replace(value.numpy().tobytes(), bytes(4))
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def leave_a_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def save_as_an_older_espnet(path: Path) -> None:
    torch.save(weights(path) | {"reporter": argparse.Namespace()}, path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damage_tensor, "is damaged: .* does not have the sum"),  # torch.load takes the zeros for weights
        (truncate, "is empty or cut off"),
        (leave_a_pointer, "is a git-lfs pointer.*git lfs pull"),
        (save_as_an_older_espnet, "intact, but .* older version"),
    ],
)
def test_no_training_goes_on_from_a_bad_checkpoint(trained, spoil, reason):
    spoil(trained / "checkpoint.pth")
    before = {path.name: path.read_bytes() for path in trained.glob("*.pth")}
    with pytest.raises(UserError, match=rf"cannot go on: .*checkpoint\.pth.*{reason}.*or delete .*exp to train anew"):
        train(trained, 4, keep=3)
    assert {path.name: path.read_bytes() for path in trained.glob("*.pth")} == before


@pytest.mark.parametrize("spoil", [damage_tensor, truncate, os.unlink])
@pytest.mark.parametrize("epoch", [2, 4])
def test_a_bad_model_is_not_averaged(trained, spoil, epoch, caplog):
    """Another one is, and the log says it as an error, which the terminal shows."""
    train(trained, 4, keep=4)
    spoil(trained / f"{epoch}epoch.pth")
    train(trained, 4, keep=3)  # only averages
    left = [weights(trained / f"{number}epoch.pth") for number in {1, 2, 3, 4} - {epoch}]
    average = weights(trained / "valid.loss.ave_3best.pth")
    for key, value in average.items():
        torch.testing.assert_close(value, sum(model[key] for model in left) / 3)
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1 and f"left out of the averages: checkpoint {trained}/{epoch}epoch.pth" in errors[0]
    assert os.readlink(trained / "latest.pth") == ("3epoch.pth" if epoch == 4 else "4epoch.pth")
    assert (trained / "valid.loss.best.pth").exists()


def test_without_any_model_there_is_no_average(trained):
    for path in trained.glob("?epoch.pth"):
        truncate(path)
    with pytest.raises(UserError, match="no model of an epoch is left; delete the directory"):
        train(trained, 3, keep=3)
