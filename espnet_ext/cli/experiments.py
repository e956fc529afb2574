r"""Runs the tables of the paper, or any other matrix of experiments, and reports them.

Example:
    % python3 -m espnet_ext experiments list
    % python3 -m espnet_ext experiments run table1 table4 --corpus mini_digits --variants ours paper --seeds 1 2
    % python3 -m espnet_ext experiments status --corpus mini_digits
    % python3 -m espnet_ext experiments run all --corpus librispeech --dry_run true -- --nj 64

What is finished is kept, what was interrupted resumes. Options after `--` go to every call of run.sh.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError
from espnet_ext.recipe.jobs import Job

if TYPE_CHECKING:
    from espnet_ext.experiments.matrix import Table
    from espnet_ext.experiments.plan import Plan, Run

ROOT = Path(__file__).resolve().parents[2]


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(
        prog="python3 -m espnet_ext experiments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    if args.output_dir is not None:
        args.output_dir = args.output_dir.absolute()
    corpus = Corpus.read(Path(args.corpus).absolute() if Path(args.corpus, "run.sh").is_file() else recipe)
    os.chdir(corpus.directory)
    options = _pairs(extra)
    plans = [Plan(corpus, tables, variant, seed, options) for variant in args.variants for seed in args.seeds]
    if args.action == "status":
        _status(tables, plans)
    elif args.action == "report":
        _report(tables, plans, args)
    elif args.dry_run == "true":
        _print_commands(plans)
    else:
        run(tables, plans, args)


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


def _preparation(plan: "Plan") -> list[str]:
    words = [word for name, value in plan.preparation.items() for word in (f"--{name}", value)]
    return ["./run.sh", "--stage", "1", "--stop_stage", "10", *words]


def run(tables: "list[Table]", plans: "list[Plan]", args: argparse.Namespace) -> None:
    """Runs what is not done, several at once, and reports.

    Raises:
        UserError: some failed.
    """
    from espnet_ext.recipe.jobs import Scheduler
    from espnet_ext.recipe.processes import adopt_orphans, end_children

    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    runs = [run for plan in plans for run in plan.runs]
    for one in runs:
        one.check()
    todo = [one for one in runs if not one.is_done]
    _say(f"{len(runs) - len(todo)} of {len(runs)} runs are finished already")
    for plan in plans if todo else []:
        command = _preparation(plan)
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
            raise UserError(f"{shlex.join(command)} failed in {plan.corpus.directory}; the message is above")
    gpus = Gpus(args.gpu_ids)
    jobs: dict[str, Job] = {}
    for one in runs:  # those that others need come before them
        needs = [jobs[before.key] for before in one.after if before.key in jobs]
        if one in todo:
            jobs[one.key] = Job(one.labels[0], partial(_launch, one, gpus), needs, one.open_directories)
    failure = None
    try:
        Scheduler(args.jobs, _say).work(list(jobs.values()))
    except UserError as error:
        failure = error
    except KeyboardInterrupt:
        end_children()
        raise UserError("stopped; the same command continues") from None
    _report(tables, plans, args)
    if failure:
        raise UserError(f"{failure}\nrun the same command again after the cause")


class Gpus:
    """GPUs that runs take in turns.

    Args:
        ids: values for CUDA_VISIBLE_DEVICES; empty: left as it is.
    """

    def __init__(self, ids: Sequence[str]):
        self._free, self._lock = list(ids), threading.Lock()
        self._ids = list(ids)

    @contextmanager
    def one(self) -> Iterator[dict[str, str]]:
        """Gives the environment of a run on the GPU that waited longest."""
        if not self._ids:
            yield {}
            return
        with self._lock:
            taken = self._free.pop(0) if self._free else self._ids[0]
        try:
            yield {"CUDA_VISIBLE_DEVICES": taken}
        finally:
            with self._lock:
                self._free.append(taken)


def log_file(run: "Run") -> Path:
    """Returns where the output of a run goes."""
    return Path(run.options["expdir"], "log", f"experiment_{run.key}.log")


def _launch(run: "Run", gpus: Gpus) -> None:
    from espnet_ext.recipe.processes import run_logged

    began, log = time.monotonic(), log_file(run)
    # One model at a time: --jobs says how many runs there are beside this one.
    commands = [["./run.sh", "--stage", "11", "--stop_stage", "13", "--model_nj", "1", *run.arguments]]
    if run.prune:
        commands.insert(0, [sys.executable, "-m", "espnet_ext.bin.prune", *run.prune])
    _say(f"started: {run.labels[0]} (log: {log.absolute()})")
    with gpus.one() as environment:
        status = run_logged(["bash", "-c", " && ".join(map(shlex.join, commands))], log, environment)
    minutes = (time.monotonic() - began) / 60
    if status or not run.is_done:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        end = "\n    ".join(tail)
        raise UserError(f"FAILED after {minutes:.1f} min: {run.labels[0]} (log: {log.absolute()})\n    {end}")
    _say(f"finished in {minutes:.1f} min: {', '.join(run.labels)}")


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def _status(tables: "list[Table]", plans: "list[Plan]") -> None:
    from espnet_ext.checkpoints.history import finished_epochs
    from espnet_ext.report.scores import find_score

    for plan in plans:
        for table in tables:
            print(f"{table.name}, {plan.variant}, seed {plan.seed}")
            for row in table.rows:
                run = plan.run(table, row)
                model = run.model(row.model)
                exp_dir = model.exp_dir
                if run.is_scored(model):
                    folder = run.decode_dir(model)
                    scores = [(name, find_score(folder, name)) for name in run.recipe.options.test_sets]
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
    output_dir = args.output_dir or corpus.directory / "exp" / "reports"
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
            test_sets = list(same[0].run(table, table.rows[0]).recipe.options.test_sets)
            base = output_dir / f"{table.name}_{variant}"
            write_config({"title": title, "test_sets": test_sets, "rows": rows}, base.with_suffix(".yaml"))
            figures = ["--plot", f"{base}_wer_vs_params.png", "--curves", f"{base}_training_curves.png"]
            report.main(["--rows", f"{base}.yaml", "--output", f"{base}.md", *figures])
