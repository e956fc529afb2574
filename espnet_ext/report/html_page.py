"""The report as one HTML file that needs no other file and no network."""

import base64
import mimetypes
from html import escape
from pathlib import Path

from espnet_ext.report.notes import environment, notes
from espnet_ext.report.results import Results
from espnet_ext.report.table import (
    PUBLISHED,
    Table,
    cost_table,
    difference_table,
    error_table,
    main_table,
    pairwise_table,
)
from espnet_ext.score.results import KINDS

_STYLE = """
body { font-family: sans-serif; margin: 2em auto; max-width: 90em; padding: 0 1em; color: #222; line-height: 1.4; }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto; }
th, td { padding: 0.25em 0.7em; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #888; }
.name { text-align: left; }
tr:hover td { background: #f4f4f4; }
img { max-width: 100%; }
li { margin: 0.2em 0; }
"""


def to_html(results: Results, figures: list[tuple[str, Path]]) -> str:
    """Returns the whole page.

    Args:
        results: What is shown.
        figures: (title, file) of the figures; PNG, JPEG or SVG, put into the page as data URIs.
    """
    parts = [f"<h1>{escape(results.title)}</h1>", layout(main_table(results)), f"<p>{escape(results.decoding)}</p>"]
    parts += [_list(notes(results)), *(_figure(name, path) for name, path in figures)]
    for name in results.test_sets:
        errors, differences = error_table(results, name), difference_table(results, name)
        parts.append(f"<h2>{escape(name)}: percent of words, by kind of error</h2>")
        parts.append(layout(errors) if errors.rows else "<p>Not scored yet.</p>")
        parts += [f"<h2>{escape(name)}: differences</h2>", layout(differences)] if differences.rows else []
        for kind in KINDS:
            pairs = pairwise_table(results, name, kind)
            title = f"{escape(name)}: p-values of the {kind.upper()} of every two systems"
            parts += [f"<h2>{title}</h2>", layout(pairs)] if pairs.rows else []
    parts += ["<h2>Training cost</h2>", layout(cost_table(results))]
    parts += ["<h2>Environment</h2>", _list(environment())]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(results.title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def layout(table: Table) -> str:
    """Returns an HTML table; the cells of `table` are plain text."""

    def row(tag: str, cells: list[str]) -> str:
        marks = [' class="name"' if place < table.names else "" for place in range(len(cells))]
        parts = [f"<{tag}{mark}>{cell}</{tag}>" for mark, cell in zip(marks, cells, strict=True)]
        return f"<tr>{''.join(parts)}</tr>"

    head = [f"<em>{PUBLISHED}</em>" if cell == PUBLISHED else escape(cell) for cell in table.head]
    body = "\n".join(row("td", [escape(cell) for cell in cells]) for cells in table.rows)
    return f"<table>\n<thead>{row('th', head)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _figure(name: str, path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<h2>{escape(name)}</h2>\n<img alt="{escape(name)}" src="data:{kind};base64,{data}">'


def _list(lines: list[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in lines) + "\n</ul>"
