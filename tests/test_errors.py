"""The hint of a package that is missing is a command that works."""

import shlex
import sys
from importlib.metadata import requires

import pytest

from espnet_ext import errors
from espnet_ext.errors import UserError, require


def hint(monkeypatch, missing, *modules, extra):
    """Returns the words of the command for modules that cannot be found."""
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name in missing else object())
    with pytest.raises(UserError, match="not installed; get (it|them) with: ") as raised:
        require(*modules, extra=extra)
    return shlex.split(str(raised.value).partition(" with: ")[2])


def test_the_hint_names_what_an_index_has(monkeypatch):
    command = hint(monkeypatch, ("onnx", "sherpa_onnx"), "onnx", "onnxruntime", "sherpa_onnx", extra="export")
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    needed = [
        line.partition(";")[0].strip() for line in requires("espnet-encrl") if "'export'" in line.replace('"', "'")
    ]
    assert command[4:] == [line for line in needed if not line.startswith("onnxruntime")] and len(command) == 6
    assert not any("espnet-encrl" in word for word in command)


@pytest.mark.parametrize("extra, modules", [("device", ("soundfile", "av")), ("beam", ("flashlight_text",))])
def test_of_every_extra(monkeypatch, extra, modules):
    command = hint(monkeypatch, modules, *modules, extra=extra)[4:]
    assert [word.partition(">")[0] for word in command] == [module.replace("_", "-") for module in modules]
    assert all(">=" in word for word in command)


def test_without_metadata_of_this_package(monkeypatch):
    def absent(_):
        raise errors.metadata.PackageNotFoundError

    monkeypatch.setattr(errors.metadata, "requires", absent)
    assert hint(monkeypatch, ("sherpa_onnx",), "sherpa_onnx", extra="export")[4:] == ["sherpa-onnx"]


def test_nothing_is_said_of_what_is_there():
    require("sys", "json", extra="export")
