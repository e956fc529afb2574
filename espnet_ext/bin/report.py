"""Compares trained models: Markdown, CSV, figures and one HTML page, with intervals and p-values."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError, run_main

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
    from espnet_ext.report.markdown import layout
    from espnet_ext.report.notes import notes
    from espnet_ext.report.table import main_table
    from espnet_ext.report.write import write_report

    results = _results(args)
    files = write_report(results, args.output, args.plot, args.curves, args.html)
    print(f"\n{layout(main_table(results))}\n")
    print("\n".join(notes(results)))
    print("written: " + ", ".join(map(str, files)))


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
    systems = systems_of([exp_dir / args.inference_tag for exp_dir in args.exp_dirs], test_sets)
    decoding = f"Decoded with {args.inference_asr_model}, results in {args.inference_tag}."
    return Results(args.title or "Results", systems, test_sets, decoding, by_start=True)


if __name__ == "__main__":
    run_main(main)
