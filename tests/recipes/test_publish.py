"""Stages 14-15 (encrl_publish.sh): which students they take, and that they never end without having made anything."""

import subprocess
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).parents[2] / "egs2/TEMPLATE/encrl1"
PREAMBLE = f"""
set -euo pipefail
log() {{ echo "$*"; }}
die() {{ echo "error: $*" >&2; exit 2; }}
min() {{ [ "$1" -le "$2" ] && echo "$1" || echo "$2"; }}
in_range() {{ [ "${{stage}}" -le "$2" ] && [ "${{stop_stage}}" -ge "$1" ]; }}
stage=1 stop_stage=10000 skip_export=true skip_upload_hf=true student_source=encrl students=e1 asr_opts=()
python=python3 teacher_exp=exp/teacher inference_tag=greedy test_sets=test lang=en
hf_repo=user/name hf_license= hf_args=
student_exp() {{ echo "exp/$1_$2"; }}
. "{TEMPLATE}/encrl_train.sh"
. "{TEMPLATE}/encrl_publish.sh"
"""


def run(body: str, directory: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f"{PREAMBLE}{body}"], cwd=directory, capture_output=True, text=True, check=False
    )


def chosen(sources: str, options: str = "skip_export=false") -> list[str]:
    models = " ".join(f"'e1 {source} exp/e1_{source} model.pth'" for source in sources.split())
    done = run(
        f"student_source='{sources}' {options}; student_models=({models})\nchoose_published\n"
        'for model in "${published[@]}"; do cut -d" " -f2 <<< "${model}"; done'
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_students_from_scratch_alone_are_published():
    assert chosen("scratch") == ["scratch"]


@pytest.mark.parametrize("sources", ["encrl scratch", "scratch teacher"])
def test_beside_others_they_are_left_out_and_that_is_said(sources):
    said, *models = chosen(sources)
    assert "students from scratch are left out" in said and "--student_source scratch" in said
    assert models == [sources.replace("scratch", "").strip()]
    assert chosen(sources, "skip_export=true") == models  # a run that publishes nothing says nothing


@pytest.mark.parametrize(
    "options, message",
    [
        ("stage=14 stop_stage=14", "stages 14-14 would make nothing: give --skip_packing false"),
        ("stage=14", "stages 14-15 would make nothing"),
        ("stage=15 skip_export=false", "or --skip_upload_hf false"),
        ("stage=14 skip_export=false students=", "--students none"),
    ],
)
def test_stages_that_would_make_nothing_are_refused(options, message):
    done = run(f"{options}; check_publication")
    assert done.returncode == 2 and message in done.stderr


@pytest.mark.parametrize(
    "options",
    ["stage=1", "stage=12 stop_stage=13", "stage=14 skip_export=false", "stage=14 asr_opts=(--skip_packing false)"],
)
def test_other_runs_are_not_refused(options):
    assert run(f"{options}; check_publication").returncode == 0


def test_an_upload_from_scratch_compares_with_what_there_is(tmp_path):
    """No teacher was trained, and the student is no comparison for itself."""
    (tmp_path / "exp/e1_scratch/greedy").mkdir(parents=True)
    done = run("python=echo; upload_model e1 exp/e1_scratch model.pth", tmp_path)
    assert done.returncode == 0 and "--compare_to --inference_tag" in done.stdout
    (tmp_path / "exp/teacher/greedy").mkdir(parents=True)
    done = run("python=echo; upload_model e1 exp/e1_encrl model.pth", tmp_path)
    assert "--compare_to exp/teacher exp/e1_scratch --inference_tag" in done.stdout
