"""A run of a recipe as a command."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes.runs import WORDS
from tests.recipes.stages import TEMPLATE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_that_the_same_command_continues(tmp_path: Path, number: int):
    """Whatever the run is at; here it waits for another one."""
    if not TEMPLATE.exists():
        pytest.skip("needs ESPnet's recipe tree: run tools/install.sh")
    for name in ("asr.sh", "cmd.sh"):
        (tmp_path / name).symlink_to(TEMPLATE / name)
    model = tmp_path / "exp/asr_e6_scratch_raw_en_char/valid.cer_ctc.ave.pth"
    for path in (model, tmp_path / "dump/.lock"):
        path.parent.mkdir(parents=True)
        path.touch()
    words = "--stage 14 --stop_stage 14 --skip_export false --students e6 --student_source scratch".split()
    with (tmp_path / "dump/.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = subprocess.Popen(
            [sys.executable, "-m", "espnet_ext", "run", *WORDS, *words], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip
        assert run.stdout is not None and "waiting for it" in run.stdout.readline()
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130 and said == "\nStopped. What is finished is kept; the same command continues.\n"
