r"""Runs the tables of the paper, or any other matrix of experiments, and reports them.

Example:
    % python3 -m espnet_ext.bin.experiments list
    % python3 -m espnet_ext.bin.experiments run table1 table4 --corpus mini_digits --variants ours paper --seeds 1 2
    % python3 -m espnet_ext.bin.experiments status --corpus mini_digits
    % python3 -m espnet_ext.bin.experiments run all --corpus librispeech --dry_run true -- --nj 64

What is finished is kept, what was interrupted resumes. Options after `--` go to every call of run.sh.
"""

import argparse
import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError, run_main

if TYPE_CHECKING:
    from espnet_ext.experiments.matrix import Table
    from espnet_ext.experiments.plan import Plan

ROOT = Path(__file__).resolve().parents[2]


# Options of run.sh on which neither data nor tokens depend.
_NOT_OF_DATA = ("conf_dir", "expdir", "gpu_inference", "inference_nj", "model_nj", "ngpu", "nj", "num_nodes", "seed")


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("list", "status", "run", "report"))
    parser.add_argument("names", nargs="*", help="Tables: names of files in --matrix, or all (default)")
    parser.add_argument("--matrix", type=Path, default=ROOT / "conf/experiments", help="Directory of the tables")
    parser.add_argument("--corpus", default="mini_digits", help="Name of a directory in egs2, or a recipe directory")
    parser.add_argument("--variants", nargs="+", default=["ours"], help="Of <corpus>/encrl1/conf/experiments.yaml")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="Seeds of all trainings, teacher included")
    parser.add_argument("--jobs", type=int, default=1, help="Most trainings at once, on one GPU or on the CPU's cores")
    parser.add_argument("--gpu_ids", nargs="+", default=[], help="GPUs that the trainings take in turns")
    parser.add_argument("--dry_run", choices=("true", "false"), default="false", help="Print the commands only")
    parser.add_argument("--output_dir", type=Path, help="Of the reports (default: <corpus>/encrl1/exp/reports)")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Runs the action."""
    words = sys.argv[1:] if cmd is None else cmd
    own, extra = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    args = get_parser().parse_args(own)
    from espnet_ext.experiments.matrix import choose, read_tables
    from espnet_ext.experiments.plan import Corpus, Plan

    tables = choose(read_tables(args.matrix), args.names or ["all"])
    if args.action == "list":
        for table in tables:
            print(f"{table.name}: {table.title}")
            for row in table.rows:
                print(f"    {row.label}")
        return
    recipe = ROOT / "egs2" / args.corpus / "encrl1"
    corpus = Corpus.read(Path(args.corpus).absolute() if Path(args.corpus, "run.sh").is_file() else recipe)
    options = _pairs(extra)
    plans = [Plan(corpus, tables, variant, seed, options) for variant in args.variants for seed in args.seeds]
    if args.action == "status":
        _status(tables, plans)
    elif args.action == "report":
        _report(tables, plans, args)
    elif args.dry_run == "true":
        _print_commands(plans)
    else:
        _run(tables, plans, args)


def _pairs(words: Sequence[str]) -> dict[str, str]:
    if len(words) % 2 or any(not word.startswith("--") for word in words[::2]):
        raise UserError(f"after -- come options of run.sh as --name value, not {' '.join(words)}")
    return {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}


def _print_commands(plans: "list[Plan]") -> None:
    for plan in plans:
        print(f"# {plan.variant}, seed {plan.seed}, in {plan.corpus.directory}")
        print(shlex.join(_preparation(plan)))
        for run in plan.runs:
            print(f"# {', '.join(run.labels)}{' (finished)' if run.is_done else ''}")
            if run.prune:
                print(shlex.join(["python3", "-m", "espnet_ext.bin.prune", *run.prune]))
            print(shlex.join(["./run.sh", "--stage", "11", "--stop_stage", "13", *run.arguments]))


def _preparation(plan: "Plan", first: int = 1) -> list[str]:
    words = [word for name, value in plan.preparation.items() for word in (f"--{name}", value)]
    return ["./run.sh", "--stage", str(first), "--stop_stage", "10", *words]


def _prepare(plan: "Plan") -> None:
    """Stages 1 to 9 once for each choice of data and tokens, stage 10 once for each directory of experiments."""
    directory = plan.corpus.directory
    finished = directory / plan.base["expdir"] / ".prepared"
    if finished.is_file():
        return
    choice = sorted((name, value) for name, value in plan.preparation.items() if name not in _NOT_OF_DATA)
    digest = hashlib.sha256(repr(choice).encode()).hexdigest()[:10]
    data = directory / plan.base.get("dumpdir", "dump") / f".prepared_{digest}"
    first = 10 if data.is_file() else 1
    print(
        f"{plan.variant}, seed {plan.seed}: {'statistics' if data.is_file() else 'data, tokens, statistics'}",
        flush=True,
    )
    command = _preparation(plan, first)
    if subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, check=False).returncode:
        raise UserError(f"stages {first}-10 failed in {directory}; the message is above")
    data.touch()
    finished.touch()


def _run(tables: "list[Table]", plans: "list[Plan]", args: argparse.Namespace) -> None:
    from espnet_ext.experiments.scheduler import Scheduler

    runs = [run for plan in plans for run in plan.runs]
    for run in runs:
        if run.is_done:
            run.compare_configurations()
    for plan in plans:
        _prepare(plan)
    failed = Scheduler(runs, args.jobs, args.gpu_ids).work()
    _report(tables, plans, args)
    if failed:
        labels = [label for run in failed for label in run.labels]
        raise UserError(f"{len(failed)} runs failed: {'; '.join(labels)}; run the same command again after the cause")


def _status(tables: "list[Table]", plans: "list[Plan]") -> None:
    from espnet_ext.recovery import finished_epochs
    from espnet_ext.report.scores import find_score

    for plan in plans:
        for table in tables:
            print(f"{table.name}, {plan.variant}, seed {plan.seed}")
            for row in table.rows:
                run = plan.run(table, row)
                model = run.model(row.model)
                exp_dir = plan.corpus.directory / model.exp_dir
                if run.is_scored(model):
                    folder = plan.corpus.directory / model.decode_dir
                    scores = [(name, find_score(folder, name)) for name in run.listing["test_sets"]]
                    state = "WER " + ", ".join(f"{name} {score.wer:.2f} %" for name, score in scores if score)
                elif (exp_dir / model.file).is_file():
                    state = "trained, not scored"
                else:
                    epochs = len(finished_epochs(exp_dir)) if exp_dir.is_dir() else 0
                    state = f"{epochs} epochs finished" if epochs else "not started"
                print(f"    {row.label:60} {state}")


def _report(tables: "list[Table]", plans: "list[Plan]", args: argparse.Namespace) -> None:
    """Writes <table>_<variant>.md and what belongs to it, the seeds of a variant together."""
    from espnet_ext.bin import report
    from espnet_ext.config import write_config

    corpus = plans[0].corpus
    output_dir = (args.output_dir or corpus.directory / "exp" / "reports").absolute()
    os.chdir(corpus.directory)
    for table in tables:
        for variant in dict.fromkeys(plan.variant for plan in plans):
            same = [plan for plan in plans if plan.variant == variant]
            rows = []
            for row in table.rows:
                entry = {"label": row.label, "decode_dirs": [plan.decode_dir(table, row) for plan in same]}
                entry |= {key: value for key in ("compare_to", "published", "note") if (value := getattr(row, key))}
                rows.append(entry | ({"published": dict(row.published)} if row.published else {}))
            seeds = ", ".join(str(plan.seed) for plan in same)
            title = f"{table.title} ({corpus.directory.parent.name}, {variant}, seeds {seeds})"
            test_sets = same[0].run(table, table.rows[0]).listing["test_sets"]
            base = output_dir / f"{table.name}_{variant}"
            write_config({"title": title, "test_sets": test_sets, "rows": rows}, base.with_suffix(".yaml"))
            figures = ["--plot", f"{base}_wer_vs_params.png", "--curves", f"{base}_training_curves.png"]
            report.main(["--rows", f"{base}.yaml", "--output", f"{base}.md", *figures])


if __name__ == "__main__":
    run_main(main)
