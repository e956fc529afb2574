"""Runs at once: order, shared directories, failures, what is left after a kill. The runs are small shell scripts."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from espnet_ext.experiments.matrix import read_tables
from espnet_ext.experiments.plan import Corpus, Plan
from espnet_ext.experiments.scheduler import Scheduler

# Answers --list_models as encrl.sh does; otherwise "trains" for a moment and notes when it began and ended.
RUN_SH = """#!/usr/bin/env bash
set -eu
while [ $# -gt 0 ]; do printf -v "${1#--}" '%s' "$2"; shift 2; done
if [ "${list_models:-}" = true ]; then
    echo "models:"
    for name in teacher ${students/none/}; do
        dir="${expdir}/${name}"
        echo "- {name: ${name}, source: x, exp_dir: ${dir}, file: m.pth, decode_dir: ${dir}/greedy, configs: []}"
    done
    printf 'encrl:\ninference_config:\n'
    echo "test_sets: [test]"
    exit 0
fi
for name in teacher ${students/none/}; do
    dir="${expdir}/${name}"
    [ -f "${dir}/m.pth" ] && continue
    [ -z "${fail:-}" ] || { echo "error: no luck"; exit 2; }
    mkdir -p "${dir}/greedy/test/score_wer"
    echo "begin ${name} $(date +%s.%N)" >> events
    sleep "${seconds:-0.2}"
    echo "end ${name} $(date +%s.%N)" >> events
    touch "${dir}/m.pth"
    touch "${dir}/greedy/test/score_wer/result.txt"
done
"""


@pytest.fixture
def plan(tmp_path):
    """Makes the plan of some rows of a recipe whose run.sh is the script above."""
    recipe = tmp_path / "encrl1"
    (recipe / "conf").mkdir(parents=True)
    (recipe / "run.sh").write_text(RUN_SH)
    (recipe / "run.sh").chmod(0o755)
    (recipe / "conf/experiments.yaml").write_text("variants: {ours: {}}\n")

    def make(*rows: dict) -> Plan:
        (tmp_path / "matrix").mkdir(exist_ok=True)
        (tmp_path / "matrix/table.yaml").write_text(yaml.safe_dump({"rows": list(rows)}))
        return Plan(Corpus.read(recipe), list(read_tables(tmp_path / "matrix").values()), "ours", 1, {})

    return make


def events(plan: Plan) -> dict[str, tuple[float, float]]:
    """Returns (begin, end) of each model."""
    lines = [line.split() for line in (plan.corpus.directory / "events").read_text().splitlines()]
    return {name: tuple(float(t) for _, n, t in lines if n == name) for _, name, _ in lines}


ROWS = (
    {"label": "t"},
    {"label": "a", "students": "a"},
    {"label": "b", "students": "b"},
    {"label": "c", "students": "c"},
)


def test_runs_overlap_but_never_in_one_directory(plan):
    work = plan(*ROWS)
    assert Scheduler(work.runs, jobs=2).work() == []
    times = events(work)
    assert all(len(times[name]) == 2 for name in ("teacher", "a", "b", "c"))  # each once
    assert times["teacher"][1] <= min(times[name][0] for name in "abc")
    assert times["b"][0] < times["a"][1]  # at once


def test_a_second_call_does_nothing(plan):
    work = plan(*ROWS)
    Scheduler(work.runs, jobs=2).work()
    before = (work.corpus.directory / "events").read_text()
    assert Scheduler(plan(*ROWS).runs, jobs=2).work() == []
    assert (work.corpus.directory / "events").read_text() == before


def test_a_failure_leaves_out_what_needs_it_and_nothing_else(plan, capsys):
    rows = [
        {"label": "t"},
        {"label": "bad", "students": "bad", "options": {"fail": "yes"}},
        {"label": "child", "students": "child", "teacher": "bad"},
        {"label": "good", "students": "good"},
    ]
    work = plan(*rows)
    failed = Scheduler(work.runs, jobs=1).work()
    assert sorted(label for run in failed for label in run.labels) == ["table: bad", "table: child"]
    assert "good" in events(work)
    assert "no luck" in capsys.readouterr().out


def launch(plan: Plan) -> subprocess.Popen:
    """Starts a scheduler of its own for the plan."""
    code = (
        "import sys; from pathlib import Path; from espnet_ext.experiments.matrix import read_tables\n"
        "from espnet_ext.experiments.plan import Corpus, Plan\n"
        "from espnet_ext.experiments.scheduler import Scheduler\n"
        "tables = list(read_tables(Path(sys.argv[2])).values())\n"
        "Scheduler(Plan(Corpus.read(Path(sys.argv[1])), tables, 'ours', 1, {}).runs, 2).work()"
    )
    recipe = plan.corpus.directory
    return subprocess.Popen([sys.executable, "-c", code, str(recipe), str(recipe.parent / "matrix")])


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Waits until a file appears that the process is to make."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)


def test_a_killed_scheduler_goes_on_where_it_was(plan):
    slow = [row | {"options": {"seconds": "1"}} for row in ROWS]
    work = plan(*slow)
    recipe = work.corpus.directory
    process = launch(work)
    wait_for(recipe / "exp/ours_seed1/a", process)  # the teacher is done, the first student is not
    process.kill()
    process.wait()
    time.sleep(1.5)  # what it had started, in sessions of their own, ends
    assert Scheduler(plan(*slow).runs, jobs=2).work() == []
    assert len(events(work)["teacher"]) == 2  # trained once
    assert all((recipe / f"exp/ours_seed1/{name}/m.pth").exists() for name in ("teacher", "a", "b", "c"))


def test_stopping_the_scheduler_stops_its_runs(plan):
    work = plan({"label": "t", "options": {"seconds": "20"}})
    process = launch(work)
    wait_for(work.corpus.directory / "events", process)
    process.terminate()
    assert process.wait(timeout=10) != 0
    assert not [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(work.corpus.directory)]


def test_the_log_of_a_run_is_kept(plan):
    work = plan({"label": "t", "options": {"fail": "yes"}})
    Scheduler(work.runs, jobs=1).work()
    (log,) = Path(work.corpus.directory, "exp/ours_seed1/log").glob("experiment_*.log")
    assert "no luck" in log.read_text()
