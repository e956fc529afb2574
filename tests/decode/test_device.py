"""An exported file needs neither PyTorch nor ESPnet."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

from espnet_ext.decode.recognizer import open_recognizer
from espnet_ext.decode.runtime import OnnxSession
from espnet_ext.errors import UserError
from tests.decode.spoken import export, save_spoken, train_bpe

ROOT = Path(__file__).parents[2]
TOKENS = ["<blank>", "<unk>", "▁one", "▁two", "<0xE2>", "<0x82>", "<0xAC>", "<sos/eos>"]
SAID = ["▁two", "<0xE2>", "<0x82>", "<0xAC>", "<unk>", "▁one"]
TEXT = "two€ ⁇ one"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("spoken")
    save_spoken(folder, SAID, TOKENS, token_type="bpe", bpemodel=str(train_bpe(folder)))
    return export(folder)


def test_nothing_of_a_training_is_imported(model):
    code = (
        "import sys\n"
        "from espnet_ext.cli.transcribe import main\n"
        "main(sys.argv[1:])\n"
        "print(sorted({'torch', 'torchaudio', 'espnet2', 'espnet', 'wandb', 'scipy', 'onnx'} & set(sys.modules)))\n"
    )
    args = ["--model", str(model), str(model.parents[1] / "a.wav")]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{model.parents[1]}/a.wav\t{TEXT}\n[]\n"


def test_nor_by_the_public_names(model):
    code = (
        "import sys\n"
        "from espnet_ext import Student\n"
        "print(Student.from_pretrained(sys.argv[1]).transcribe(sys.argv[2]).text)\n"
        "print(sorted({'torch', 'torchaudio', 'espnet2', 'espnet', 'wandb', 'scipy', 'onnx'} & set(sys.modules)))\n"
    )
    args = [str(model), str(model.parents[1] / "a.wav")]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{TEXT}\n[]\n", "")


@pytest.mark.slow
def test_in_an_environment_without_it(model, tmp_path):
    """Installs the package with the extra for devices, and nothing else, into an environment of its own."""
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    python = tmp_path / "venv/bin/python3"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*args: object) -> subprocess.CompletedProcess:
        return subprocess.run([python, *map(str, args)], capture_output=True, text=True, env=env, cwd=tmp_path)

    done = run("-m", "pip", "install", "--quiet", f"{ROOT}[device]")
    if done.returncode and run("-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "pip").returncode:
        pytest.skip("pip reaches no package index, so there is no environment to install into")
    assert done.returncode == 0, done.stderr
    listed = run("-m", "pip", "list", "--format", "freeze").stdout.lower()
    assert "onnxruntime" in listed and not any(name in listed for name in ("torch", "espnet==", "wandb", "scipy"))
    speech, rate = soundfile.read(model.parents[1] / "a.wav")
    soundfile.write(tmp_path / "a.flac", np.stack([speech, speech], axis=1), rate)
    for name in (model.parents[1] / "a.wav", tmp_path / "a.flac"):
        done = run("-m", "espnet_ext", "transcribe", "--model", model, name)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\t{TEXT}\n", "")
    done = run("-m", "espnet_ext", "transcribe", "--model", model.parents[1] / "asr", tmp_path / "a.flac")
    assert done.returncode == 2 and "asr is no .onnx file, and a model of ESPnet needs torch and espnet2" in done.stderr


@pytest.mark.parametrize(
    "content, message",
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "is a git-lfs pointer.*git lfs pull",
        ),
        (b"", "is empty"),
        (b"no model", "cannot be loaded"),
        (b"PK\x03\x04", "cannot be loaded"),
    ],
)
def test_what_is_no_model_is_named(content, message, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"model.onnx {message}"):
        open_recognizer(str(path))


def test_files_that_say_less_of_themselves(model, tmp_path):
    """As earlier releases wrote them."""
    proto = onnx.load(str(model))
    kept = [entry for entry in proto.metadata_props if entry.key not in ("token_type", "frame_samples")]
    assert len(kept) == len(proto.metadata_props) - 2
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    onnx.save(proto, str(tmp_path / "old.onnx"))
    old, new = open_recognizer(str(tmp_path / "old.onnx")), open_recognizer(str(model))
    assert (old.token_type, old.frame_samples) == (new.token_type, new.frame_samples) == ("bpe", 640)


def test_threads_are_those_that_the_process_may_use(model):
    code = (
        "import os, sys\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from pathlib import Path\n"
        "from espnet_ext.decode.runtime import OnnxSession, available_cores\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "session = OnnxSession(Path(sys.argv[1]))\n"
        "print(available_cores(), len(os.listdir('/proc/self/task')) - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True)
    assert done.stdout == "1 0\n", done.stderr
    with pytest.raises(UserError, match="does not exist"):
        OnnxSession(model.with_name("other.onnx"))
