"""The report as one HTML file that needs no other file and no network."""

import os
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from espnet_ext.report.charts import curve_charts, scatter_charts
from espnet_ext.report.notes import environment, notes
from espnet_ext.report.palette import Palette
from espnet_ext.report.results import Results
from espnet_ext.report.system import System
from espnet_ext.report.table import Table, cost_table, difference_table, error_table, main_table, pairwise_table
from espnet_ext.score.results import KINDS

# Order counts: the extensions of Chart.js expect it. Origin and licences: web/LICENSES.md.
_SCRIPTS = (
    "chart.umd.min.js", "chartjs-chart-error-bars.min.js", "chartjs-plugin-datalabels.min.js", "sortable.auto.min.js",
    "page.js",
)  # fmt: skip
_FILES = {"config": "config.yaml", "log": "train.log"}


def to_html(results: Results, folder: Path) -> str:
    """Returns the whole page.

    Args:
        results: What is shown.
        folder: Where the page will lie; links to files of the runs start there.
    """
    palette = Palette(results)
    sections: list[tuple[str, Table]] = []
    for name in results.test_sets:
        sections.append((f"{name}: percent of words, by kind of error", error_table(results, name)))
        sections.append((f"{name}: differences", difference_table(results, name)))
        sections += [(f"{name}: p-values of the {kind.upper()} of every two systems",
                      pairwise_table(results, name, kind)) for kind in KINDS]  # fmt: skip
    sections.append(("Training cost", cost_table(results)))
    return _templates().get_template("page.html").render(
        title=results.title, decoding=results.decoding, main=main_table(results),
        colours=[palette.of(system).colour for system in results.systems],
        files=[_links(system, folder) for system in results.systems],
        charts=scatter_charts(results), curves=curve_charts(results),
        sections=[(title, table) for title, table in sections if table.rows],
        unscored=[name for name in results.test_sets if not error_table(results, name).rows],
        notes=notes(results), environment=environment(),
        style=_web("page.css"), scripts=[_web(name) for name in _SCRIPTS],
    )  # fmt: skip


def layout(table: Table) -> str:
    """Returns an HTML table; the cells of `table` are plain text."""
    return _templates().get_template("table.html").module.layout(table)


def _links(system: System, folder: Path) -> list[tuple[str, str]]:
    """Returns (title, relative address) of what a row's runs left; of runs outside of this recipe nothing is named."""
    here, found = Path.cwd().resolve(), []
    for number, run in enumerate(system.runs, 1):
        for title, file in _FILES.items():
            path = (run.exp_dir / file).resolve()
            if path.is_file() and path.is_relative_to(here) and folder.resolve().is_relative_to(here):
                seed = f" {number}" if len(system.runs) > 1 else ""
                found.append((title + seed, os.path.relpath(path, folder.resolve())))
    return found


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("espnet_ext.report", "web"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"sort_key": _sort_key, "split_interval": lambda cell: cell.partition(" [")}
    return templates


def _web(name: str) -> Markup:
    """Returns a style sheet or script of the package, which is not escaped."""
    return Markup((Path(__file__).parent / "web" / name).read_text(encoding="utf-8"))


def _sort_key(cell: str) -> str:
    """Returns the number that a cell begins with; the text itself where it begins with none, nothing for `-`."""
    found = re.match(r"[<+]?(-?\d+(?:\.\d+)?)", cell)
    return found[1] if found else cell.strip("-")
