"""One training of stage 11 (encrl_train.sh): what it leaves behind."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "egs2/TEMPLATE/encrl1/encrl_train.sh"
PREAMBLE = f"""
set -euo pipefail
python="{sys.executable}" ngpu=0 nj=1 model_nj=1
log() {{ echo "$*"; }}
threads_of_each() {{ echo 1; }}
step() {{ shift; "$@" || exit 3; }}
. "{SCRIPT}"
mkdir exp
touch exp/recipe.yaml
"""


def test_the_display_of_progress_ends_with_a_failed_training(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{PREAMBLE}train e1 {tmp_path}/exp '' false"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert not (tmp_path / "exp/.trained").exists()
    for _ in range(100):
        left = subprocess.run(["pgrep", "-f", f"exp_dir {tmp_path}"], capture_output=True, text=True).stdout
        if not left:
            break
        time.sleep(0.2)
    assert left == ""
