"""What the terminal shows meanwhile ends with what it shows, also where that fails."""

import threading
import time

import pytest

from espnet_ext.errors import UserError
from espnet_ext.recipe.display import Terminal
from tests.recipes.runs import recipe


def test_the_display_ends_with_a_failed_training_or_cache(tmp_path):
    """A cache step that failed left its display running, and a run with --model_nj 2 waited for it for ever."""
    before, terminal = threading.active_count(), Terminal()
    shown = (terminal.bar(tmp_path / "cache.log", print), terminal.following(tmp_path, "e1", in_place=False))
    for display in shown:
        with pytest.raises(UserError, match="no luck"), display:
            assert threading.active_count() == before + 1
            raise UserError("no luck")
        assert threading.active_count() == before


def test_epochs_and_the_need_of_a_cache_are_shown(tmp_path, capsys):
    terminal, told = Terminal(), []
    (tmp_path / "cache.log").write_text("train: 80 MiB needed, 900 MiB are free\ntrain: 10%|# | 1/10 [00:01]\n")
    with terminal.bar(tmp_path / "cache.log", told.append):
        pass
    assert told == ["train: 80 MiB needed, 900 MiB are free"]
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + 5))
    stats = (
        "[train] loss=2.5, train_time=0.1, time=1 second, total_count=3 [valid] loss=3.5, cer_ctc=0.5, time=1 second"
    )
    with terminal.following(tmp_path, "e1 scratch", in_place=False):
        (tmp_path / "train.log").write_text(
            f"[host] {now},000 (trainer:321) INFO: 1/2epoch started\n"
            f"[host] {now},000 (trainer:370) INFO: 1epoch results: {stats}\n"
        )
    assert "e1 scratch  epoch 1/2  loss train 2.5 valid 3.5  CER 50.0 %" in capsys.readouterr().out


def test_models_are_counted_with_an_estimate():
    terminal = Terminal()
    terminal.expect(3)
    assert terminal.count(1) == ", model 1 of 3"
    terminal.took(60)
    assert terminal.count(1) == ", model 2 of 3, about 2 min 0 s left"
    assert terminal.count(2) == ", model 3 of 3, about 30 s left"


def test_a_failed_step_says_why_and_where(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = recipe(tmp_path)
    with pytest.raises(
        UserError, match=rf"part failed: bad option \(exit status 2; whole log: {tmp_path}/exp/log/part.log\)"
    ):
        run.step("part", ["bash", "-c", "echo working; echo 'error: bad option' >&2; exit 2"])
    assert "working" in capsys.readouterr().out
    (tmp_path / "job.log").write_text("error: in the job\n")
    with pytest.raises(UserError, match="part failed: in the job"):
        run.step("part", ["false"], job_log=tmp_path / "job.log")
    with pytest.raises(UserError, match="part failed: argument --n: invalid int value"):
        run.step("part", ["bash", "-c", "echo 'part.py: error: argument --n: invalid int value'; exit 2"])
    trace = "Traceback (most recent call last):\\n  File x\\nespnet_ext.errors.UserError: a.pth is damaged\\n"
    with pytest.raises(UserError, match="part failed: a.pth is damaged "):  # espnet2.bin.asr_train
        run.step("part", ["bash", "-c", f"printf '{trace}' >&2; exit 1"])
    assert "Traceback" not in capsys.readouterr().out
    assert run.step("part", ["echo", "done"]) == "done\n"
