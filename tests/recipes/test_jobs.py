"""Models at once (encrl_jobs.sh): as many as asked for, and the end of a run in which one fails."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "egs2/TEMPLATE/encrl1/encrl_jobs.sh"
PREAMBLE = f"""
set -euo pipefail
min() {{ [ "$1" -le "$2" ] && echo "$1" || echo "$2"; }}
max() {{ [ "$1" -ge "$2" ] && echo "$1" || echo "$2"; }}
log() {{ echo "$*"; }}
. "{SCRIPT}"
job() {{ # name, seconds, status
    echo "$(date +%s.%N) begin $1" >> events
    sleep "$2"
    echo "$(date +%s.%N) end $1" >> events
    return "$3"
}}
"""


def run(directory: Path, model_nj: int, body: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Runs the body and returns what it did and its events in order."""
    script = f"model_nj={model_nj}{PREAMBLE}{body}"
    done = subprocess.run(["bash", "-c", script], cwd=directory, capture_output=True, text=True, timeout=60)
    events = sorted((directory / "events").read_text().splitlines())
    return done, [" ".join(event.split()[1:]) for event in events]


def test_one_at_a_time_in_order(tmp_path):
    done, events = run(tmp_path, 1, "start_job job a 0.2 0; wait_for_job ''; start_job job b 0 0; wait_for_jobs")
    assert done.returncode == 0
    assert events == ["begin a", "end a", "begin b", "end b"]


def test_as_many_at_once_as_asked_for(tmp_path):
    body = "start_job job long 1.5 0; for i in 1 2 3; do start_job job $i 0.1 0; done; wait_for_jobs"
    done, events = run(tmp_path, 2, body)
    assert done.returncode == 0
    running = most = 0
    for event in events:
        running += 1 if event.startswith("begin") else -1
        most = max(most, running)
    assert most == 2
    assert events[-1] == "end long"  # a free place is not left empty until the longest ends


def test_waits_for_the_one_that_others_need(tmp_path):
    body = "start_job job a 0.5 0; need=$last_job; start_job job b 1.5 0; wait_for_job $need; start_job job c 0 0"
    done, events = run(tmp_path, 3, f"{body}; wait_for_jobs")
    assert done.returncode == 0
    assert events.index("end a") < events.index("begin c") < events.index("end b")


@pytest.mark.parametrize("model_nj", [1, 2])
def test_a_failure_ends_the_run_and_leaves_what_runs_to_end(tmp_path, model_nj):
    body = "start_job job slow 1 0; start_job job bad 0 2; start_job job never 0 0; wait_for_jobs; echo finished"
    done, events = run(tmp_path, model_nj, body)
    assert done.returncode == 2
    assert "finished" not in done.stdout
    assert "end slow" in events
    assert "begin never" not in events


def test_ctrl_c_ends_the_jobs_too(tmp_path):
    script = f"model_nj=2{PREAMBLE}start_job job a 30 0; start_job job b 30 0; wait_for_jobs"
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    events = tmp_path / "events"
    for _ in range(100):
        if events.exists() and len(events.read_text().splitlines()) == 2:
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=10) != 0
    group = subprocess.run(["pgrep", "-g", str(process.pid), "-r", "R,S"], capture_output=True, text=True)
    assert group.stdout == ""


def test_threads_are_shared(tmp_path):
    nproc = tmp_path / "nproc"
    nproc.write_text("#!/bin/sh\necho 8\n")
    nproc.chmod(0o755)
    body = "PATH=.:$PATH; echo threads $(threads_of_each 32) $(threads_of_each 7) $(threads_of_each 2) > events"
    assert run(tmp_path, 3, body)[1] == ["2 2 1"]
