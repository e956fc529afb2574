"""A failed stage says which option to change: the messages are those of the real SentencePiece."""

import subprocess
from pathlib import Path

import pytest

from espnet_ext.data.failures import explain

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


@pytest.mark.parametrize("mode", ["unigram", "bpe"])
def test_too_little_text_for_nbpe(tmp_path, mode):
    status, log = train(tmp_path, TEXT, 500, mode)
    most = {"unigram": 14, "bpe": 40}[mode]
    assert status != 0 and f"it gives at most {most}; give --nbpe {most} or fewer" in explain(log)
    assert train(tmp_path, TEXT, most, mode)[0] == 0
    assert train(tmp_path, TEXT, most + 1, mode)[0] != 0


def test_fewer_tokens_than_characters(tmp_path):
    status, log = train(tmp_path, TEXT, 5, "unigram")
    assert status != 0 and "--nbpe 5: the characters of the text alone are 13" in explain(log)
    assert train(tmp_path, TEXT, 13, "unigram")[0] == 0


def test_no_text(tmp_path):
    status, log = train(tmp_path, "", 30, "unigram")
    assert status != 0 and "the text for the tokens is empty" in explain(log)


@pytest.mark.parametrize(
    "log, reason",
    [
        ("OSError: [Errno 28] No space left on device\n", "the disk is full"),
        ("bash: line 1: 123 Killed                  python3 -m espnet2.bin.asr_train\n... Killed\n", "lack of memory"),
        ("# Ended (code 0; signal 9) at Wed Nov 25 18:05:16 UTC 2026, elapsed time 28 seconds", "lack of memory"),
        ("# Ended (code 137) at Wed Nov 25 18:05:16 UTC 2026, elapsed time 28 seconds", "lack of memory"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.", "lack of memory"),
        ("ProcessExitedException: process 0 terminated with signal SIGKILL", "lack of memory"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "the GPU has too little memory"),
        ("no utterances remained", "no utterance is left after filtering"),
    ],
)
def test_the_cause_of_a_failure_is_named(log, reason):
    assert reason in explain(log)


def test_other_failures_are_left_to_the_log():
    assert explain("# Ended (code 1) at Wed Nov 25 18:05:16 UTC 2026, elapsed time 137 seconds") is None
