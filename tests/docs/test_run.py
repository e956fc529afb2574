"""Blocks of documents that are marked to run, as they stand there, in the quick start's recipe after it has run.

The recipe is made small: fewer utterances, one epoch of each training. Names that stand for those of a user
(`exp/asr_e6`, `talk.mp3`) are links to what the run made.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
import soundfile

from tests.docs.commands import RUN, Block, blocks, documents
from tests.docs.known import DEFAULT_CORPUS
from tests.recipes.corpora import REPO, copy_recipe
from tests.recordings import write

RUNNABLE = [block for path in documents() for block in blocks(path) if block.runs]
SMALL = "--num_train 60 --num_valid 12 --num_test 24"
pytestmark = [pytest.mark.slow, pytest.mark.full]


def shell(script: str, directory: Path) -> str:
    """Runs commands as a user's shell does that stops at the first mistake; returns what they print."""
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=directory, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout[-5000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The root of a copy of the project in which the quick start has run."""
    if not (REPO / "tools/espnet/egs2").exists():
        pytest.skip("needs ESPnet's recipe tree: run tools/install.sh")
    root = tmp_path_factory.mktemp("project")
    recipe = copy_recipe(DEFAULT_CORPUS, root)
    for name in ("run.sh", "benchmarks", "espnet_ext", "docs", "tests"):
        (root / name).symlink_to(REPO / name)
    run_sh = recipe / "run.sh"
    text = run_sh.read_text()
    assert '--local_data_opts "' in text
    run_sh.write_text(text.replace('--local_data_opts "', f'--local_data_opts "{SMALL} '))
    for config in recipe.glob("conf/*.yaml"):
        if not config.is_symlink():
            config.write_text(re.sub(r"^max_epoch: \d+", "max_epoch: 1", config.read_text(), flags=re.M))
    shell("./run.sh", recipe)
    for name in ("teacher", "e6_encrl", "e4_encrl", "e2_encrl"):
        (exp_dir,) = recipe.glob(f"exp/asr_{name}_raw_*")
        (recipe / f"exp/asr_{name.removesuffix('_encrl')}").symlink_to(exp_dir.name)
    samples, rate = soundfile.read(sorted((recipe / "downloads").glob("*/test/**/*.flac"))[0])
    write(recipe / "talk.mp3", samples, rate)
    return root


@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: block.where)
def test_a_block_runs_as_it_stands(block: Block, finished: Path):
    shell(block.text, finished / "egs2" / DEFAULT_CORPUS / "encrl1")


def test_some_blocks_are_marked():
    assert RUNNABLE, f"no document has a block after {RUN}"
