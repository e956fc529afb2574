"""Compares trained models: table in the terminal and in RESULTS.md, CSV, WER against parameters, training curves."""

import argparse
import os
from pathlib import Path

from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Write the comparison of trained models. What is not there yet appears as '-' with a note.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--exp_dirs", type=Path, nargs="+", required=True, help="directories of teacher and students")
    parser.add_argument("--inference_tag", required=True, help="directory of the decoding results in each of them")
    parser.add_argument("--inference_asr_model", required=True, help="model file that was decoded, for the caption")
    parser.add_argument("--test_sets", required=True, help="names of the test sets, separated by spaces")
    parser.add_argument("--output", type=Path, default=Path("RESULTS.md"), help="Markdown file; a CSV goes next to it")
    parser.add_argument("--plot", type=Path, default=Path("exp/wer_vs_params.png"), help="figure: WER and parameters")
    parser.add_argument(
        "--curves", type=Path, default=Path("exp/training_curves.png"), help="figure: loss of every epoch"
    )
    parser.add_argument("--title", default="Results", help="heading of the report and of the figure")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.report.collect import check_comparable, collect
    from espnet_ext.report.plot import plot_curves, plot_wer
    from espnet_ext.report.table import comparison, notes, to_csv, to_markdown

    test_sets = args.test_sets.split()
    if not test_sets:
        raise UserError("--test_sets: is empty; name at least one test set")
    experiments = [collect(path, args.inference_tag, test_sets) for path in dict.fromkeys(args.exp_dirs)]
    check_comparable(experiments, test_sets)
    # Largest first, so that rows of one size stand together; the given order within a size.
    experiments.sort(key=lambda run: -(run.parameters or 0))

    plots = []
    if plot_wer(experiments, test_sets, args.title, args.plot):
        plots.append(("WER against parameters", args.plot))
    if plot_curves(experiments, args.curves):
        plots.append(("Loss of every epoch", args.curves))
    links = [(name, os.path.relpath(path, args.output.parent)) for name, path in plots]
    decoding = f"Decoded with `{args.inference_asr_model}`, results in `{args.inference_tag}`."
    write_text(args.output, to_markdown(experiments, test_sets, args.title, decoding, links))
    csv_file = args.output.with_suffix(".csv")
    write_text(csv_file, to_csv(experiments, test_sets))

    print(f"\n{comparison(experiments, test_sets)}\n")
    print("\n".join(notes(experiments, test_sets)))
    print("written: " + ", ".join(str(path) for path in [args.output, csv_file, *(path for _, path in plots)]))


def write_text(path: Path, text: str) -> None:
    """Writes a file that appears complete or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
