"""`experiments`: tables of runs of a recipe."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from espnet_ext.cli.options import Parser, add_flag
from espnet_ext.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = """\
Runs the tables of the paper, or any other tables of experiments, and reports them. What is finished is kept, what was
interrupted resumes. Options after -- go to every call of run.sh.

Actions: list shows the tables, status how far each row is, run runs and reports, report only reports.

Example:
    % encrl experiments list
    % encrl experiments run table1 table4 --corpus mini_digits --variants ours paper --seeds 1 2
    % encrl experiments status --corpus mini_digits
    % encrl experiments run all --corpus librispeech --dry_run true -- --nj 64
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl experiments", description=DESCRIPTION)
    parser.add_argument("action", choices=("list", "status", "run", "report"), help="What to do")
    parser.add_argument("names", nargs="*", help="Tables: names of files in --matrix, or all (default)")
    parser.add_argument(
        "--matrix",
        type=Path,
        default=ROOT / "conf/experiments",
        help="Directory of the tables (default: conf/experiments)",
    )
    parser.add_argument("--corpus", default="mini_digits", help="Name of a directory in egs2, or a recipe directory")
    parser.add_argument(
        "--variants", nargs="+", default=["ours"], help="Variants to run, of <corpus>/encrl1/conf/experiments.yaml"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="Seeds of all trainings, teacher included")
    parser.add_argument(
        "--jobs", type=int, default=1, help="Number of trainings at once, on one GPU or on the cores of the CPU"
    )
    parser.add_argument("--gpu_ids", nargs="+", default=[], help="Numbers of the GPUs that the trainings take in turns")
    add_flag(parser, "--dry_run", "Print the commands only")
    parser.add_argument(
        "--output_dir", type=Path, help="Directory of the reports. Without it: <corpus>/encrl1/exp/reports"
    )
    return parser


def main(words: list[str]) -> None:
    """Runs the action."""
    own, extra = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = get_parser().parse_args(own)
    from espnet_ext.experiments.matrix import choose, read_tables
    from espnet_ext.experiments.plan import Corpus, Plan

    tables = choose(read_tables(args.matrix), args.names or ["all"])
    if args.action == "list":
        for table in tables:
            print("\n    ".join([f"{table.name}: {table.title}", *(row.label for row in table.rows)]))
        return
    from espnet_ext.experiments.report import show_status, write_reports
    from espnet_ext.experiments.run import print_commands, run

    recipe = ROOT / "egs2" / args.corpus / "encrl1"
    output_dir = args.output_dir and args.output_dir.absolute()
    corpus = Corpus.read(Path(args.corpus).absolute() if Path(args.corpus, "run.sh").is_file() else recipe)
    os.chdir(corpus.directory)
    options = _pairs(extra)
    plans = [Plan(corpus, tables, variant, seed, options) for variant in args.variants for seed in args.seeds]
    report = partial(write_reports, tables, plans, output_dir)
    if args.action == "status":
        show_status(tables, plans)
    elif args.action == "report":
        report()
    elif args.dry_run:
        print_commands(plans)
    else:
        run(plans, args.jobs, args.gpu_ids, report)


def _pairs(words: Sequence[str]) -> dict[str, str]:
    if len(words) % 2 or any(not word.startswith("--") for word in words[::2]):
        raise UserError(f"after -- come options of run.sh as --name value, not {' '.join(words)}")
    return {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
