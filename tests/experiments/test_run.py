"""Runs of a matrix at once: order, shared directories, failures, what is left after a kill. Nothing is trained."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from espnet_ext.cli import experiments
from espnet_ext.errors import UserError
from espnet_ext.experiments import report

ROOT = Path(__file__).parents[2]
RUN_SH = f"""#!/usr/bin/env bash
# python3 -m espnet_ext run --train_set train --valid_set valid --test_sets test --student_source teacher "$@"
exec {sys.executable} -m tests.experiments.finished "$@"
"""
ROWS = (
    {"label": "t"},
    {"label": "a", "students": "a"},
    {"label": "b", "students": "b"},
    {"label": "c", "students": "c"},
)


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    """A recipe whose run.sh is a stand-in, as the current directory."""
    recipe = tmp_path / "encrl1"
    (recipe / "conf").mkdir(parents=True)
    (recipe / "run.sh").write_text(RUN_SH)
    (recipe / "run.sh").chmod(0o755)
    (recipe / "asr.sh").write_text("# General configuration\nseconds=\nfail=\nbeside=\nhelp_message=\n")
    (recipe / "cmd.sh").write_text("train_cmd=run.pl cuda_cmd=run.pl decode_cmd=run.pl\n")
    (recipe / "conf/experiments.yaml").write_text("variants: {ours: {}}\n")
    for name in ("teacher", "finetune", "scratch", "encrl", "a", "b", "c", "bad", "child", "good"):
        (recipe / f"conf/{name}.yaml").write_text("encoder_conf: {num_blocks: 1}\n")
    monkeypatch.chdir(recipe)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(report, "write_reports", lambda *_: None)
    return recipe


def command(recipe: Path, jobs: int, rows: tuple[dict, ...]) -> list[str]:
    matrix = recipe.parent / "matrix"
    matrix.mkdir(exist_ok=True)
    (matrix / "table.yaml").write_text(yaml.safe_dump({"rows": list(rows)}))
    return ["run", "--matrix", str(matrix), "--corpus", str(recipe), "--jobs", str(jobs)]


def events(recipe: Path) -> dict[str, tuple[float, ...]]:
    """Returns (begin, end) of each model."""
    lines = [line.split() for line in (recipe / "events").read_text().splitlines()]
    return {name: tuple(float(t) for _, n, t in lines if n == name) for _, name, _ in lines}


def test_runs_overlap_but_never_in_one_directory_and_are_done_once(recipe, capsys):
    rows = tuple(row | {"options": {"beside": "2"}} for row in ROWS)
    experiments.main(command(recipe, 2, rows))
    times = events(recipe)
    assert all(len(times[name]) == 2 for name in ("teacher", "a_teacher", "b_teacher", "c_teacher"))  # each once
    assert times["teacher"][1] <= min(times[f"{name}_teacher"][0] for name in "abc")
    assert times["b_teacher"][0] < times["a_teacher"][1]  # at once
    before = (recipe / "events").read_text()
    experiments.main(command(recipe, 2, rows))
    assert (recipe / "events").read_text() == before and "4 of 4 runs are finished already" in capsys.readouterr().out


def test_a_failure_leaves_out_what_needs_it_and_nothing_else(recipe, capsys):
    rows = (
        {"label": "t"},
        {"label": "bad", "students": "bad", "options": {"fail": "yes"}},
        {"label": "child", "students": "child", "teacher": "bad"},
        {"label": "good", "students": "good"},
    )
    with pytest.raises(UserError, match=r"table: bad (?s:.)*no luck\nleft out, because of that: table: child\nrun the"):
        experiments.main(command(recipe, 1, rows))
    assert "good_teacher" in events(recipe)
    logs = [path.read_text() for path in (recipe / "exp/ours_seed1/log").glob("experiment_*.log")]
    assert sum("no luck" in text for text in logs) == 1


def start(recipe: Path, rows: tuple[dict, ...]) -> subprocess.Popen:
    """Starts the command in a process of its own."""
    code = (
        "import sys; from espnet_ext.cli import experiments; from espnet_ext.experiments import report; "
        "report.write_reports = lambda *_: None; experiments.main(sys.argv[1:])"
    )
    words = [sys.executable, "-c", code, *command(recipe, 2, rows)]
    return subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Waits until a file appears that the process is to make."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)


def test_what_was_killed_goes_on_where_it_was(recipe):
    slow = tuple(row | {"options": {"seconds": "1"}} for row in ROWS)
    process = start(recipe, slow)
    wait_for(recipe / "exp/ours_seed1/asr_a_teacher_raw_bpe30/run.json", process)  # the teacher is done, others are not
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    experiments.main(command(recipe, 2, slow))
    assert len(events(recipe)["teacher"]) == 2  # trained once
    found = {path.parent.name for path in recipe.glob("exp/ours_seed1/asr_*/valid.cer_ctc.ave.pth")}
    assert len(found) == 4


def test_stopping_it_stops_its_runs(recipe):
    process = start(recipe, ({"label": "t", "options": {"seconds": "20"}},))
    wait_for(recipe / "events", process)
    process.terminate()
    assert process.wait(timeout=20) != 0
    assert not [p for p in psutil.process_iter(["cwd"]) if p.pid != os.getpid() and p.info["cwd"] == str(recipe)]
