"""Compares trained models: Markdown, CSV, figures and one HTML page, with intervals and p-values."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic

if TYPE_CHECKING:
    from espnet_ext.report.results import Results

_WITH_EXP_DIRS = ("inference_tag", "inference_asr_model", "test_sets")


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Write the comparison of trained models. What is not there yet appears as '-' with a note.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    rows = parser.add_mutually_exclusive_group(required=True)
    rows.add_argument("--exp_dirs", type=Path, nargs="+", help="directories of teacher and students, a row each")
    rows.add_argument(
        "--rows",
        type=Path,
        metavar="FILE",
        help="YAML with the rows instead: title, test_sets, rows of label, decode_dirs (one per seed), compare_to, "
        "published, note; relative paths in it start at the current directory",
    )
    parser.add_argument("--inference_tag", help="directory of the decoding results in each of --exp_dirs")
    parser.add_argument("--inference_asr_model", help="model file that was decoded, for the caption of --exp_dirs")
    parser.add_argument("--test_sets", help="names of the test sets of --exp_dirs, separated by spaces")
    parser.add_argument("--output", type=Path, default=Path("RESULTS.md"), help="Markdown file; two CSV go next to it")
    parser.add_argument(
        "--html", type=Path, help="the same as one page with the figures in it (default: next to --output)"
    )
    parser.add_argument(
        "--plot", type=Path, default=Path("exp/wer_vs_params.png"),
        help="figure: WER and parameters; WER and training cost goes next to it (*_vs_cost)",
    )  # fmt: skip
    parser.add_argument(
        "--curves", type=Path, default=Path("exp/training_curves.png"), help="figure: losses of every epoch"
    )
    parser.add_argument("--title", help="heading of the report and of the figures (default: of --rows, or 'Results')")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.report.csv_files import pairwise_csv, systems_csv
    from espnet_ext.report.curves import plot_curves
    from espnet_ext.report.html_page import to_html
    from espnet_ext.report.markdown import layout, to_markdown
    from espnet_ext.report.notes import notes
    from espnet_ext.report.plot import plot_cost, plot_parameters
    from espnet_ext.report.table import main_table

    results = _results(args)
    cost_figure = args.plot.with_stem(f"{args.plot.stem.removesuffix('_vs_params')}_vs_cost")
    drawn = {
        ("WER against parameters", args.plot): plot_parameters(results, args.plot),
        ("WER against training cost", cost_figure): plot_cost(results, cost_figure),
        ("Losses of every epoch", args.curves): plot_curves(results, args.curves),
    }
    figures = [figure for figure, there in drawn.items() if there]
    links = [(name, os.path.relpath(path, args.output.parent)) for name, path in figures]
    html_file = args.html or args.output.with_suffix(".html")
    texts = {
        args.output: to_markdown(results, links),
        args.output.with_suffix(".csv"): systems_csv(results),
        args.output.with_name(f"{args.output.stem}_pairwise.csv"): pairwise_csv(results),
        html_file: to_html(results, figures),
    }
    for path, text in texts.items():
        write_text(path, text)

    print(f"\n{layout(main_table(results))}\n")
    print("\n".join(notes(results)))
    print("written: " + ", ".join(map(str, [*texts, *(path for _, path in figures)])))


def _results(args: argparse.Namespace) -> "Results":
    from espnet_ext.report.results import Results
    from espnet_ext.report.rows import read_rows
    from espnet_ext.report.system import systems_of

    if args.rows is not None:
        for option in _WITH_EXP_DIRS:
            if getattr(args, option) is not None:
                raise UserError(f"--{option}: belongs to --exp_dirs; {args.rows} says what is compared, leave it out")
        rows = read_rows(args.rows)
        folders = dict.fromkeys(run.decode_dir.name for system in rows.systems for run in system.runs)
        decoding = f"Results in {', '.join(folders)}." if folders else ""
        return Results(args.title or rows.title or "Results", rows.systems, rows.test_sets, decoding, by_start=False)
    for option in _WITH_EXP_DIRS:
        if getattr(args, option) is None:
            raise UserError(f"--{option}: is missing; --exp_dirs needs it")
    test_sets = args.test_sets.split()
    if not test_sets:
        raise UserError("--test_sets: is empty; name at least one test set")
    systems = systems_of(args.exp_dirs, args.inference_tag, test_sets)
    decoding = f"Decoded with {args.inference_asr_model}, results in {args.inference_tag}."
    return Results(args.title or "Results", systems, test_sets, decoding, by_start=True)


def write_text(path: Path, text: str) -> None:
    """Writes a file that appears complete or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
