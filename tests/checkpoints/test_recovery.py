"""Recovery after a kill, with ESPnet's own trainer on a very small model."""

import argparse
import dataclasses
import os
import shutil

import pytest
import torch
import yaml
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.train.abs_espnet_model import AbsESPnetModel
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.trainer import Trainer, TrainerOptions

from espnet_ext.checkpoints.recovery import check_averaged, check_finite, is_finished, keep_previous, recover
from espnet_ext.errors import UserError

CRITERIA = [["valid", "loss", "min"]]


class Line(AbsESPnetModel):
    """Fits y = 2 x with one weight."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, x, utt_id):
        loss = (self.linear(x) - 2 * x).square().mean()
        return loss, {"loss": loss.detach()}, torch.tensor(len(utt_id))

    def collect_feats(self, **batch):
        raise NotImplementedError


class Batches(AbsIterFactory):
    """Three batches of two utterances, the same in every epoch."""

    def __init__(self, value):
        self.value = value

    def build_iter(self, epoch, shuffle=None):
        return [(["a", "b"], {"x": torch.tensor([[1.0], [self.value + n]])}) for n in range(3)]


def train(exp_dir, max_epoch, value=1.0, keep=2):
    """Runs or resumes a training; writes config.yaml as ESPnet's task does."""
    exp_dir.mkdir(exist_ok=True)
    config = {"best_model_criterion": CRITERIA, "keep_nbest_models": keep, "max_epoch": max_epoch}
    (exp_dir / "config.yaml").write_text(yaml.safe_dump(config))
    defaults = {"float": 0.0, "bool": False, "int": 0, "str": ""}
    options = {f.name: defaults.get(getattr(f.type, "__name__", "")) for f in dataclasses.fields(TrainerOptions)}
    options |= config | {
        "resume": True, "accum_grad": 1, "grad_clip": 5.0, "grad_clip_type": 2.0, "train_dtype": "float32", "seed": 0,
        "output_dir": exp_dir, "early_stopping_criterion": CRITERIA[0], "val_scheduler_criterion": CRITERIA[0][:2],
    }  # fmt: skip
    torch.manual_seed(0)
    model = Line()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    Trainer.run(
        model=model, optimizers=[optimizer], schedulers=[None], train_iter_factory=Batches(value),
        valid_iter_factory=Batches(value), plot_attention_iter_factory=None,
        trainer_options=Trainer.build_options(argparse.Namespace(**options)), distributed_option=DistributedOption(),
    )  # fmt: skip


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def weights(exp_dir, name):
    return torch.load(exp_dir / name, weights_only=True)


def assert_same_model(one, other):
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def run_recover(exp_dir):
    lines = []
    return recover(exp_dir, lines.append), lines


@pytest.fixture
def uninterrupted(tmp_path):
    train(tmp_path / "reference", 4)
    return tmp_path / "reference"


@pytest.fixture
def trained(tmp_path):
    """Two finished epochs of a longer training, as a kill in the third leaves them."""
    train(tmp_path / "exp", 2)
    for path in (tmp_path / "exp").glob("*.ave*"):
        path.unlink()
    return tmp_path / "exp"


def test_nothing_to_do(tmp_path, trained):
    assert run_recover(tmp_path / "not_there") == (0, [])
    before = {path.name: path.lstat().st_mtime_ns for path in trained.iterdir()}
    assert run_recover(trained) == (2, [])
    assert before == {path.name: path.lstat().st_mtime_ns for path in trained.iterdir()}


def test_killed_while_the_checkpoint_was_written(trained, uninterrupted):
    assert keep_previous(trained)
    train(trained, 3)
    for path in trained.glob("*.ave*"):
        path.unlink()
    truncate(trained / "checkpoint.pth")
    with pytest.raises(Exception, match=r"zip|checkpoint"):
        train(trained, 4)  # what happens without recovery

    epoch, lines = run_recover(trained)
    assert epoch == 2 and not (trained / "3epoch.pth").exists()
    assert "training continues with epoch 3" in lines[0]
    train(trained, 4)
    for name in ("4epoch.pth", "valid.loss.ave.pth"):
        assert_same_model(weights(trained, name), weights(uninterrupted, name))


def test_killed_between_checkpoint_and_epoch_model(trained, uninterrupted):
    for broken in (truncate, os.unlink):
        exp_dir = trained.with_name(f"exp_{broken.__name__}")
        shutil.copytree(trained, exp_dir, symlinks=True)
        broken(exp_dir / "2epoch.pth")
        epoch, lines = run_recover(exp_dir)
        assert epoch == 2 and any("wrote" in line and "2epoch.pth" in line for line in lines)
        assert_same_model(weights(exp_dir, "2epoch.pth"), weights(trained, "2epoch.pth"))
        train(exp_dir, 4)
        assert_same_model(weights(exp_dir, "valid.loss.ave.pth"), weights(uninterrupted, "valid.loss.ave.pth"))


def test_without_an_earlier_checkpoint_training_restarts(trained, uninterrupted):
    truncate(trained / "checkpoint.pth")
    epoch, lines = run_recover(trained)
    assert epoch == 0 and "restarts from epoch 1" in lines[0]
    assert (trained / "checkpoint.pth.corrupt").exists() and not (trained / "checkpoint.pth").exists()
    train(trained, 4)
    assert_same_model(weights(trained, "4epoch.pth"), weights(uninterrupted, "4epoch.pth"))


def test_a_broken_copy_is_not_restored(trained):
    keep_previous(trained)
    truncate(trained / "checkpoint.prev.pth")
    truncate(trained / "checkpoint.pth")
    epoch, _ = run_recover(trained)
    assert epoch == 0 and not (trained / "checkpoint.prev.pth").exists()


@pytest.mark.parametrize("size", [0, 3, 2000, 5000, 30000, 69000, 100000])
def test_a_model_cut_anywhere_is_written_again(tmp_path, size):
    """What torch raises depends on where a file ends: between 4 and 70 kB it is an OSError."""
    train(tmp_path, 1)
    state = torch.load(tmp_path / "checkpoint.pth")
    state["model"] = {f"weight{i}": torch.zeros(50) for i in range(400)}
    torch.save(state, tmp_path / "checkpoint.pth")
    model = tmp_path / "1epoch.pth"
    torch.save(state["model"], model)
    assert model.stat().st_size > size
    os.truncate(model, size)
    epoch, lines = run_recover(tmp_path)
    assert epoch == 1 and any(f"removed {model}" in line for line in lines)
    assert torch.load(model).keys() == state["model"].keys()


def test_a_lost_model_of_an_earlier_epoch_does_not_stop_the_averaging(tmp_path):
    exp_dir = tmp_path / "exp"
    train(exp_dir, 3, keep=4)
    truncate(exp_dir / "2epoch.pth")
    shutil.copytree(exp_dir, tmp_path / "without", symlinks=True)
    with pytest.raises(Exception, match=r"zip|2epoch"):
        train(tmp_path / "without", 4, keep=3)

    epoch, lines = run_recover(exp_dir)
    assert epoch == 3 and any("2epoch.pth cannot be restored" in line for line in lines)
    train(exp_dir, 4, keep=3)
    ranked = [weights(exp_dir, f"{epoch}epoch.pth") for epoch in (1, 3, 4)]
    expected = {key: sum(model[key] for model in ranked) / 3 for key in ranked[0]}
    average = weights(exp_dir, "valid.loss.ave.pth")
    assert all(torch.allclose(average[key], expected[key]) for key in expected)


def test_links_are_mended(trained):
    expected = {name: os.readlink(trained / name) for name in ("latest.pth", "valid.loss.best.pth")}
    (trained / "latest.pth").unlink()
    (trained / "latest.pth").symlink_to("1epoch.pth")
    (trained / "valid.loss.best.pth").unlink()
    (trained / "train.loss.best.pth").symlink_to("99epoch.pth")
    run_recover(trained)
    assert {name: os.readlink(trained / name) for name in expected} == expected
    assert not (trained / "train.loss.best.pth").is_symlink()


def test_a_half_written_average_is_removed(tmp_path):
    train(tmp_path / "exp", 2)
    truncate(tmp_path / "exp" / "valid.loss.ave_2best.pth")
    run_recover(tmp_path / "exp")
    assert not list((tmp_path / "exp").glob("*.ave*"))
    train(tmp_path / "exp", 2)  # averages again
    assert weights(tmp_path / "exp", "valid.loss.ave.pth")


def test_an_intact_checkpoint_of_an_older_espnet_is_not_touched(trained):
    state = torch.load(trained / "checkpoint.pth", weights_only=True)
    torch.save(state | {"reporter": argparse.Namespace()}, trained / "checkpoint.pth")
    before = (trained / "checkpoint.pth").read_bytes()
    with pytest.raises(UserError, match=r"checkpoint\.pth: intact, but .* older version"):
        recover(trained)
    assert (trained / "checkpoint.pth").read_bytes() == before


def test_only_a_complete_checkpoint_is_kept(trained):
    assert not keep_previous(trained, cancelled=lambda: True)
    assert not (trained / "checkpoint.prev.pth").exists()
    assert keep_previous(trained)
    good = (trained / "checkpoint.prev.pth").read_bytes()
    assert good == (trained / "checkpoint.pth").read_bytes()
    truncate(trained / "checkpoint.pth")
    assert not keep_previous(trained)
    assert (trained / "checkpoint.prev.pth").read_bytes() == good
    assert not list(trained.glob(".recovery_tmp*"))
    assert not keep_previous(trained / "not_there")


def test_a_checkpoint_that_changes_during_the_copy_is_not_kept(trained):
    def next_epoch_is_saved():
        state = torch.load(trained / "checkpoint.pth", weights_only=True)
        torch.save(state, trained / "checkpoint.pth")
        return False

    assert not keep_previous(trained, cancelled=next_epoch_is_saved)
    assert not (trained / "checkpoint.prev.pth").exists()


def test_the_copy_goes_when_the_training_has_finished(trained):
    keep_previous(trained)
    assert not is_finished(trained)
    run_recover(trained)
    assert (trained / "checkpoint.prev.pth").exists()
    train(trained, 3)
    assert is_finished(trained)
    run_recover(trained)
    assert not (trained / "checkpoint.prev.pth").exists()


@pytest.mark.filterwarnings("ignore")
def test_losses_that_are_not_finite(tmp_path, trained, capsys):
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


def test_a_damaged_checkpoint_is_not_resumed_from(trained, uninterrupted):
    """A block of zeros: torch.load takes it for weights."""
    assert keep_previous(trained)
    train(trained, 3)
    for path in trained.glob("*.ave*"):
        path.unlink()
    damage_tensor(trained / "checkpoint.pth")
    torch.load(trained / "checkpoint.pth")  # finds nothing
    epoch, lines = run_recover(trained)
    assert epoch == 2 and "checkpoint.pth is damaged (" in lines[0] and "training continues with epoch 3" in lines[0]
    train(trained, 4)
    for name in ("4epoch.pth", "valid.loss.ave.pth"):
        assert_same_model(weights(trained, name), weights(uninterrupted, name))


def test_without_an_earlier_one_a_damaged_checkpoint_is_put_aside(trained, uninterrupted):
    damage_tensor(trained / "checkpoint.pth")
    epoch, lines = run_recover(trained)
    assert epoch == 0 and "is damaged" in lines[0] and (trained / "checkpoint.pth.corrupt").is_file()
    train(trained, 4)
    assert_same_model(weights(trained, "4epoch.pth"), weights(uninterrupted, "4epoch.pth"))


def test_a_damaged_model_of_an_epoch_is_not_averaged(tmp_path):
    train(tmp_path, 3, keep=4)
    damage_tensor(tmp_path / "2epoch.pth")
    epoch, lines = run_recover(tmp_path)
    assert epoch == 3 and any("2epoch.pth: it was damaged" in line for line in lines)
    train(tmp_path, 4, keep=3)
    ranked = [weights(tmp_path, f"{epoch}epoch.pth") for epoch in (1, 3, 4)]
    expected = {key: sum(model[key] for model in ranked) / 3 for key in ranked[0]}
    average = weights(tmp_path, "valid.loss.ave.pth")
    assert all(torch.allclose(average[key], expected[key]) for key in expected)


def test_a_damaged_model_of_the_last_epoch_is_written_again(trained, uninterrupted):
    expected = weights(trained, "2epoch.pth")
    damage_tensor(trained / "2epoch.pth")
    assert run_recover(trained)[0] == 2
    assert_same_model(weights(trained, "2epoch.pth"), expected)


def test_damage_until_the_end_of_a_training_is_found(tmp_path):
    """What was averaged, after the training and before anything is made of it; a second run mends it."""
    train(tmp_path, 3, keep=3)
    good = weights(tmp_path, "valid.loss.ave.pth")
    check_averaged(tmp_path)
    damage_tensor(tmp_path / "3epoch.pth")
    train(tmp_path, 3, keep=3)  # averages again, of wrong weights, without a word
    assert not torch.equal(weights(tmp_path, "valid.loss.ave.pth")["linear.weight"], good["linear.weight"])
    with pytest.raises(UserError, match=r"3epoch\.pth is damaged: .* run again: it is left out"):
        check_averaged(tmp_path)
    run_recover(tmp_path)
    train(tmp_path, 3, keep=3)
    check_averaged(tmp_path)
    assert_same_model(weights(tmp_path, "valid.loss.ave.pth"), good)


def test_a_damaged_copy_does_not_replace_a_good_one(trained):
    assert keep_previous(trained)
    good = (trained / "checkpoint.prev.pth").read_bytes()
    damage_tensor(trained / "checkpoint.pth")
    assert not keep_previous(trained)
    assert (trained / "checkpoint.prev.pth").read_bytes() == good and not list(trained.glob(".recovery_tmp*"))


@pytest.mark.parametrize("name", ["checkpoint.pth", "1epoch.pth", "2epoch.pth"])
def test_a_pointer_of_git_lfs_is_not_taken_for_a_broken_file(trained, name):
    """Of a cloned experiment directory: nothing is removed, and no training starts anew."""
    keep_previous(trained)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (trained / name).write_text(pointer)
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(UserError, match=rf"{name} is a git-lfs pointer.*git lfs pull"):
        recover(trained)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def damage_tensor(path):
    """Zeroes the model's tensors in a file of torch.save, as a failing disk does; it stays as long."""
    content = path.read_bytes()
    state = torch.load(path, weights_only=True)
    tensors = [value.numpy().tobytes() for value in state.get("model", state).values()]
    for value in tensors:
        assert len(value) == 4 and content.count(value)
        content = content.replace(value, bytes(4))
    path.write_bytes(content)
