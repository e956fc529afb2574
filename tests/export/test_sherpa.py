"""The folder for sherpa-onnx, through sherpa-onnx."""

import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import distribution

import numpy as np
import pytest
import soundfile
import torch

from espnet_ext.decode.greedy import best_paths
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.export.sherpa import check_sherpa, mean_level, transcribe, write_sherpa
from espnet_ext.export.sherpa_files import COMMAND
from espnet_ext.publish.snippets import SHERPA
from tests.tiny import model_conf, save_experiment

FRAME_SAMPLES, MIN_SAMPLES = 640, 960


def load(folder, **conf):
    conf = {**model_conf(1), **conf}
    model = load_model(save_experiment(folder / "asr", token_type="char", **conf), None, "cpu")
    with torch.no_grad():
        model.model.ctc.ctc_lo.weight[0] = 0  # says something other than blank
    return model


def signal(seconds: float, level: float) -> torch.Tensor:
    time = torch.arange(int(16000 * seconds)) / 16000
    noise = 0.01 * torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    wave = torch.sin(2 * torch.pi * (300 + 900 * torch.sin(2 * time)) * time) + noise
    wave -= wave.mean()
    return level * wave / wave.std(correction=0)


def expected_texts(model, signals):
    texts = []
    for one in signals:
        with torch.inference_mode():
            log_probs, frames = ExportedCTC(model.model)(one[None], torch.tensor([len(one)]))
        tokens = model.tokens(best_paths(log_probs, frames)[0].token_ids)
        texts.append(" ".join("".join(tokens).replace("▁", " ").split()))
    return texts


@pytest.mark.parametrize("normalize, levels", [("global", (0.1, 0.1)), ("utterance_mvn", (0.05, 0.2))])
def test_sherpa_hears_what_the_model_hears(normalize, levels, tmp_path):
    """At one level with normalisation by the training set (or none), at any with normalisation by the utterance."""
    model = load(tmp_path, **({} if normalize == "global" else {"normalize": normalize}))
    signals = [signal(seconds, level) for seconds, level in zip((2.0, 3.1), levels, strict=True)]
    write_sherpa(model, mean_level(signals), FRAME_SAMPLES, tmp_path / "sherpa")
    expected = expected_texts(model, signals)
    assert all(expected)
    assert transcribe(tmp_path / "sherpa", "model.onnx", signals, 16000) == expected


def test_mean_level_is_between_levels_and_ignores_silence():
    signals = [signal(1.0, 0.01), signal(1.0, 1.0), torch.zeros(100)]
    assert mean_level(signals) == pytest.approx(0.1, rel=1e-3)
    assert mean_level([torch.zeros(10)]) == 1.0


def test_folder_runs_by_itself(tmp_path):
    model = load(tmp_path)
    folder = tmp_path / "sherpa"
    write_sherpa(model, 0.1, FRAME_SAMPLES, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "model.int8.onnx", "model.onnx", "run.py", "tokens.txt",
    ]  # fmt: skip
    assert "40 ms, so multiply them by 2" in (folder / "README.md").read_text()
    speech = signal(1.0, 0.1).numpy()
    soundfile.write(folder / "a.wav", speech, 16000)
    soundfile.write(folder / "short.wav", speech[: MIN_SAMPLES - 1], 16000)
    soundfile.write(folder / "empty.wav", speech[:0], 16000)
    soundfile.write(folder / "stereo.wav", np.stack([0 * speech, speech], axis=1), 16000)
    names = [str(folder / name) for name in ("short.wav", "a.wav", "stereo.wav", "empty.wav")]
    command = [sys.executable, str(folder / "run.py"), *names]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    texts = dict(line.partition(" ")[::2] for line in result.stdout.splitlines())
    assert list(texts) == names
    assert texts[names[0]] == texts[names[3]] == "" and texts[names[1]] == texts[names[2]] != ""


# In a process of its own, which C++ code may end.
DECODE = """
import sys
import numpy
import sherpa_onnx
folder, file = sys.argv[1:3]
recognizer = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
    model=f"{folder}/{file}", tokens=f"{folder}/tokens.txt", num_threads=1)
speech = numpy.load(f"{folder}/speech.npy")
for samples in sys.argv[3:]:
    stream = recognizer.create_stream()
    stream.accept_waveform(16000, speech[: int(samples)])
    recognizer.decode_stream(stream)
    print(samples, stream.result.text.strip())
"""


@pytest.mark.parametrize("file", ["model.onnx", "model.int8.onnx"])
def test_audio_of_any_length_has_a_text(file, tmp_path):
    """The shortest that gives a frame is 960 samples; sherpa-onnx itself asks for 400 in some versions."""
    model = load(tmp_path)
    write_sherpa(model, 0.1, FRAME_SAMPLES, tmp_path / "sherpa")
    np.save(tmp_path / "sherpa/speech.npy", signal(1.0, 0.1).numpy())
    lengths = [0, 1, 2, 100, 399, 400, 401, 800, 959, 960, 1600, 16000]
    command = [sys.executable, "-c", DECODE, str(tmp_path / "sherpa"), file, *map(str, lengths)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    texts = {int(number): text for number, _, text in (line.partition(" ") for line in result.stdout.splitlines())}
    assert list(texts) == lengths
    assert [samples for samples in lengths if texts[samples]] == [960, 1600, 16000]


def command_of(markdown: str) -> list[str]:
    """Returns the command line that a README names, as a user copies it."""
    (line,) = re.findall(r"sherpa-onnx-offline [^`\n]+\.wav", markdown)
    return shlex.split(line)


def test_command_line_of_the_readme(tmp_path):
    """With the program of sherpa-onnx-bin, in the folder, for audio of any length."""
    model = load(tmp_path)
    folder = tmp_path / "sherpa"
    write_sherpa(model, 0.1, FRAME_SAMPLES, folder)
    readme = (folder / "README.md").read_text()
    (package,) = set(re.findall(r"pip install (sherpa-onnx-bin)", readme))
    assert command_of(readme)[0] in {file.name for file in distribution(package).files}
    command = command_of(readme)
    for samples in (16000, 960, 959, 401):
        soundfile.write(folder / command[-1], signal(1.0, 0.1).numpy()[:samples], 16000)
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
        assert result.returncode == 0, result.stderr
        found = next(json.loads(line) for line in (result.stdout + result.stderr).splitlines() if line.startswith("{"))
        speech = torch.from_numpy(soundfile.read(folder / command[-1], dtype="float32")[0])
        assert " ".join(found["text"].split()) == transcribe(folder, "model.int8.onnx", [speech], 16000)[0]
        assert bool(found["text"].strip()) == (samples >= 960)


def test_command_line_of_the_model_card():
    assert "pip install sherpa-onnx-bin" in SHERPA
    assert command_of(SHERPA)[:-1] == COMMAND.split()


def test_blanks_of_character_models_are_blanks(tmp_path):
    tokens = ["<blank>", "<space>", "A", "<unk>", "<sos/eos>"]
    exp_dir = save_experiment(tmp_path / "asr", tokens=tokens, token_type="char", **model_conf(1))
    model = load_model(exp_dir, None, "cpu")
    write_sherpa(model, 0.1, FRAME_SAMPLES, tmp_path / "sherpa")
    assert (tmp_path / "sherpa/tokens.txt").read_text(encoding="utf-8").splitlines()[:3] == [
        "<blank> 0",
        "\u2581 1",
        "A 2",
    ]
    with torch.no_grad():
        model.model.ctc.ctc_lo.weight.zero_()
        model.model.ctc.ctc_lo.bias[:] = torch.tensor([0.0, 2.0, 1.0, 0.0, 0.0])  # says <space> only
    write_sherpa(model, 0.1, FRAME_SAMPLES, tmp_path / "blanks")
    assert transcribe(tmp_path / "blanks", "model.onnx", [signal(1.0, 0.1)], 16000) == [""]


def test_words_as_tokens_have_blanks_between_them(tmp_path):
    tokens = ["<blank>", "one", "two", "<unk>", "<sos/eos>"]
    exp_dir = save_experiment(tmp_path / "asr", tokens=tokens, token_type="word", **model_conf(1))
    model = load_model(exp_dir, None, "cpu")
    noise = 0.1 * torch.randn(32000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        weight, bias = model.model.ctc.ctc_lo.weight, model.model.ctc.ctc_lo.bias
        weight[[0, 2, 3, 4]] = 0
        encoded, _ = model.model.encode(noise[None], torch.tensor([32000]))
        # One in half of the frames, two in the others.
        bias[:] = torch.tensor([-99.0, -(encoded[0] @ weight[1]).median(), 0.0, -99.0, -99.0])
    write_sherpa(model, 0.1, FRAME_SAMPLES, tmp_path / "sherpa")
    (text,) = transcribe(tmp_path / "sherpa", "model.onnx", [noise], 16000)
    assert set(text.split()) == {"one", "two"}


def test_other_sampling_rate_is_refused(tmp_path):
    conf = model_conf(1)
    conf["frontend_conf"] = {**conf["frontend_conf"], "fs": 8000}
    model = load_model(save_experiment(tmp_path / "asr", token_type="char", **conf), None, "cpu")
    with pytest.raises(UserError, match="16000 Hz, this one was trained with 8000 Hz"):
        check_sherpa(model)
