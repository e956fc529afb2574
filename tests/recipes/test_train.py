"""One training of stage 11 (encrl_train.sh): what it leaves behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "egs2/TEMPLATE/encrl1/encrl_train.sh"
PREAMBLE = f"""
set -euo pipefail
python="{sys.executable}" ngpu=0 nj=1 model_nj=1
log() {{ echo "$*"; }}
threads_of_each() {{ echo 1; }}
step() {{ shift; "$@" || exit 3; }}
. "{SCRIPT}"
mkdir -p exp
touch exp/recipe.yaml
"""


def run(directory: Path, body: str, path: str = "") -> subprocess.CompletedProcess:
    env = {"PYTHONPATH": str(ROOT), "PATH": f"{path}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", f"{PREAMBLE}{body}"], cwd=directory, env=env, capture_output=True, text=True, timeout=120
    )


def test_waits_for_a_training_whose_run_was_killed(tmp_path):
    """It holds no lock: ESPnet's launcher closes what it inherits."""
    code = "import time; time.sleep(4)"
    left = subprocess.Popen([sys.executable, "-c", code, "--output_dir", "exp", "--other"], cwd=tmp_path)
    elsewhere = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "--output_dir", "exp"])
    done = run(tmp_path, "lock_training e1 exp; echo free")
    elsewhere.kill()
    assert done.stdout.splitlines() == [
        f"Stage 11: e1: process {left.pid} is still training in exp; waiting for its end", "free"
    ]  # fmt: skip
    assert left.poll() is not None or left.wait(timeout=1) == 0


def test_waits_for_a_job_that_the_scheduler_still_has(tmp_path):
    """The names are those in the answers of sbatch; the scheduler's own query is a stand-in: there is none here."""
    (tmp_path / "squeue").write_text('#!/bin/sh\n[ "$3" = 42 ] && [ ! -e asked ] && touch asked && echo 42 R\nexit 0\n')
    (tmp_path / "squeue").chmod(0o755)
    log = "sbatch exp/q/train.sh\nSubmitted batch job 41\nSubmitted batch job 42\n"
    done = run(
        tmp_path, f"mkdir exp/q; printf '{log}' > exp/q/train.log; lock_training e1 exp; echo free", str(tmp_path)
    )
    assert done.stdout.splitlines() == ["Stage 11: e1: job 42 is still training in exp; waiting for its end", "free"]


def test_the_display_of_progress_ends_with_a_failed_training(tmp_path):
    done = run(tmp_path, f"train e1 {tmp_path}/exp '' false")
    assert done.returncode == 3, done.stderr
    assert not (tmp_path / "exp/.trained").exists()
    for _ in range(100):
        left = subprocess.run(["pgrep", "-f", f"exp_dir {tmp_path}"], capture_output=True, text=True).stdout
        if not left:
            break
        time.sleep(0.2)
    assert left == ""


def test_no_training_starts_from_a_damaged_model(tmp_path):
    start = tmp_path / "start/model.pth"
    start.parent.mkdir()
    (start.parent / "config.yaml").write_text("encoder: conformer\n")
    torch.save({"a": torch.full((1000,), 0.5)}, start)
    done = run(tmp_path, f"train e1 {tmp_path}/exp {start} echo trains")
    assert "trains" in done.stdout, done.stderr  # and ends without a result
    content = start.read_bytes()
    half = torch.full((1,), 0.5).numpy().tobytes()
    start.write_bytes(content.replace(half * 100, bytes(400)))
    assert not torch.load(start)["a"].all()
    done = run(tmp_path, f"train e1 {tmp_path}/exp {start} echo trains")
    assert done.returncode == 2 and "model.pth is damaged" in done.stderr and "trains" not in done.stdout
