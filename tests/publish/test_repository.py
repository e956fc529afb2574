"""Upload to a real server that speaks the hub's protocol; in a process each, which reads the address when it starts."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from espnet_ext.errors import UserError
from espnet_ext.publish.repository import stage_files
from tests.publish.hub import TOKEN, running_hub

ROOT = Path(__file__).parents[2]
UPLOAD = """
import sys
from espnet_ext.errors import run_main
from espnet_ext.publish.repository import check_access, upload
def main():
    api = check_access(sys.argv[1], sys.argv[2] == "create")
    if len(sys.argv) > 3:
        print(upload(api, sys.argv[1], sys.argv[3]))
run_main(main)
"""


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "files"
    (folder / "exp").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    for name in ("exp/a.pth", "exp/b.pth"):
        (folder / name).write_bytes(os.urandom(5000))
    return folder


def call(hub, tmp_path, *words, token=TOKEN, status=0) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)
    }  # fmt: skip
    if token:
        env["HF_TOKEN"] = token
    result = subprocess.run(
        [sys.executable, "-c", UPLOAD, *map(str, words)], capture_output=True, text=True, env=env, timeout=120
    )
    assert result.returncode == status, result.stderr
    return result.stdout + result.stderr


def test_folder_arrives_whole_in_a_new_repository(hub, folder, tmp_path):
    assert "someone/new/commit/1" in call(hub, tmp_path, "someone/new", "create", folder)
    sent = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert hub.repos["someone/new"] == sent


def test_broken_upload_continues(hub, folder, tmp_path):
    hub.fail_after = 1
    output = call(hub, tmp_path, "someone/there", "no", folder, status=2)
    assert "run again: what has arrived is kept" in output
    assert hub.repos["someone/there"] == {} and len(hub.objects) == 1
    hub.fail_after = None
    call(hub, tmp_path, "someone/there", "no", folder)
    assert hub.sent == 2 and set(hub.repos["someone/there"]) == {"README.md", "exp/a.pth", "exp/b.pth"}


def test_a_second_upload_leaves_nothing_of_the_first_model(hub, folder, tmp_path):
    hub.repos["someone/there"] = {".gitattributes": b"", "onnx/model.old.onnx": b"x", "notes.txt": b"kept"}
    call(hub, tmp_path, "someone/there", "no", folder)
    (folder / "exp/a.pth").unlink()
    call(hub, tmp_path, "someone/there", "no", folder)
    assert set(hub.repos["someone/there"]) == {".gitattributes", "README.md", "exp/b.pth", "notes.txt"}


@pytest.mark.parametrize(
    "repo, token, message",
    [
        ("someone/there", None, "there is no Hugging Face token; log in"),
        ("someone/there", "hf_bad", "refuses the Hugging Face token"),
        ("someone/there", "hf_busy", "answers with status 503; try again later"),
        ("someone/there", "hf_read", "may only read"),
        ("someone/missing", TOKEN, "there is no such repository"),
        ("other/there", TOKEN, "someone may upload to someone only"),
    ],
)
def test_what_is_missing_is_said_before_any_work(hub, tmp_path, repo, token, message):
    output = call(hub, tmp_path, repo, "no", token=token, status=2)
    assert output.startswith("error: ") and message in output and len(output.splitlines()) <= 2


def test_hub_out_of_reach(hub, tmp_path):
    hub.url = "http://127.0.0.1:9"
    assert "cannot be reached" in call(hub, tmp_path, "someone/there", "no", status=2)


def test_staged_files_are_the_archive_and_the_export(tmp_path):
    archive, onnx = tmp_path / "a.zip", tmp_path / "onnx"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("exp/config.yaml", "x: 1")
    (onnx / "sherpa_onnx").mkdir(parents=True)
    (onnx / "sherpa_onnx/model.onnx").write_bytes(b"x")
    (onnx / ".model.onnx.17").write_bytes(b"left by a kill")
    model = tmp_path / "model.pth"
    model.touch()
    os.utime(model, (0, 0))
    digest = hashlib.sha256(b"").hexdigest()
    (onnx / "report.json").write_text(json.dumps({"checkpoint_sha256": digest}))
    expected = ["exp/config.yaml", "onnx/report.json", "onnx/sherpa_onnx/model.onnx"]
    assert stage_files(model, archive, onnx, tmp_path / "out") == expected
    assert stage_files(model, archive, tmp_path / "none", tmp_path / "out") == ["exp/config.yaml"]
    model.write_bytes(b"another one")
    os.utime(model, (0, 0))
    with pytest.raises(UserError, match=r"onnx was not made of .*model.pth.*--skip_export false"):
        stage_files(model, archive, onnx, tmp_path / "out")
    shutil.rmtree(onnx)
    os.utime(archive, (10, 10))
    os.utime(model, (20, 20))
    with pytest.raises(UserError, match=r"a\.zip is older than .*--skip_packing false"):
        stage_files(model, archive, onnx, tmp_path / "out")
    os.utime(model, (0, 0))
    data = bytearray(archive.read_bytes())
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"a\.zip is damaged .*pack again"):
        stage_files(model, archive, onnx, tmp_path / "out")
    archive.unlink()
    with pytest.raises(UserError, match="stage 14"):
        stage_files(model, archive, onnx, tmp_path / "out")
