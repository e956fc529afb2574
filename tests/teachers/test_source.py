"""Names of teachers, as `--teacher` takes them."""

import subprocess
import sys

import pytest

from espnet_ext import errors
from espnet_ext.errors import UserError
from espnet_ext.teachers.source import FAMILIES, Source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exp/asr_teacher", Source("espnet", "exp/asr_teacher")),
        ("user/name@v1.0", Source("espnet", "user/name@v1.0")),
        ("espnet:exp/a,b=c", Source("espnet", "exp/a,b=c")),
        ("transformers:user/name@main", Source("transformers", "user/name@main")),
        ("transformers:user/name,language=deu", Source("transformers", "user/name", {"language": "deu"})),
        ("whisper:base,language=de,beam=1", Source("whisper", "base", {"language": "de", "beam": "1"})),
        ("whisper:/a,b/base.pt", Source("whisper", "/a,b/base.pt")),
        ("owsm_ctc:exp/owsm,task=asr", Source("owsm_ctc", "exp/owsm", {"task": "asr"})),
    ],
)
def test_names_are_read(text, expected):
    assert Source.parse(text) == expected


def test_a_path_that_exists_is_no_family(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nemo:exp").mkdir()
    assert Source.parse("nemo:exp") == Source("espnet", "nemo:exp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nemo:parakeet", "no family 'nemo' of teachers; valid names: .*whisper.*espnet:..., owsm_ctc:..., transf"),
        ("wisper:base", "did you mean 'whisper'"),
        ("whisper:", "nothing stands after whisper:"),
        ("whisper:base,langage=de", "whisper has no option 'langage'; did you mean 'language'"),
    ],
)
def test_bad_names_are_named(text, message):
    with pytest.raises(UserError, match=message):
        Source.parse(text)


@pytest.mark.parametrize(("family", "package"), [("transformers", "transformers"), ("whisper", "openai-whisper")])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, family, package):
    from espnet_ext.teachers.load import load_teacher

    monkeypatch.setattr(errors, "find_spec", lambda name: None)
    (tmp_path / "model.pt").touch()
    with pytest.raises(
        UserError, match=f"extra '{family}': .* not installed; get (it|them) with: .*pip install .*{package}"
    ):
        load_teacher(f"{family}:{tmp_path / 'model.pt'}")


def test_names_are_read_without_pytorch():
    code = "import sys, espnet_ext.teachers.source; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_help_names_every_family():
    from espnet_ext.teachers.source import HELP

    assert all(f"{name}: " in HELP for name in FAMILIES)
