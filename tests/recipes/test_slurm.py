"""mini_an4's trainings as jobs of a real Slurm, of which the run that submitted them is killed."""

import csv
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recipes.corpora import REPO, copy_recipe
from tests.recipes.slurm import NoSlurmError, control, jobs, missing_programs, running_slurm
from tests.recipes.stages import TEMPLATE
from tests.recipes.tiny_conf import write_tiny_conf

OPTIONS = ("--conf_dir", "conf/tiny", "--students", "e1", "--student_source", "encrl scratch", "--model_nj", "2")
STARTED: list[subprocess.Popen] = []
pytestmark = [pytest.mark.slow, pytest.mark.full]


@pytest.fixture
def slurm(tmp_path):
    """A node with one CPU: of two jobs one waits."""
    if missing := missing_programs():
        pytest.skip(f"no Slurm: {', '.join(missing)} not found (Debian: apt-get install slurm-wlm munge)")
    try:
        with running_slurm(tmp_path / "slurm", cpus=1) as environment:
            yield environment
    except NoSlurmError as error:
        pytest.skip(f"Slurm does not start here:\n{error}")


@pytest.fixture(autouse=True)
def started():
    """Ends what a failed test leaves running."""
    yield STARTED
    for process in STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def start(recipe: Path, environment: dict[str, str], *options: str) -> tuple[subprocess.Popen, Path]:
    log = recipe / "run.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            ["./run.sh", *OPTIONS, *options], cwd=recipe, env={**environment, "PYTHONPATH": str(REPO)},
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    STARTED.append(process)
    return process, log


def finish(recipe: Path, environment: dict[str, str], *options: str) -> str:
    process, log = start(recipe, environment, *options)
    assert process.wait() == 0, log.read_text()[-3000:]
    return log.read_text()


def table(recipe: Path) -> list[dict[str, str]]:
    """Returns the numbers of the last table, apart from times."""
    with (recipe / "RESULTS_run.csv").open() as file:
        return [{key: value for key, value in row.items() if "sec" not in key} for row in csv.DictReader(file)]


def wait_until(ready: Callable[[], bool], process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 300
    while not ready():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def test_a_killed_run_waits_for_its_jobs_and_ends_with_the_same_table(slurm, tmp_path):
    if not TEMPLATE.exists():
        pytest.skip("needs ESPnet's recipe tree: run tools/install.sh")
    recipe = copy_recipe("mini_an4", tmp_path)
    write_tiny_conf(recipe / "conf/tiny", "conformer")
    here = dict(os.environ)
    finish(recipe, here, "--stage", "1", "--stop_stage", "13")
    of_this_machine = table(recipe)
    for path in (recipe / "exp").iterdir():  # the statistics stay
        if path.name.startswith(("asr_teacher", "asr_e1", "encrl")):
            shutil.rmtree(path)

    # As docs/recipes.md says
    for name, find, put in (("cmd.sh", "cmd_backend='local'", "cmd_backend='slurm'"), ("conf/slurm.conf", "", "")):
        text = (TEMPLATE / name).read_text()
        assert find in text
        (recipe / name).unlink(missing_ok=True)
        (recipe / name).write_text(text.replace(find, put) if find else text)
    stage11 = ("--stage", "11", "--stop_stage", "11")
    process, log = start(recipe, slurm, *stage11)
    wait_until(lambda: {state for _, state in jobs(slurm)} == {"RUNNING", "PENDING"}, process, log)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # The scheduler knows nothing of the kill. Both jobs last until the next run has seen them.
    (running,) = (number for number, state in jobs(slurm) if state == "RUNNING")
    numbers = {number for number, _ in jobs(slurm)}
    control(slurm, "suspend", running)
    control(slurm, "update", "PartitionName=cpu", "State=DOWN")

    process, log = start(recipe, slurm, *stage11)
    # The running one is a process of this machine too.
    said = re.compile(r"(?:job|process) \d+ is still training in (\S+); waiting for its end")
    wait_until(lambda: len(set(said.findall(log.read_text()))) == len(numbers), process, log)
    control(slurm, "update", "PartitionName=cpu", "State=UP")
    control(slurm, "resume", running)
    assert process.wait() == 0, log.read_text()[-3000:]
    assert not jobs(slurm)
    submitted = [path.read_text().count("Submitted batch job") for path in recipe.glob("exp/asr_*/q/train.log")]
    assert len(submitted) == 3 and set(submitted) == {1}
    finish(recipe, slurm, "--stage", "12", "--stop_stage", "13")
    assert table(recipe) == of_this_machine
