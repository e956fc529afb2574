"""Whatever the scripts of stages 1 to 15 import is installed. The list is read from the scripts themselves."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recipes.stages import REPO, TEMPLATE

_SHARED = REPO / "egs2/TEMPLATE/encrl1/local"
RECIPES = sorted(path.parent for path in REPO.glob("egs2/*/encrl1/run.sh"))
_SCRIPT = re.compile(r"(?:pyscripts|scripts|utils|steps|local|\.\./TEMPLATE/encrl1)/[\w/-]+\.(?:py|sh|pl)")
_MODULE = re.compile(r"-m (espnet\w*(?:\.\w+)+)")
_INLINE = re.compile(r"""python3? -c ["'](?:import|from) (\w+)""")
# Branches of asr.sh that the recipes never take: other features than raw audio, other tokens than bpe and char.
_OTHER_BRANCHES = ("steps/make_fbank_pitch.sh", "scripts/feats/feat_to_shape.sh", "pyscripts/feats/feat-to-shape.py")


def find_script(name: str, caller: Path, recipe: Path) -> Path | None:
    """Returns the script that a recipe runs by a name: its own, that beside the caller, or that of ESPnet's recipes."""
    espnet = (TEMPLATE.parents[1] / path.parent.name / "asr1" for path in RECIPES)
    places = (recipe, caller.parent, *caller.resolve().parents[:2], TEMPLATE, *espnet)
    return next((place / name for place in places if (place / name).is_file()), None)


def scripts_of(recipe: Path) -> set[Path]:
    """Follows the scripts from asr.sh and local/data.sh of a recipe."""
    found: set[Path] = set()
    ahead = [recipe / "run.sh", TEMPLATE / "asr.sh", recipe / "local/data.sh", *REPO.glob("espnet_ext/recipe/*.py")]
    while ahead:
        script = ahead.pop()
        if script.resolve() in found:
            continue
        found.add(script.resolve())
        for name in _SCRIPT.findall(script.read_text(encoding="utf-8", errors="replace")):
            if name not in _OTHER_BRANCHES and (path := find_script(name, script, recipe)):
                ahead.append(path)
    return found


def imports_of(script: Path) -> Iterator[str]:
    """Gives the modules that a script needs."""
    text = script.read_text(encoding="utf-8", errors="replace")
    if script.suffix != ".py":
        yield from (name for name in _MODULE.findall(text) if not name.endswith("_"))
        yield from _INLINE.findall(text)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # A module of the recipe beside it, or one that recipes share.
            if not any((place / f"{node.module}.py").is_file() for place in (script.parent, _SHARED)):
                yield node.module


@pytest.mark.slow
def test_scripts_find_what_they_import():
    if not TEMPLATE.exists():
        pytest.skip("needs ESPnet's recipe tree: run tools/install.sh")
    scripts = set().union(*map(scripts_of, RECIPES))
    names = {script.name for script in scripts}
    assert {"format_wav_scp.py", "perturb_data_dir_speed.sh", "calculate_rtf.py", "join_suffix.py"} <= names
    needed: dict[str, str] = {}
    for script in scripts:
        needed |= dict.fromkeys(imports_of(script), script.name)
    assert {"resampy", "soundfile", "humanfriendly", "espnet2.bin.tokenize_text", "espnet2.bin.pack"} <= needed.keys()
    # Another process, since this one may have imported stand-ins.
    code = "import sys, importlib\nfor name in sys.argv[1:]:\n try: importlib.import_module(name)\n"
    code += " except ImportError as error: print(name, repr(error))"
    ran = subprocess.run([sys.executable, "-c", code, *sorted(needed)], capture_output=True, text=True, check=True)
    assert not [f"{needed[line.split()[0]]}: {line}" for line in ran.stdout.split("\n") if line]
