"""Corpora that tests of recipes read."""

import shutil
from pathlib import Path

import pytest

from tests.recipes.corpora import make_librispeech, make_tedlium


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with LibriSpeech/ and TEDLIUM_release-3/, which no test changes."""
    directory = tmp_path_factory.mktemp("corpora")
    make_librispeech(directory)
    make_tedlium(directory)
    return directory


@pytest.fixture
def own_corpora(corpora: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(corpora, tmp_path / "corpora", symlinks=True)
