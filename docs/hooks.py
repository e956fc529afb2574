"""What MkDocs does with these pages beyond its own: formulas as pictures, and reference pages made of the code."""

import argparse
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from html import escape, unescape
from pathlib import Path
from textwrap import dedent

import matplotlib
from matplotlib import mathtext
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_API = {
    "Public names": ["espnet_ext"],
    "Teachers": ["espnet_ext.teachers"],
    "Losses": ["espnet_ext.losses"],
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    for name, text in (("verbs", verbs()), ("options", options()), ("configuration", configuration()), ("api", api())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_content(html: str, **_) -> str:
    """Draws formulas here, so that no page loads a library for them."""
    return re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', lambda found: _formula(found[1]), html, flags=re.S)


def verbs() -> str:
    """Returns the reference of the command `encrl`, out of its parsers."""
    from espnet_ext.cli import VERBS, module_of

    parts = ["# Verbs", "The command is `encrl VERB`, or `python3 -m espnet_ext VERB`. `--help` says the same."]
    for verb, text in VERBS.items():
        parts += [f"## {verb}", text]
        if hasattr(module := module_of(verb), "get_parser"):
            for parser in _parsers(module.get_parser()):
                parts += [f"### {parser.prog}"] if parser.prog != f"encrl {verb}" else []
                parts += [_described(parser), _table(parser._actions)]
        else:
            parts.append("Its options are on a page of their own: [options of run.sh](options.md).")
    return "\n\n".join(filter(None, parts)) + "\n"


def options() -> str:
    """Returns the reference of the options of a recipe."""
    from espnet_ext.recipe.options import Options

    groups: dict[str, list[tuple[str, object, str]]] = {}
    for field in fields(Options):
        if field.metadata:
            heading = field.metadata["group"] or list(groups)[-1]
            groups.setdefault(heading, []).append((f"--{field.name}", field.default, field.metadata["help"]))
    parts = [
        "# Options of run.sh",
        "Options of `asr.sh` that are not here are passed on to it. Relative paths start from the recipe's directory.",
    ]
    for heading, rows in groups.items():
        parts += [f"## {re.split(r' [(]|[.] ', heading)[0]}", _rows(rows)]
    return "\n\n".join(parts) + "\n"


def configuration() -> str:
    """Returns the reference of the keys of an EncRL configuration."""
    from espnet_ext.encrl.task import EncRLTask

    parser = EncRLTask.get_parser()
    group = next(group for group in parser._action_groups if group.title == "EncRL related")
    return (
        "# Configuration\n\nA configuration of EncRL (`conf/encrl.yaml`) has the keys of ESPnet's trainer "
        "(`encrl run --help`, `python3 -m espnet2.bin.asr_train --help`) and these. A configuration of a student, of "
        "finetuning or of a training from scratch is one of ESPnet's `asr_train`. Criteria have a "
        "[page of their own](criteria.md).\n\n" + _table(group._group_actions) + "\n"
    )


def api() -> str:
    """Returns the page of the docstrings."""
    import espnet_ext

    parts = ["# Python API", "Made of the docstrings. [Use from Python](../python.md) has examples."]
    for title, modules in _API.items():
        parts.append(f"## {title}")
        for module in modules:
            names = getattr(espnet_ext, "__all__", []) if module == "espnet_ext" else []
            parts += [f"::: {module}.{name}" for name in names if not name.startswith("_")] or [f"::: {module}"]
    return "\n\n".join(parts) + "\n"


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def _described(parser: argparse.ArgumentParser) -> str:
    text, _, example = (parser.description or "").partition("Example")
    block = f"\n\n```\n{dedent(example.partition(':')[2]).strip()}\n```" if example else ""
    return escape(text.strip(), quote=False) + block


def _table(actions: list[argparse.Action]) -> str:
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    return _rows(
        (action.option_strings[-1] if action.option_strings else action.metavar or action.dest, action.default,
         action.help or "")
        for action in actions
        if not isinstance(action, hidden) and action.help != argparse.SUPPRESS
    )  # fmt: skip


def _rows(options: Iterable[tuple[str, object, str]]) -> str:
    """Returns a table of (name, default, help)."""
    lines = []
    for name, default, text in options:
        if isinstance(default, Path) and default.is_absolute():
            default = default.relative_to(Path(__file__).resolve().parents[1])
        words = default if isinstance(default, list | tuple) else [default]
        shown = " ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in words)
        if default in (None, argparse.SUPPRESS):
            shown = ""
        lines.append(f"| `{name}` | {f'`{_cell(shown)}`' if shown else ''} | {_cell(text)} |")
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *lines]) if lines else ""


def _cell(text: str) -> str:
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|").replace("%%", "%")


def _formula(text: str) -> str:
    """Returns an SVG of a formula, in the colour and on the line of the text around it."""
    text = unescape(text).replace(r"\lVert", r"\Vert").replace(r"\rVert", r"\Vert").replace(r"\frac", r"\,\dfrac")
    out = io.BytesIO()
    with matplotlib.rc_context({"mathtext.fontset": "stix", "svg.hashsalt": "docs"}):
        depth = mathtext.math_to_image(f"${text}$", out, dpi=72, format="svg", color="black")
    svg = re.search(r"<svg.*</svg>", out.getvalue().decode(), re.S)[0]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    width, height = (float(re.search(rf'{side}="([\d.]+)pt"', svg)[1]) for side in ("width", "height"))
    # The picture is of letters of 10 points, a little smaller than those of the text in their em.
    style = "; ".join(f"{name}: {size / 9:.2f}em" for name, size in
                      (("vertical-align", -depth), ("width", width), ("height", height)))  # fmt: skip
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"(fill|stroke): (#000000|black)", r"\1: currentColor", svg)
    label = escape(text, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" style="{style}" ', 1)
