"""A failed stage says which option to change: the messages are those of the real SentencePiece."""

import subprocess
from pathlib import Path

import pytest

from espnet_ext.bin import explain

ROOT = Path(__file__).parents[2]
TEXT = "one two\nthree four\n"


def train(directory: Path, text: str, nbpe: int, mode: str) -> tuple[int, str]:
    """Trains as stage 5 of asr.sh does; returns exit status and log."""
    program = ROOT / "tools/espnet/tools/sentencepiece_commands/spm_train"
    if not program.exists():
        pytest.skip("needs ESPnet's recipe tree: run tools/install.sh")
    (directory / "train.txt").write_text(text)
    options = f"--input={directory}/train.txt --vocab_size={nbpe} --model_type={mode} --character_coverage=1.0"
    command = ["python3", program, *options.split(), f"--model_prefix={directory}/bpe"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def explained(directory: Path, log: str, capsys) -> str:
    (directory / "data.log").write_text(log)
    explain.main(["--log", str(directory / "data.log")])
    out = capsys.readouterr().err
    assert out.startswith("error: ") and out.count("\n") == 1 and f"{directory}/data.log" in out
    return out


@pytest.mark.parametrize("mode", ["unigram", "bpe"])
def test_too_little_text_for_nbpe(tmp_path, capsys, mode):
    status, log = train(tmp_path, TEXT, 500, mode)
    most = {"unigram": 14, "bpe": 40}[mode]
    assert status != 0 and f"it gives at most {most}; give --nbpe {most} or fewer" in explained(tmp_path, log, capsys)
    assert train(tmp_path, TEXT, most, mode)[0] == 0
    assert train(tmp_path, TEXT, most + 1, mode)[0] != 0


def test_fewer_tokens_than_characters(tmp_path, capsys):
    status, log = train(tmp_path, TEXT, 5, "unigram")
    assert status != 0 and "--nbpe 5: the characters of the text alone are 13" in explained(tmp_path, log, capsys)
    assert train(tmp_path, TEXT, 13, "unigram")[0] == 0


def test_no_text(tmp_path, capsys):
    status, log = train(tmp_path, "", 30, "unigram")
    assert status != 0 and "the text for the tokens is empty" in explained(tmp_path, log, capsys)


def test_other_failures_are_left_to_the_log(tmp_path):
    (tmp_path / "data.log").write_text("No space left on device\n")
    with pytest.raises(SystemExit) as ended:
        explain.main(["--log", str(tmp_path / "data.log")])
    assert ended.value.code == 1
