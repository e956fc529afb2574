"""The real trainer: two processes equal one; a killed run ends as one that was not."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from tests.tiny import model_conf
from tests.trainings import encrl_options, make_data

EPOCHS = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def command(data: Path, output_dir: Path, *options: str) -> list[str]:
    module = [sys.executable, "-m", "espnet_ext.encrl.train", "--output_dir", str(output_dir)]
    return [*module, *encrl_options(data, EPOCHS), *options]


def train(data: Path, output_dir: Path, *options: str) -> None:
    result = subprocess.run(command(data, output_dir, *options), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]


def history(output_dir: Path) -> dict:
    """Returns losses and learning rates of every epoch."""
    epochs = torch.load(output_dir / "checkpoint.pth")["reporter"]["stats"]
    kept = {}
    for epoch, phases in epochs.items():
        kept[epoch] = {
            (phase, key): value
            for phase, stats in phases.items()
            for key, value in stats.items()
            if key.endswith("loss") or key.startswith("optim0_lr")
        }
    return kept


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("reference") / "exp"
    train(data, output_dir)
    return output_dir


@pytest.mark.slow
def test_training_writes_what_asr_sh_expects(reference):
    config = yaml.safe_load((reference / "config.yaml").read_text())
    assert config["students"]["e1"]["encoder_conf"]["num_blocks"] == 1
    assert ["valid", "e2_loss", "min"] in [list(criterion) for criterion in config["best_model_criterion"]]
    for name in ("e2", "e1"):
        assert (reference / f"valid.{name}_loss.ave.pth").exists()
    losses = [epoch["train", "loss"] for epoch in history(reference).values()]
    assert len(losses) == EPOCHS and losses[-1] < losses[0]


@pytest.mark.slow
def test_with_a_loss_scaler(data, tmp_path):
    """As conf/encrl.yaml has it; on a CPU the scaler does nothing, but the trainer takes and keeps it."""
    train(data, tmp_path / "exp", "--use_amp", "true", "--max_epoch", "1")
    assert torch.load(tmp_path / "exp/checkpoint.pth")["scaler"] is not None
    train(data, tmp_path / "exp", "--use_amp", "true", "--max_epoch", "2")
    assert (tmp_path / "exp/2epoch.pth").exists()


@pytest.mark.slow
def test_student_ends_as_it_would_alone(data, reference, tmp_path):
    """Gradients are clipped in every update, each student's by its own norm; below Adam's epsilon, so that it shows."""
    students = f"--students e2={data}/e2.yaml e1={data}/e1.yaml".split()
    clip = ("--grad_clip", "1e-8")
    train(data, tmp_path / "both", *students, *clip)
    train(data, tmp_path / "alone", students[0], students[2], *clip)
    both, alone = (torch.load(tmp_path / f"{run}/{EPOCHS}epoch.pth") for run in ("both", "alone"))
    unclipped = torch.load(reference / f"{EPOCHS}epoch.pth")
    for key in alone:
        torch.testing.assert_close(both[key], alone[key], rtol=1e-5, atol=1e-6)
    weight = "students.e1.ctc.ctc_lo.weight"
    assert not torch.allclose(both[weight], unclipped[weight], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_two_processes_equal_one(data, reference, tmp_path):
    """Three utterances a batch over two processes: two and one, with negatives gathered. Rank 1 writes nothing."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = ["--dist_backend", "gloo", "--dist_world_size", "2", "--multiprocessing_distributed", "false"]
    options += ["--dist_master_addr", "localhost", "--dist_master_port", str(port)]
    ranks = [
        subprocess.Popen(command(data, tmp_path / rank, *options, "--dist_rank", rank), stderr=subprocess.PIPE)
        for rank in ("0", "1")
    ]
    for process in ranks:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr.decode()[-3000:]
    assert not (tmp_path / "1").exists()
    one = torch.load(reference / f"{EPOCHS}epoch.pth")
    two = torch.load(tmp_path / f"0/{EPOCHS}epoch.pth")
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.slow
def test_killed_run_ends_like_an_uninterrupted_one(data, reference, tmp_path):
    output_dir = tmp_path / "exp"
    process = subprocess.Popen(command(data, output_dir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (output_dir / "2epoch.pth").exists():
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    train(data, output_dir)
    assert history(output_dir) == history(reference)
    for name in ("valid.e2_loss.ave.pth", "valid.e1_loss.ave.pth", f"{EPOCHS}epoch.pth"):
        resumed, whole = torch.load(output_dir / name), torch.load(reference / name)
        assert all(torch.equal(resumed[key], whole[key]) for key in whole), name


@pytest.mark.slow
def test_resumed_run_draws_the_same_random_numbers(data, tmp_path):
    """Dropout, sampled frames, and negatives of earlier batches."""
    criteria = "[{loss: clip, on: encoder, conf: {queue_size: 5}}, {loss: kld, on: log_probs}, "
    criteria += "{loss: clip, on: 'layer:1/2', conf: {pooling: frame, num_frames: 4}}]"
    options = ["--criteria", criteria, "--students"]
    for name, layers in (("r2", 2), ("r1", 1)):
        (data / f"{name}.yaml").write_text(yaml.safe_dump(model_conf(layers, dropout_rate=0.3)))
        options.append(f"{name}={data}/{name}.yaml")
    train(data, tmp_path / "whole", *options, "--max_epoch", "2")
    for epochs in ("1", "2"):
        train(data, tmp_path / "resumed", *options, "--max_epoch", epochs)
    assert history(tmp_path / "resumed") == history(tmp_path / "whole")
    resumed, whole = (torch.load(tmp_path / run / "2epoch.pth") for run in ("resumed", "whole"))
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


@pytest.mark.slow
def test_criteria_that_are_no_yaml_are_one_line(data, tmp_path):
    result = subprocess.run(command(data, tmp_path / "exp", "--criteria", "[{loss:"), capture_output=True, text=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "argument --criteria: '[{loss:' is not YAML" in result.stderr.rstrip().splitlines()[-1]


@pytest.mark.slow
def test_bad_input_is_one_line(data, tmp_path):
    result = subprocess.run(
        command(data, tmp_path / "exp", "--criteria", "[{loss: mse, on: logprobs}]"), capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.rstrip().splitlines()[-1] == (
        "error: criteria[0]: unknown output 'logprobs'; did you mean 'log_probs'? or layer:A/B"
    )
