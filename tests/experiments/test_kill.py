"""`experiments run` on real recordings, killed with everything it started, then started again."""

import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROWS = [
    {"label": "teacher"},
    {"label": "scratch", "students": "e1", "options": {"student_source": "scratch"}},
    {"label": "EncRL", "students": "e2 e1", "model": "e1", "options": {"student_source": "encrl"}},
]
pytestmark = [pytest.mark.slow, pytest.mark.full]


@pytest.fixture
def recipe(tmp_path) -> Path:
    """A copy of mini_an4 that the matrix knows, with a table of three rows beside it."""
    if not (ROOT / "tools/espnet/egs2").exists():
        pytest.skip("needs ESPnet's recipe tree: run tools/install.sh")
    target = tmp_path / "repository/egs2/mini_an4/encrl1"
    ignore = shutil.ignore_patterns("data", "dump", "exp", "downloads", "RESULTS*")
    shutil.copytree(ROOT / "egs2/mini_an4/encrl1", target, symlinks=True, ignore=ignore)
    for name in ("egs2/TEMPLATE", "tools", "path.sh", "conf"):
        (tmp_path / "repository" / name).symlink_to(ROOT / name)
    (target / "conf/experiments.yaml").write_text("variants: {ours: {}}\n")
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/table.yaml").write_text(yaml.safe_dump({"rows": ROWS}))
    return target


def start(recipe: Path, seed: int) -> subprocess.Popen:
    matrix = recipe.parents[3] / "matrix"
    command = [sys.executable, "-m", "espnet_ext", "experiments", "run", "--matrix", matrix, "--corpus", recipe]
    options = ["--seeds", seed, "--jobs", 2, "--output_dir", recipe / "reports", "--", "--nj", 1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (recipe / "run.log").open("a") as log:
        return subprocess.Popen([*map(str, [*command, *options])], env=environment, stdout=log, stderr=log)


def kill(process: subprocess.Popen) -> None:
    """Kills a process and all that came of it, as a power failure does."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(family)
    process.wait()


def test_the_same_table_after_kills_at_different_moments(recipe):
    process = start(recipe, 1)
    for pattern in ("asr_teacher_*/1epoch.pth", "encrl_*/1epoch.pth"):
        deadline = time.monotonic() + 900
        while not list((recipe / "exp/ours_seed1").glob(pattern)):
            assert process.poll() is None and time.monotonic() < deadline, (recipe / "run.log").read_text()[-3000:]
            time.sleep(0.1)
        kill(process)
        process = start(recipe, 1)
    assert process.wait() == 0, (recipe / "run.log").read_text()[-3000:]
    with (recipe / "reports/table_ours.csv").open() as file:
        killed = list(csv.DictReader(file))

    shutil.rmtree(recipe / "exp")
    assert start(recipe, 1).wait() == 0
    with (recipe / "reports/table_ours.csv").open() as file:
        whole = list(csv.DictReader(file))
    timeless = [[{k: v for k, v in row.items() if "sec" not in k} for row in table] for table in (killed, whole)]
    assert timeless[0] == timeless[1] and len(whole) == len(ROWS)
