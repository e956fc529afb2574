"""The rooms of the house: what a module imports lies below it (docs/architecture.md)."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "espnet_ext"
# From the street to the cellar: a package or a module of its own, each may import those after it.
ROOMS = (
    "__main__ cli espnet_ext experiments recipe publish export report decode encrl labels teachers autoload score "
    "checkpoints data audio encoder losses record required conf_dirs warmup precision train_log config directories "
    "files local_paths yaml_limits quiet constants errors"
).split()
# Arrows that climb, and why.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("checkpoints/derive.py", "espnet_ext.autoload"): "registers our encoders where no .pth file has done it",
}


def room(module: str) -> str:
    """Returns the room of `espnet_ext.room.module`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imported(file: Path) -> set[str]:
    """Returns the modules of this package that a file imports, also in functions and for types only."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            is_module = {name: _exists(name) for name in names}
            found |= {name if is_module[name] else node.module for name in names}
    return {name for name in found if name.split(".")[0] == PACKAGE.name}


def _exists(module: str) -> bool:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def arrows() -> list[tuple[str, str, str]]:
    """Returns (file, its room, module that it imports) of all files."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        found += [(str(path.relative_to(PACKAGE)), room(name), target) for target in sorted(imported(path))]
    return found


def test_every_module_has_its_room():
    rooms = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    rooms = rooms - {"__init__", "__pycache__"} | {"espnet_ext"}
    assert {name for name in rooms if name == "espnet_ext" or _exists(f"espnet_ext.{name}")} == set(ROOMS)


def test_no_arrow_climbs():
    climbing = {
        (file, target)
        for file, here, target in arrows()
        if room(target) != here and ROOMS.index(room(target)) <= ROOMS.index(here)
    }
    assert climbing == EXCEPTIONS.keys()  # no others, and none that is no longer needed


def test_an_arrow_that_climbs_is_seen(tmp_path):
    (tmp_path / "a.py").write_text(
        "def f():\n    from espnet_ext import cli\n    from espnet_ext.recipe.jobs import Job\n"
    )
    assert imported(tmp_path / "a.py") == {"espnet_ext.cli", "espnet_ext.recipe.jobs"}
