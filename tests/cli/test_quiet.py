"""Verbs print what they did, and nothing of what ESPnet says while it is imported and builds models."""

import subprocess
import sys

import pytest

from tests.tiny import model_conf, save_experiment


@pytest.mark.slow
def test_a_verb_says_only_what_it_did(tmp_path):
    exp_dir = save_experiment(tmp_path / "asr", **model_conf(2))
    words = ["derive", "layers", "--source", exp_dir, "--layers", "last:1", "--output_dir", tmp_path / "small"]
    done = subprocess.run([sys.executable, "-m", "espnet_ext", *map(str, words)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}/small/model.pth\n", "")
