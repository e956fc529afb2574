"""ESPnet has the encoders, and saves whole files, wherever the package is installed."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1]
try:
    importlib.metadata.distribution("espnet-encrl")
    is_installed = True
except importlib.metadata.PackageNotFoundError:
    is_installed = False
needs_install = pytest.mark.skipif(not is_installed, reason="the package is not installed (tools/install.sh does it)")

EXTENSIONS = (
    "from espnet2.tasks.asr import encoder_choices; print(encoder_choices.get_class('torchaudio_conformer').__name__);"
    "from espnet2.train.trainer import torch; print(type(torch).__name__);"
    "from espnet2.main_funcs.average_nbest_models import torch; print(type(torch).__name__)"
)
PRINTED = ["TorchaudioConformerEncoder", "SavingTorch", "SavingTorch"]


def python(*args: str, cwd: Path, **variables: str) -> str:
    """Runs Python where the package can be found only if it is installed; returns what it prints."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run([sys.executable, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_install
@pytest.mark.slow
def test_known_in_process_and_spawned_process(tmp_path):
    (tmp_path / "main.py").write_text(f"""
import multiprocessing

def child():
    {EXTENSIONS}

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    child()
""")
    assert python("main.py", cwd=tmp_path).split() == PRINTED * 2


@needs_install
@pytest.mark.slow
def test_known_to_espnet_command(tmp_path):
    config = python("-m", "espnet2.bin.asr_train", "--print_config", "--encoder", "torchaudio_conformer", cwd=tmp_path)
    assert "\nencoder: torchaudio_conformer\n" in config


@needs_install
def test_start_up_imports_nothing_heavy(tmp_path):
    code = "import sys; print(*(set(sys.modules) & {'torch', 'espnet2', 'numpy', 'espnet_ext.autoload'}))"
    assert python("-c", code, cwd=tmp_path) == "espnet_ext.autoload"


def test_start_up_without_the_package(tmp_path):
    """The .pth file stays silent where its package is gone, e.g. after the project directory was deleted."""
    line = (SOURCE / "espnet_ext.pth").read_text()
    assert line.startswith("import ") and line.count("\n") == 1  # all that Python's site module would run
    block = "import sys; sys.modules['espnet_ext'] = None; sys.modules.pop('espnet_ext.autoload', None)\n"
    done = subprocess.run([sys.executable, "-c", block + line], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Undoes what the .pth file has done, where the package is installed.
FRESH = f"""
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "espnet_ext.autoload"]
for name in [name for name in sys.modules if name.split(".")[0] == "espnet_ext"]:
    del sys.modules[name]
sys.path.insert(0, {str(SOURCE)!r})
"""


@pytest.mark.slow
def test_import_before_espnet(tmp_path):
    """The loader of the task module stays the ordinary one, so that inspect and tracebacks find its source."""
    source = "import inspect; from espnet2.tasks import asr; print('class ASRTask' in inspect.getsource(asr))\n"
    code = FRESH + "import espnet_ext.autoload\n" + source + EXTENSIONS
    assert python("-c", code, cwd=tmp_path).split() == ["True", *PRINTED]


@pytest.mark.slow
def test_import_after_espnet(tmp_path):
    code = FRESH + "import espnet2.tasks.asr\nimport espnet_ext.autoload\n" + EXTENSIONS
    assert python("-c", code, cwd=tmp_path).split() == PRINTED
