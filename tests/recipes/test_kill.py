"""mini_an4 killed at random moments with everything it started, then run again: the same table, nothing to clean up."""

import csv
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.recipes.corpora import REPO, copy_recipe
from tests.recipes.tiny_conf import write_tiny_conf

KILLS = int(os.environ.get("ENCRL_TEST_KILLS", "30"))
SEED = 0
OPTIONS = ("--conf_dir", "conf/tiny", "--students", "e1", "--student_source", "encrl scratch", "--stop_stage", "13")
pytestmark = [pytest.mark.slow, pytest.mark.full]


def start(recipe: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    with (recipe / "run.log").open("a") as log:
        return subprocess.Popen(
            ["./run.sh", *OPTIONS], cwd=recipe, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def table(recipe: Path) -> list[dict[str, str]]:
    """Returns the numbers of the table that depend on nothing but the run."""
    with (recipe / "RESULTS_run.csv").open() as file:
        return [{key: value for key, value in row.items() if "sec" not in key} for row in csv.DictReader(file)]


def test_the_same_table_after_kills_at_random_moments(tmp_path):
    if not (REPO / "tools/espnet/egs2").exists():
        pytest.skip("needs ESPnet's recipe tree: run tools/install.sh")
    recipe = copy_recipe("mini_an4", tmp_path)
    write_tiny_conf(recipe / "conf/tiny", "conformer")
    began = time.monotonic()
    assert start(recipe).wait() == 0, (recipe / "run.log").read_text()[-3000:]
    whole_sec, whole = time.monotonic() - began, table(recipe)
    draw, kills = random.Random(SEED), 0
    while kills < KILLS:
        # Short enough that a run is hit several times, long enough that it gets on
        for made in ("data", "dump", "exp", "RESULTS_run.csv"):
            path = recipe / made
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        while kills < KILLS:
            process = start(recipe)
            try:
                process.wait(draw.uniform(0, whole_sec / 4))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                continue
            assert process.returncode == 0, (recipe / "run.log").read_text()[-3000:]
            break
        assert start(recipe).wait() == 0, (recipe / "run.log").read_text()[-3000:]
        assert table(recipe) == whole
