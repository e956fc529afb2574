"""The measurement of silence finds a model that speaks in it, and one that is silent."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.tiny import model_conf, save_experiment

ROOT = Path(__file__).parents[2]
FORCED = {"silent": 0, "talking": 2}  # the token that every frame has: the blank, a word


@pytest.mark.slow
def test_words_in_silence_are_counted(tmp_path: Path):
    rng = np.random.default_rng(0)
    names = ["a", "b"]
    for number, name in enumerate(names):
        soundfile.write(tmp_path / f"{name}.wav", rng.standard_normal(8000 + 1000 * number) / 10, 16000)
    (tmp_path / "wav.scp").write_text("".join(f"{name} {tmp_path / name}.wav\n" for name in names))
    (tmp_path / "text").write_text("a ▁a\nb ▁a ▁a\n")
    for name, token in FORCED.items():
        exp_dir = save_experiment(tmp_path / name, token_type="word", **model_conf(1))
        state = torch.load(exp_dir / "valid.cer_ctc.ave.pth")
        state["ctc.ctc_lo.bias"][token] = 1000.0
        torch.save(state, exp_dir / "valid.cer_ctc.ave.pth")
    command = [sys.executable, ROOT / "benchmarks/silence.py", "--data_dir", tmp_path, "--output", tmp_path / "silence"]
    command += ["--exp_dirs", *(tmp_path / name for name in FORCED)]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    head, *rows = csv.reader((tmp_path / "silence.csv").open())
    assert head[1:] == list(FORCED)
    table = {kind: dict(zip(head[1:], map(float, cells), strict=True)) for kind, *cells in rows}
    assert table["WER as it is"] == {"silent": 100.0, "talking": pytest.approx(100 / 3, abs=0.01)}
    assert sum(kind.startswith("WER with") for kind in table) == 8
    assert table["words in zeros"] == {"silent": 0, "talking": 3}
    assert table["words in pink noise -60 dBFS"] == {"silent": 0, "talking": 60}
    assert "words in pink noise -45 dBFS" in (tmp_path / "silence.md").read_text()
