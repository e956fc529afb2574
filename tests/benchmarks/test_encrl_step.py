"""The benchmarks of EncRL run; what they measure is not looked at."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data_dir(tmp_path):
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d"]
    for number, name in enumerate(names):
        soundfile.write(tmp_path / f"{name}.wav", rng.standard_normal(8000 + 1000 * number) / 10, 16000)
    (tmp_path / "wav.scp").write_text("".join(f"{name} {tmp_path / name}.wav\n" for name in names))
    return tmp_path


def run(script: str, *options: object) -> None:
    command = [sys.executable, ROOT / "benchmarks" / script, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_procedure_has_its_rows(data_dir, tmp_path):
    run("encrl_step.py", "--data_dir", data_dir, "--utterances", 4, "--batch_size", 2, "--rounds", 1,
        "--output", tmp_path / "step")  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "step.csv").open()))
    assert [row["procedure"] for row in rows] == ["a1", "a2", "b1", "b", "c"]
    assert "a2 / c" in (tmp_path / "step.md").read_text()


@pytest.mark.slow
def test_the_profile_names_operators(data_dir, tmp_path):
    run("encrl_profile.py", "--data_dir", data_dir, "--batch_size", 4, "--output", tmp_path / "profile.md")
    assert "aten::mm" in (tmp_path / "profile.md").read_text()
