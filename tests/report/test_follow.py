"""The display of a running training."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest

from espnet_ext.report.follow import Display, LogFollower, format_seconds

T0 = datetime(2026, 11, 21, 7, 0, 0)


def stamp(seconds, text):
    return f"[host] {(T0 + timedelta(seconds=int(seconds))).isoformat(' ')},000 (trainer:1) INFO: {text}\n"


def results(epoch, loss="4.000"):
    return (
        f"{epoch}epoch results: [train] loss={loss}, e4_loss=1.500, time=50 seconds, total_count=10, "
        f"[valid] loss=3.000, cer_ctc=0.250, e4_loss=1.000, e4_cer_ctc=0.125, time=5.1 seconds, total_count=2"
    )


def texts(follower):
    return [line for line, _ in follower.lines()]


def test_the_log_of_a_former_run_is_not_shown(tmp_path):
    log = tmp_path / "train.log"
    follower = LogFollower(log, since=T0)
    assert texts(follower) == []  # not there yet
    old = stamp(-100, "old") + "Traceback (most recent call last):\n"
    log.write_text(old)
    assert texts(follower) == []
    os.rename(log, tmp_path / "train.1.log")  # what ESPnet's launcher does
    log.write_text("# python3 -m train\n# Started at Sat Nov 21 07:00:01 UTC 2026\nfirst\n" + stamp(2, "a")[:-5])
    assert texts(follower)[1:] == ["first\n"]
    with log.open("a") as file:
        file.write(stamp(2, "a")[-5:] + "Traceback (most recent call last):\n")
    assert texts(follower) == [stamp(2, "a"), "Traceback (most recent call last):\n"]
    assert texts(follower) == []


def test_a_resumed_training_in_one_file_is_shown_from_where_it_continues(tmp_path):
    log = tmp_path / "train.log"
    log.write_text(stamp(-9, results(1)) + stamp(5, "2/4epoch started"))
    assert texts(LogFollower(log, since=T0)) == [stamp(5, "2/4epoch started")]


@pytest.fixture
def show(tmp_path, capsys):
    """Shows log lines and returns the output; times are seconds since the start."""

    def run(*lines, is_terminal=False):
        display = Display("e4 finetune", tmp_path / "train.log", is_terminal, width=lambda: 100)
        for seconds, text in lines:
            display.line(text if seconds is None else stamp(seconds, text), seconds and T0 + timedelta(seconds=seconds))
        display.close()
        return capsys.readouterr().out

    return run


def test_one_line_per_epoch(show):
    out = show(
        (1, "3/5epoch started"),
        (30, "3epoch:train:1-5batch: loss=4.1, e4_loss=1.6"),
        (56, results(3)),
        (61, "4/5epoch started. Estimated time to finish: 1 minute"),
        (120, results(4)),
    )
    first, third, fourth = out.splitlines()
    assert first == "e4 finetune  resumes after epoch 2/5"
    assert "epoch 3/5  loss train 4 valid 3  CER 25.0 %  |  e4: train 1.5 valid 1  CER 12.5 %  55 s/epoch" in third
    assert third.endswith("ETA 1 min 50 s")  # 55 s were spent between start and results, two epochs are left
    assert fourth.endswith("ETA 1 min 0 s")  # an epoch with its checkpoint took 60 s


def test_a_terminal_line_is_updated_within_the_epoch(show):
    out = show(
        (0, "[train] Batch sampler: NumElementsBatchSampler(N-batch=10, batch_bins=9)"),
        (1, "1/2epoch started"),
        (21, "1epoch:train:1-5batch: loss=4.1, e4_loss=1.6"),
        (41, "1epoch:train:6-10batch: loss=4.0, e4_loss=1.5"),
        is_terminal=True,
    )
    assert out.count("\n") == 0
    updates = out.split("\r\x1b[K")
    assert updates[1] == "e4 finetune  epoch 1/2  batch 5/10  loss 4.1  e4 1.6  ETA 1 min 0 s"
    assert updates[2].endswith("ETA 40 s") and updates[-1] == ""


def test_losses_that_are_not_finite(show, tmp_path):
    out = show((1, "1epoch:train:1-5batch: loss=nan"), (2, "1epoch:train:6-10batch: loss=inf"), (3, results(1, "nan")))
    warnings = [line for line in out.splitlines() if line.startswith("warning")]
    assert warnings == [f"warning: e4 finetune: epoch 1: loss is not finite (see {tmp_path / 'train.log'})"]
    assert "warning" not in show((1, results(1).replace("cer_ctc=0.250", "cer_ctc=0.250, loss_att=nan, acc=nan")))


def test_skipped_updates_are_counted(show):
    skipped = (2, "The grad norm is nan. Skipping updating the model.")
    assert "2 updates of epoch 1 were skipped" in show((1, "1/2epoch started"), skipped, skipped, (3, results(1)))


def test_a_traceback_becomes_one_line(show, tmp_path):
    crash = [(None, "Traceback (most recent call last):\n"), (None, '  File "x.py", line 1\n')]
    out = show((1, "x"), *crash, (None, "RuntimeError: no space\n"), *crash, (None, "ValueError: second\n"))
    assert out == f"warning: e4 finetune: the training failed: RuntimeError: no space (see {tmp_path / 'train.log'})\n"
    assert show((1, "x"), *crash).count("the training failed") == 1


@pytest.mark.parametrize("end", ["KeyboardInterrupt\n", "KeyboardInterrupt: \n"])
def test_an_interrupt_is_no_failed_training(show, end):
    """A terminal sends Ctrl-C to the trainer as well as to the run."""
    crash = [(None, "Traceback (most recent call last):\n"), (None, '  File "x.py", line 1\n'), (None, end)]
    assert show((1, "x"), *crash) == ""


def test_format_seconds():
    assert [format_seconds(value) for value in (4.4, 42, 200, 7500)] == ["4.4 s", "42 s", "3 min 20 s", "2 h 5 min"]
    assert format_seconds(float("nan")) == "-"


def test_the_command_ends_soon_with_status_0(tmp_path):
    """SIGTERM ends the display, after the last line of the log."""
    command = [sys.executable, "-m", "espnet_ext", "progress", "--exp_dir", str(tmp_path), "--name", "e4"]
    display = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        (tmp_path / "train.log").write_text(stamp(1, results(1)) + stamp(2, results(2)))
        # These lines are proof that the display is up, whatever the machine's load.
        assert [display.stdout.readline().split("  ")[1][:8] for _ in range(2)] == ["epoch 1/", "epoch 2/"]
        with (tmp_path / "train.log").open("a") as log:
            log.write(stamp(3, results(3)))
        start = time.monotonic()
        display.send_signal(signal.SIGTERM)
        out, _ = display.communicate(timeout=10)
        assert time.monotonic() - start < 3
        assert display.returncode == 0 and out.startswith("e4  epoch 3/")
    finally:
        display.kill()
        display.wait()


ENDED = "# Accounting: time=9 threads=1\n# Ended (code 0) at Sat Nov 21 07:09:00 UTC 2026, elapsed time 9 seconds\n"


@pytest.fixture
def finished(tmp_path):
    """A finished training without a launcher: its log, its checkpoint and, later, its averages."""
    log = stamp(1, "1/2epoch started") + stamp(8, results(1)) + stamp(9, "2/2epoch started") + stamp(17, results(2))
    (tmp_path / "train.log").write_text(log + stamp(18, "The best model has been updated: valid.loss"))
    (tmp_path / "checkpoint.pth").touch()
    os.utime(tmp_path / "checkpoint.pth", (1000, 1000))
    (tmp_path / "valid.loss.ave_2best.pth").touch()
    (tmp_path / "valid.loss.ave.pth").symlink_to("valid.loss.ave_2best.pth")
    return tmp_path


def progress(exp_dir, timeout=20):
    command = [sys.executable, "-m", "espnet_ext", "progress", "--exp_dir", str(exp_dir), "--name", "e4"]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize("how", ["averaged", "launcher", "failed"])
def test_a_training_that_has_ended_is_shown_at_once(finished, how):
    if how != "averaged":
        (finished / "valid.loss.ave.pth").unlink()
        code = ENDED.replace("code 0", "code 0" if how == "launcher" else "code 1")
        (finished / "train.log").write_text((finished / "train.log").read_text() + code)
    result = progress(finished)
    assert result.returncode == 0
    assert [line.split("  ")[1] for line in result.stdout.splitlines()] == [
        "epoch 1",
        "epoch 2",
        "2 epochs in 1 min 50 s",
    ]


def test_following_without_a_process_ends_with_the_training(finished):
    """Also of a training that goes on for more epochs: the averages of its first run are no end."""
    log = finished / "train.log"
    log.write_text(log.read_text() + stamp(20, "3/4epoch started") + stamp(27, results(3)))
    command = [sys.executable, "-m", "espnet_ext", "progress", "--exp_dir", str(finished), "--name", "e4"]
    display = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        first = [display.stdout.readline() for _ in range(3)]  # up, with what there is
        assert [line.split("  ")[1].split("/")[0] for line in first] == ["epoch 1", "epoch 2", "epoch 3"]
        time.sleep(1)
        assert display.poll() is None
        with log.open("a") as file:
            file.write(stamp(37, results(4)) + ENDED)
        out, _ = display.communicate(timeout=10)
        assert display.returncode == 0 and out.startswith("e4  epoch 4/")
    finally:
        display.kill()
        display.wait()


def test_an_experiment_that_is_not_there(tmp_path):
    result = progress(tmp_path / "typo")
    assert result.returncode == 2 and "typo does not exist; give the directory of a training" in result.stderr
