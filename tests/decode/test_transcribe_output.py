"""What `transcribe` prints, when, and where: windows, pipes, terminals, names of files."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.decode import files
from espnet_ext.decode.formats import FORMATS, escape_name
from espnet_ext.decode.long_audio import transcribe
from espnet_ext.errors import UserError
from tests.decode.spoken import FRAME, export, save_spoken, train_bpe

COMMAND = [sys.executable, "-m", "espnet_ext", "transcribe"]
TOKENS = ["<blank>", "<unk>", "▁one", "▁two", "▁three", "<sos/eos>"]
SAID = ["▁three", "▁one", "<unk>", "▁two"]
TEXT = "three one ⁇ two"


class Levels:
    """Says a word for each frame by its level, in frames of 40 ms; nothing in silence."""

    sample_rate, frame_samples, tokens, token_type = 16000, FRAME, TOKENS, "bpe"

    def __call__(self, speech: np.ndarray) -> np.ndarray:
        ids = np.round(10 * speech[: len(speech) // FRAME * FRAME : FRAME]).astype(int)
        return np.where(np.eye(len(TOKENS), dtype=bool)[ids], 0.0, -20.0)


def levels(ids: list[int]) -> np.ndarray:
    return np.repeat(np.array(ids, np.float32) / 10, FRAME)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A file that says TEXT to the file a.wav beside its folder."""
    folder = tmp_path_factory.mktemp("spoken")
    save_spoken(folder, SAID, TOKENS, token_type="bpe", bpemodel=str(train_bpe(folder)))
    return export(folder)


def audio_of(model: Path) -> Path:
    return model.parent.parent / "a.wav"


def run(*args: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *map(str, args)], capture_output=True, timeout=120, **options)


def test_words_come_before_later_windows_are_read():
    frames, block, overlap = 80, 20, 8
    speech = levels([2, 0, 3, 0] * (frames // 4))  # a word in every second frame
    read = []

    def blocks():
        for start in range(0, frames - overlap, block - overlap):
            read.append(start)
            yield start * FRAME, speech[start * FRAME : (start + block) * FRAME]

    spoken = [(word.text, len(read)) for word in transcribe(Levels(), blocks(), overlap * FRAME)]
    assert [text for text, _ in spoken] == ["one", "two"] * (frames // 4)
    # The first window decides 16 frames, each other 12, the last one all. A word is out when the next one begins.
    decided = [16, 28, 40, 52, 64, frames]
    begins = [*range(2, frames, 2), frames - 1]
    assert [count for _, count in spoken] == [1 + sum(frame >= end for end in decided) for frame in begins]


@pytest.mark.parametrize("name, first", [("txt", "one"), ("srt", "1\n00:00:00,000 --> 00:00:00,800\none two\n")])
def test_a_format_passes_on_what_is_known(name, first):
    ids = [2, 0, 3] + [0] * 22 + [4, 0, 2] + [0] * 76
    speech = levels(ids)
    read = []

    def blocks():
        for start in (0, 32, 64):
            read.append(start)
            yield start * FRAME, speech[start * FRAME : (start + 40) * FRAME]

    pieces = FORMATS[name](transcribe(Levels(), blocks(), 8 * FRAME))
    assert next(pieces) == first and read == [0]


def test_output_that_is_no_number_is_no_silence():
    class Broken(Levels):
        def __call__(self, speech):
            return np.full_like(super().__call__(speech), np.nan)

    with pytest.raises(UserError, match="not a number"):
        list(transcribe(Broken(), [(0, levels([2, 3]))], 0))


def test_text_is_printed_while_the_file_is_read(model, tmp_path):
    part = soundfile.read(audio_of(model), dtype="float32")[0]
    soundfile.write(tmp_path / "long.wav", np.tile(part, 6000), 16000)  # 20 minutes
    with subprocess.Popen(
        [*COMMAND, "--model", str(model), str(tmp_path / "long.wav")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        first = os.read(process.stdout.fileno(), 1 << 16)
        rest = process.stdout.read()
        assert process.stderr.read() == b""
    assert first.startswith(f"{tmp_path}/long.wav\t".encode()) and not first.endswith(b"\n")
    assert (first + rest).count(b"\n") == 1 and len(rest) > len(first)


def test_a_file_that_ends_early_keeps_its_line(capsys):
    def pieces():
        yield from ("one", " two")
        raise OSError("the disk is gone")

    with pytest.raises(files._FileError) as caught:
        files._show(files._as_file_errors(pieces()), "a.wav")
    assert caught.value.in_part and capsys.readouterr().out == "a.wav\tone two\n"
    with pytest.raises(files._FileError) as caught:
        files._show(files._as_file_errors(iter(pieces().throw, None)), "a.wav")


def test_standard_input(model, tmp_path):
    done = run("--model", model, "-", input=audio_of(model).read_bytes())
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"-\t{TEXT}\n", b"")
    done = run("--model", model, "--format", "json", "-", input=audio_of(model).read_bytes())
    assert json.loads(done.stdout)["text"] == TEXT
    done = run("--model", model, "-", input=b"no audio")
    assert done.returncode == 1 and done.stdout == b"" and done.stderr.startswith(b"error: - is left out: ")
    done = run("--model", model, "--output_dir", tmp_path, "-", audio_of(model), input=audio_of(model).read_bytes())
    assert done.returncode == 0 and sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "stdin.txt"]
    assert {path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {f"{TEXT}\n"}


def test_standard_input_that_is_a_terminal(model):
    _, end = pty.openpty()
    done = run("--model", model, "-", stdin=end)
    os.close(end)
    assert done.returncode == 2 and b"standard input, which is a terminal" in done.stderr


NAMES = ["two\nlines.wav", "a\ttab.wav", "a\\tback.wav", "line\u2028end.wav", "caf\udce9.wav", "blank and é.wav"]


def test_a_line_is_a_file_whatever_its_name(model, tmp_path):
    for name in NAMES:
        (tmp_path / name).write_bytes(audio_of(model).read_bytes())
    (tmp_path / "not\naudio.wav").write_bytes(b"RIFF....")
    done = run("--model", model, tmp_path)
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]  # of all kinds
    assert {text for _, text in lines} == {TEXT}
    assert sorted(json.loads(f'"{name}"') for name, _ in lines) == sorted(f"{tmp_path}/{name}" for name in NAMES)
    errors = done.stderr.decode().splitlines()
    assert len(errors) == 2 and errors[0].startswith(rf"error: {tmp_path}/not\naudio.wav is left out: ")


def test_names_as_usual_stay_as_they_are():
    assert escape_name("/a b/é – “x”, 日本　語.wav") == "/a b/é – “x”, 日本　語.wav"
    assert [escape_name(name) for name in ("\x1b[2J", "a\r", "\x85", "\\n")] == [
        r"\u001b[2J",
        r"a\r",
        r"\u0085",
        r"\\n",
    ]


def in_shell(script: str, unbuffered: str) -> tuple[str, str]:
    """Returns what a pipeline prints to stderr, and the status of its first command."""
    script = f'{script}; echo "${{PIPESTATUS[0]}}" >&3'
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    read, write = os.pipe()
    shell = ["bash", "-c", f"exec 3>&{write}; {script}"]
    done = subprocess.run(shell, capture_output=True, text=True, env=env, pass_fds=[write], timeout=120)
    os.close(write)
    with os.fdopen(read) as status:
        return done.stderr, status.read().strip()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough(unbuffered, model, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(audio_of(model).read_bytes())
    command_line = f"{' '.join(COMMAND)} --model {model} {tmp_path}"
    assert in_shell(f"{command_line} | true", unbuffered) == ("", "141")
    assert in_shell(f"{command_line} | head -n 3 > /dev/null", unbuffered) == ("", "0")


@pytest.mark.parametrize("unbuffered", ["", "1"])  # path.sh of a recipe sets it
@pytest.mark.parametrize("size, target, status, message", [
    (10, "| true", "141", ""),  # in the buffer to the end
    (1 << 20, "| true", "141", ""),
    (10, "> /dev/full", "2", "error: the output cannot be written: No space left on device\n"),
])  # fmt: skip
def test_every_command_ends_quietly_where_its_output_ends(size, target, status, message, unbuffered):
    code = "import time; from espnet_ext.errors import run_main; time.sleep(0.5); run_main(lambda: print('x' * %d))"
    assert in_shell(f'{sys.executable} -c "{code % size}" {target}', unbuffered) == (message, status)


def test_errors_that_are_not_of_the_output_are_raised():
    code = "import os; from espnet_ext.errors import run_main; r, w = os.pipe(); os.close(r)"
    code += "; run_main(lambda: os.write(w, b'x'))"
    for unbuffered in ("", "1"):
        message, status = in_shell(f'{sys.executable} -c "{code}" | cat', unbuffered)
        assert status == "1" and "Traceback" in message


def on_terminal(args: list[str], stdout: int | None) -> str:
    """Runs the command with stderr, and stdout unless given, on a terminal; returns what is seen there."""
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    with subprocess.Popen([*COMMAND, *args], stdin=subprocess.DEVNULL, stdout=stdout or end, stderr=end) as process:
        os.close(end)
        seen = b""
        while True:
            try:
                seen += (data := os.read(terminal, 1 << 16))
            except OSError:  # Linux: the other end is closed
                break
            if not data:
                break
    os.close(terminal)
    assert process.returncode == 0
    return seen.decode()


def test_a_bar_is_shown_on_a_terminal_only(model, tmp_path):
    audio = str(audio_of(model))
    args = ["--model", str(model), audio]
    done = run(*args)
    assert (done.stdout.decode(), done.stderr) == (f"{audio}\t{TEXT}\n", b"")
    assert "audio: " in on_terminal(args, subprocess.DEVNULL)
    assert "audio: " in on_terminal(["--output_dir", str(tmp_path), *args], None)
    # There text and bar would run into one another.
    assert on_terminal(args, None) == f"{audio}\t{TEXT}\r\n"


def test_files_are_whole_or_not_there(model, tmp_path):
    (tmp_path / "a.wav").write_bytes(audio_of(model).read_bytes())
    (tmp_path / "out/a.txt").mkdir(parents=True)  # in the way
    done = run("--model", model, "--output_dir", tmp_path / "out", tmp_path / "a.wav")
    assert done.returncode == 1 and b"a.wav is left out: " in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.txt"]


def test_a_file_that_is_called_like_standard_input(model, tmp_path):
    (tmp_path / "-").write_bytes(audio_of(model).read_bytes())
    done = run("--model", model, "./-", cwd=tmp_path, input=b"")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(f"{tmp_path}/-\t".encode())
