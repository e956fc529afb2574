"""The documentation as a site: builds without a warning, and asks for nothing from the network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs the extra docs: pip install '.[docs]'")
pytestmark = pytest.mark.slow
REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=REPO, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_a_page_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]* src="?([^"\s>]+)', text)
        loaded += re.findall(r'<link[^>]* rel="?(?:stylesheet|preconnect|icon)[^>]* href="?([^"\s>]+)', text)
        assert loaded and not [address for address in loaded if "//" in address], page


def test_the_reference_has_every_verb_option_and_public_name(site):
    from espnet_ext.cli import VERBS
    from espnet_ext.recipe.options import Options

    verbs = (site / "reference/verbs.html").read_text(encoding="utf-8")
    assert all(f'id="{verb}"' in verbs for verb in VERBS)
    assert "--context_sec" in verbs and "--max_wer_loss" in verbs
    options = (site / "reference/options.html").read_text(encoding="utf-8")
    assert all(f"--{name}<" in options for name in vars(Options()) if name != "asr")
    assert "--student_init_layers" in (site / "reference/configuration.html").read_text(encoding="utf-8")
    assert "masked" in (site / "reference/api.html").read_text(encoding="utf-8")  # an option of the losses


def test_formulas_are_drawn(site):
    text = (site / "reference/criteria.html").read_text(encoding="utf-8")
    assert text.count('<svg role="img"') > 10 and "arithmatex" not in text


def test_the_criteria_page_names_every_loss_and_its_options():
    import inspect

    from espnet_ext.losses import LOSSES

    text = (REPO / "docs/reference/criteria.md").read_text(encoding="utf-8")
    for name, loss in LOSSES.items():
        assert f"`{name}`" in text, name
        given = inspect.signature(loss).parameters.values()
        for option in [one.name for one in given if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]:
            assert f"`{option}`" in text or f"`{option}:" in text, (name, option)
