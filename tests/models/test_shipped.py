"""The models in `models/` are small, say whose data they are of, and transcribe the recording beside them."""

import subprocess
import sys
from pathlib import Path

import pytest

MODELS = sorted(path.parent for path in Path(__file__).parents[2].glob("models/*/model.int8.onnx"))


def test_there_is_one():
    assert MODELS


@pytest.mark.parametrize("directory", MODELS, ids=lambda path: path.name)
def test_it_is_small_and_its_card_names_the_licence_and_the_command(directory):
    assert sum(path.stat().st_size for path in directory.iterdir()) < 2 * 2**20
    card = (directory / "README.md").read_text(encoding="utf-8")
    assert "license: cc-by-4.0" in card and "CC BY 4.0" in card and "encrl export" in card


@pytest.mark.parametrize("directory", MODELS, ids=lambda path: path.name)
def test_it_transcribes_the_recording_beside_it(directory):
    command = [sys.executable, "-m", "espnet_ext", "transcribe", "--model", str(directory / "model.int8.onnx")]
    ran = subprocess.run([*command, str(directory / "example.flac")], capture_output=True, text=True, check=True)
    text = (directory / "example.txt").read_text(encoding="utf-8").strip()
    assert ran.stdout == f"{directory / 'example.flac'}\t{text}\n"
