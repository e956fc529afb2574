"""Upload of a page to a real server that speaks the hub's protocol."""

import os
import subprocess
import sys

import pytest

from espnet_ext.cli import publish as publish_verb
from espnet_ext.directories import MARKER
from espnet_ext.errors import UserError
from tests.publish.hub import TOKEN, running_hub


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "demo"
    (folder / "ort").mkdir(parents=True)
    for name in (MARKER, "README.md", "students.json", "e1.onnx", "ort/a.wasm"):
        (folder / name).write_bytes(os.urandom(100) if name.endswith(("onnx", "wasm")) else b"---\nsdk: static\n---\n")
    return folder


def publish(hub, page, *words):
    """Uploads in a process, which reads the address when it starts."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(page.parent / "home"), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN
    }  # fmt: skip
    command = [sys.executable, "-m", "espnet_ext", "publish", "--demo_dir", str(page), *words]
    result = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    return result.returncode, result.stdout + result.stderr


def test_a_page_becomes_a_static_space_beside_the_model(page):
    with running_hub() as hub:
        words = ("--repo", "someone/there")
        status, said = publish(hub, page, *words)
        assert status == 2 and "there is no such repository" in said and "/new-space" in said
        assert publish(hub, page, *words, "--check_only", "true", "--create_repo", "true")[0] == 0
        (page / "e1.onnx").rename(page / "e2.onnx")
        for _ in range(2):
            status, said = publish(hub, page, *words)
            assert status == 0 and "uploaded: " in said and "ort/a.wasm" in said
            assert set(hub.repos["spaces/someone/there"]) == {"README.md", "students.json", "e2.onnx", "ort/a.wasm"}
            hub.repos["spaces/someone/there"]["e1.onnx"] = b"of an earlier page"
        assert hub.repos["someone/there"] == {}


def test_a_dry_run_asks_for_no_hub(page, capsys, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    publish_verb.main(["--repo", "someone/there", "--demo_dir", str(page), "--dry_run", "true"])
    said = capsys.readouterr().out
    assert "e1.onnx" in said and MARKER not in said and "Nothing is uploaded" in said


def test_what_is_no_page_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no page; write it first .stage 14"):
        publish_verb.main(["--repo", "someone/there", "--demo_dir", str(tmp_path)])
