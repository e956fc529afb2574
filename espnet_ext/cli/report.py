"""`report`: the comparison of scored models."""

from pathlib import Path

from espnet_ext.cli.options import Parser
from espnet_ext.errors import UserError
from espnet_ext.quiet import quiet_espnet

DESCRIPTION = """\
Compares scored models: Markdown, CSV, figures and one HTML page, with intervals and p-values. What is not there yet
appears as '-' with a note.

Example:
    % encrl report --exp_dirs exp/asr_teacher exp/asr_e6 --inference_tag greedy_asr_model_valid.cer_ctc.ave \\
        --inference_asr_model valid.cer_ctc.ave.pth --test_sets "dev test"
"""
_WITH_EXP_DIRS = ("inference_tag", "inference_asr_model", "test_sets")


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl report", description=DESCRIPTION)
    rows = parser.add_mutually_exclusive_group(required=True)
    rows.add_argument(
        "--exp_dirs", type=Path, nargs="+", help="Experiment directories of teacher and students, a row each"
    )
    rows.add_argument(
        "--rows",
        type=Path,
        metavar="FILE",
        help="YAML file with the rows: title, test_sets, rows of label, decode_dirs (one per seed), compare_to, "
        "published, note; relative paths in it start at the current directory",
    )
    parser.add_argument("--inference_tag", help="Directory of the decoded sets in each of --exp_dirs")
    parser.add_argument("--inference_asr_model", help="Model file that was decoded, for the caption of --exp_dirs")
    parser.add_argument("--test_sets", help="Names of the test sets of --exp_dirs, separated by blanks")
    parser.add_argument(
        "--output", type=Path, default=Path("RESULTS.md"), help="Markdown file to write; two CSV files go next to it"
    )
    parser.add_argument("--html", type=Path, help="HTML page to write, figures included. Without it: next to --output")
    parser.add_argument(
        "--plot",
        type=Path,
        default=Path("exp/wer_vs_params.png"),
        help="Figure of WER and parameters to write; that of WER and training cost goes next to it (*_vs_cost)",
    )
    parser.add_argument(
        "--curves",
        type=Path,
        default=Path("exp/training_curves.png"),
        help="Figure to write of the losses of every epoch",
    )
    parser.add_argument("--title", help="Heading of report and figures. Without it: that of --rows, or 'Results'")
    return parser


def main(words: list[str]) -> None:
    """Writes the report and shows its table."""
    args = get_parser().parse_args(words)
    for option in _WITH_EXP_DIRS:
        given = getattr(args, option)
        if args.rows and given is not None:
            raise UserError(f"--{option}: belongs to --exp_dirs; {args.rows} says what is compared, leave it out")
        if args.exp_dirs and given is None:
            raise UserError(f"--{option}: is missing; --exp_dirs needs it")
    with quiet_espnet():
        from espnet_ext.report.results import Results
        from espnet_ext.report.rows import results_of_rows
        from espnet_ext.report.system import systems_of
        from espnet_ext.report.write import show_report

    if args.rows:
        results = results_of_rows(args.rows, args.title)
    else:
        test_sets = args.test_sets.split()
        if not test_sets:
            raise UserError("--test_sets: is empty; name at least one test set")
        systems = systems_of([exp_dir / args.inference_tag for exp_dir in args.exp_dirs], test_sets)
        decoding = f"Decoded with {args.inference_asr_model}, results in {args.inference_tag}."
        results = Results(args.title or "Results", systems, test_sets, decoding, by_start=True)
    show_report(results, args.output, args.plot, args.curves, args.html)
