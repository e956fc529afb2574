"""The measurement of the check of data makes sets that pass it, and measures each."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_set_is_a_row(tmp_path: Path):
    command = [sys.executable, ROOT / "benchmarks/check_data.py", "--utterances", "150", "250"]
    command += ["--compare", f"before={ROOT}", "--output", tmp_path / "check.md"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split("|")[1:-1] for line in (tmp_path / "check.md").read_text().splitlines() if line[:1] == "|"]
    names = ["single", "single, before", "scored", "segments", "segments, before"]
    assert [cells[0].strip() for cells in lines[2:]] == names
    assert all(float(cells[place]) > 5 for cells in lines[2:] for place in (2, 4))  # MB
