"""A student as a value: files and samples give what the verb gives."""

import numpy as np
import pytest
import soundfile

from espnet_ext import Student
from espnet_ext.decode.audio import array_blocks, read_blocks
from espnet_ext.errors import UserError
from tests.decode.spoken import export, save_spoken

TOKENS = ["<blank>", "<unk>", "o", "n", "e", "t", "w", "<space>", "<sos/eos>"]
SAID = ["t", "w", "o", "<space>", "n", "e"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spoken")
    save_spoken(folder, SAID, TOKENS, token_type="char")
    return folder


@pytest.mark.parametrize("kind", ["directory", "checkpoint", "onnx"])
def test_text_and_times_of_a_file(folder, kind):
    checkpoint = folder / "asr/valid.cer_ctc.ave.pth"
    source = {"directory": folder / "asr", "checkpoint": checkpoint}.get(kind) or export(folder)
    student = Student.from_pretrained(source)
    transcript = student.transcribe(folder / "a.wav")
    assert transcript.text == str(transcript) == "two ne"
    assert [(word.text, round(word.start, 2), round(word.end, 2)) for word in transcript.words] == [
        ("two", 0.0, 0.12),
        ("ne", 0.16, 0.24),
    ]
    assert student.sample_rate == 16000 and student.tokens == TOKENS and repr(source)[-10:-2] in repr(student)


def test_samples_are_as_the_file(folder):
    student = Student.from_pretrained(folder / "asr")
    samples, rate = soundfile.read(folder / "a.wav", dtype="float32")
    for given in (samples, samples[:, None], samples.astype(np.float64), np.stack([samples, samples], axis=1)):
        assert student.transcribe(given, rate).text == "two ne"


@pytest.mark.parametrize("rate, channels", [(16000, 1), (16000, 2), (44100, 2)])
def test_blocks_of_samples_are_those_of_the_file(rate, channels, tmp_path):
    samples = np.random.default_rng(0).integers(-9000, 9000, (rate * 9, channels)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, rate)
    of_file = list(read_blocks(tmp_path / "a.wav", 16000, 40000, 8000))
    of_array = list(array_blocks(samples, rate, 16000, 40000, 8000))
    assert len(of_file) == len(of_array) > 3
    for (first, ours), (second, theirs) in zip(of_file, of_array, strict=True):
        assert first == second and np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "samples, rate, message",
    [
        (np.zeros(100), None, "give it in Hz"),
        (np.zeros((2, 100)), 16000, r"shape \(2, 100\) are no audio"),
        (np.array([0.0, np.nan]), 16000, "must be finite"),
        (np.zeros(100, np.uint8), 16000, "uint8 must be"),
        ([["a"]], 16000, "must be finite floats"),
    ],
)
def test_what_is_no_audio_is_refused(folder, samples, rate, message):
    with pytest.raises(UserError, match=message):
        Student.from_pretrained(folder / "asr").transcribe(samples, rate)


def test_bad_windows_and_sources_are_refused(folder):
    with pytest.raises(UserError, match="four times"):
        Student.from_pretrained(folder / "asr").transcribe(folder / "a.wav", window_sec=3.0, context_sec=1.0)
    for window_sec in (float("nan"), float("inf")):
        with pytest.raises(UserError, match="four times"):
            Student.from_pretrained(folder / "asr").transcribe(folder / "a.wav", window_sec=window_sec)
    with pytest.raises(UserError, match="nowhere.pth does not exist"):
        Student.from_pretrained(folder / "nowhere.pth")
