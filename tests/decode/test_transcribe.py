"""Transcription of files: any rate and length, joined windows, formats, broken files."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from espnet_ext.cli import export as export_verb
from espnet_ext.cli import transcribe as command
from espnet_ext.data.words import Word
from espnet_ext.decode.audio import find_audio, read_blocks
from espnet_ext.decode.formats import FORMATS
from espnet_ext.decode.long_audio import transcribe, window_samples
from espnet_ext.decode.recognizer import open_recognizer
from espnet_ext.errors import UserError
from tests.tiny import model_conf, save_experiment

FRAME = 640


class Pitch:
    """Says one letter for each step of the pitch, in frames of 40 ms; hears no context."""

    sample_rate, frame_samples = 16000, FRAME
    tokens = ["<blank>", "▁a", "b", "▁c", "d"]
    token_type = "bpe"

    def __call__(self, speech: np.ndarray) -> np.ndarray:
        frames = speech[: len(speech) // FRAME * FRAME].reshape(-1, FRAME)
        crossings = (frames[:, 1:] * frames[:, :-1] < 0).sum(axis=1)  # 40 ms of 25 n Hz have 2 n
        token = np.minimum(np.round(crossings / 20).astype(int), 4)
        return np.where(np.eye(5, dtype=bool)[token], 0.0, -20.0)


def melody(letters: str) -> np.ndarray:
    """Returns audio in which each letter, or a pause '.', lasts two frames."""
    time = np.arange(2 * FRAME) / 16000
    tones = [np.sin(2 * np.pi * 250 * ".abcd".index(letter) * time + 0.3) for letter in letters]
    return np.concatenate(tones).astype(np.float32)


@pytest.mark.parametrize("block", [20, 36, 52, 1000])
def test_windows_are_joined_without_loss_or_repetition(block, tmp_path):
    letters = "ab.cd.a.bbcd.abc." * 6
    soundfile.write(tmp_path / "a.wav", melody(letters), 16000)
    overlap = 8 * FRAME
    blocks = list(read_blocks(tmp_path / "a.wav", 16000, block * FRAME, overlap))
    assert len(blocks) == max(1, math.ceil((2 * len(letters) - 8) / (block - 8)))
    words = list(transcribe(Pitch(), blocks, overlap))
    whole = list(transcribe(Pitch(), [(0, melody(letters))], overlap))
    assert words == whole and len(words) > 20
    assert words[0] == Word("ab", 0.0, 3 * 0.04)  # to where the last letter begins


def test_formats():
    words = [Word("one", 0.0, 0.4), Word("two", 0.5, 0.9), Word("three", 3661.5, 3662.0)]
    assert list(FORMATS["txt"](words)) == ["one", " two", " three", "\n"]
    assert json.loads("".join(FORMATS["json"](words)))["words"][1] == {"word": "two", "start": 0.5, "end": 0.9}
    assert list(FORMATS["srt"](words)) == [
        "1\n00:00:00,000 --> 00:00:00,900\none two\n",
        "\n2\n01:01:01,500 --> 01:01:02,300\nthree\n",
    ]
    close = [Word("so", 0.0, 0.04), Word("then", 0.7, 0.74)]  # the first must not be shown over the second
    assert "00:00:00,000 --> 00:00:00,700" in "".join(FORMATS["srt"](close))
    assert ["".join(FORMATS[name]([])) for name in ("txt", "srt")] == ["\n", ""]


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory):
    return save_experiment(tmp_path_factory.mktemp("exp") / "asr", token_type="char", **model_conf(1))


@pytest.mark.slow
def test_broken_file_is_left_out_and_the_status_tells(exp_dir, tmp_path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "deep/good.wav", np.random.default_rng(0).standard_normal(9000) / 10, 16000)
    soundfile.write(folder / "short.wav", np.zeros(50), 16000)
    (folder / "broken.wav").write_bytes(b"RIFF....")
    (folder / "notes.txt").write_text("no audio")
    cmd = [sys.executable, "-m", "espnet_ext", "transcribe", "--model", str(exp_dir), "--format", "json"]
    result = subprocess.run(
        [*cmd, "--output_dir", str(tmp_path / "out"), str(folder)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1 and "broken.wav is left out" in result.stderr and "1 of 3" in result.stderr
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["deep/good.json", "short.json"]
    assert json.loads((tmp_path / "out/short.json").read_text()) == {"text": "", "words": []}


def test_bad_paths_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        find_audio([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="holds no audio"):
        find_audio([tmp_path])
    with pytest.raises(UserError, match="four times"):
        command.main(["--model", "x", "--window_sec", "3", "--context_sec", "1", "x.wav"])


@pytest.mark.parametrize("hop, layer, frame", [(160, "conv2d6", 960), (256, "conv2d", 1024), (128, "conv2d8", 1024)])
def test_an_output_frame_is_a_whole_number_of_hops(hop, layer, frame, tmp_path):
    conf = model_conf(1, hop_length=hop, input_layer=layer)
    exp_dir = save_experiment(tmp_path / "asr", token_type="char", **conf)
    assert open_recognizer(str(exp_dir)).frame_samples == frame


def test_transcripts_do_not_overwrite_one_another(exp_dir, tmp_path):
    for name in ("a/x.wav", "b/x.wav", "b/x.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros(3000), 16000)
    cmd = ["--model", str(exp_dir), "--output_dir", str(tmp_path / "out")]
    command.main([*cmd, str(tmp_path / "a")])
    with pytest.raises(UserError, match=r"x\.\w+ and .*x\.\w+ would both be written to"):
        command.main([*cmd, str(tmp_path)])
    with pytest.raises(UserError, match="of 2 files needs --output_dir"):
        command.main([*cmd[:2], "--format", "srt", str(tmp_path / "b")])


def test_audio_too_short_for_the_subsampling_is_empty(tmp_path):
    conf = model_conf(1, hop_length=320)
    exp_dir = save_experiment(tmp_path / "asr", token_type="char", **conf)
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(size=16000) / 10, 16000)
    for name, line in (("wav.scp", f"a {tmp_path}/a.wav"), ("text", "a A")):
        (tmp_path / name).write_text(f"{line}\n")
    options = ["--exp_dir", exp_dir, "--data_dir", tmp_path, "--output_dir", tmp_path / "onnx", "--precisions", "fp32"]
    export_verb.main([*map(str, options), "--audio_format", "wav"])
    shortest = json.loads((tmp_path / "onnx/report.json").read_text())["min_samples"]
    assert shortest > 1600
    for source in (exp_dir, tmp_path / "onnx/model.onnx"):
        recognizer = open_recognizer(str(source))
        audio = np.zeros(16000, np.float32)
        lengths = [len(recognizer(audio[:samples])) for samples in (10, 1601, shortest - 1, shortest, 16000)]
        assert lengths[:3] == [0, 0, 0] and lengths[3] == 1 < lengths[4]


@pytest.mark.slow
def test_audio_that_is_cut_off_or_no_audio_is_reported(exp_dir, tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(size=20 * 16000) / 10
    soundfile.write(folder / "whole.mp3", noise, 16000, format="MP3")
    data = (folder / "whole.mp3").read_bytes()
    (folder / "cut.mp3").write_bytes(data[: len(data) // 2])
    (folder / "phone.m4a").write_bytes(b"no audio")
    (folder / "video.mp4").write_bytes(b"no audio, but its sound is there")
    for name, form in (("mac.aif", "AIFF"), ("video.wav", "WAV")):
        soundfile.write(folder / name, noise[:16000], 16000, format=form)
    data = (folder / "video.wav").read_bytes()
    (folder / "cut2.wav").write_bytes(data[: len(data) - 2000])  # 1000 samples of 16000
    # No count of frames in the header: what libsndfile guesses from the size of the tags and frames says nothing.
    data = (folder / "whole.mp3").read_bytes()
    assert b"Xing" in data or b"Info" in data
    frames = data.replace(b"Xing", b"none").replace(b"Info", b"none")
    tag = b"ID3\x04\0\0" + bytes([0, 2, 0, 0]) + bytes(2 << 14)
    (folder / "tagged.mp3").write_bytes(tag + frames)
    soundfile.write(folder / "nan.wav", np.where(np.arange(16000) == 9000, np.nan, noise[:16000]), 16000, "FLOAT")
    cmd = ["--model", exp_dir, "--output_dir", tmp_path / "out", folder]
    result = subprocess.run(
        [sys.executable, "-m", "espnet_ext", "transcribe", *map(str, cmd)], capture_output=True, text=True
    )
    assert result.returncode == 1 and "4 of 8" in result.stderr
    for name in ("cut.mp3", "cut2.wav"):
        assert f"{name} is left out" in result.stderr and f"{name} is cut off" in result.stderr
    assert "phone.m4a is left out" in result.stderr and "nan.wav holds NaN" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "mac.txt",
        "tagged.txt",
        "video.txt",
        "whole.txt",
    ]


def test_missing_onnx_file_and_gpu_are_named(tmp_path):
    with pytest.raises(UserError, match="typo.onnx does not exist"):
        open_recognizer(str(tmp_path / "typo.onnx"))
    with pytest.raises(UserError, match="runs on the CPU"):
        open_recognizer("model.onnx", "cuda")


def test_windows_are_whole_frames():
    window, overlap = window_samples(Pitch(), 30.0, 3.0)
    assert window % FRAME == 0 and overlap % (2 * FRAME) == 0
    assert (window / 16000, overlap / 16000) == (30.0, 6.0)
