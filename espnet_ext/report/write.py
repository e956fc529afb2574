"""The files of a report."""

import os
from pathlib import Path

from espnet_ext.files import atomic
from espnet_ext.report.csv_files import pairwise_csv, systems_csv
from espnet_ext.report.curves import plot_curves
from espnet_ext.report.html_page import to_html
from espnet_ext.report.markdown import layout, to_markdown
from espnet_ext.report.notes import notes
from espnet_ext.report.plot import plot_cost, plot_parameters
from espnet_ext.report.results import Results
from espnet_ext.report.table import main_table


def write_report(results: Results, output: Path, plot: Path, curves: Path, html: Path | None = None) -> list[Path]:
    """Writes Markdown, two CSV, one HTML page and the figures.

    Args:
        results: what is shown.
        output: the Markdown file; the CSV go next to it.
        plot: figure of WER and parameters; that of the cost goes next to it (*_vs_cost).
        curves: figure of the losses of every epoch.
        html: default: next to `output`.

    Returns:
        The files.
    """
    page = html or output.with_suffix(".html")
    cost = plot.with_stem(f"{plot.stem.removesuffix('_vs_params')}_vs_cost")
    drawn = {
        ("WER against parameters", plot): plot_parameters(results, plot),
        ("WER against training cost", cost): plot_cost(results, cost),
        ("Losses of every epoch", curves): plot_curves(results, curves),
    }
    figures = [figure for figure, there in drawn.items() if there]
    links = [(name, os.path.relpath(path, output.parent)) for name, path in figures]
    texts = {
        output: to_markdown(results, links),
        output.with_suffix(".csv"): systems_csv(results),
        output.with_name(f"{output.stem}_pairwise.csv"): pairwise_csv(results),
        page: to_html(results, page.parent),
    }
    for path, text in texts.items():
        write_text(path, text)
    return [*texts, *(path for _, path in figures)]


def show_report(results: Results, output: Path, plot: Path, curves: Path, html: Path | None = None) -> None:
    """Writes a report (see `write_report`), and prints its table and notes."""
    files = write_report(results, output, plot, curves, html)
    print(f"\n{layout(main_table(results))}\n")
    print("\n".join(notes(results)))
    print("written: " + ", ".join(map(str, files)))


def write_text(path: Path, text: str) -> None:
    """Writes a file that appears complete or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
