"""Checks the configurations of a run and writes recipe.yaml into each experiment directory.

Example:
    % python3 -m espnet_ext.bin.prepare --vocab_size 200 --asr_job exp/asr_teacher conf/teacher.yaml \
          --encrl_job exp/encrl conf/encrl.yaml e6=conf/e6.yaml --asr_job exp/asr_e6 conf/e6.yaml conf/finetune.yaml
"""

import argparse
from pathlib import Path

from espnet_ext.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab_size", type=int, required=True, help="Number of tokens")
    parser.add_argument("--asr_job", nargs="+", action="append", default=[], help="EXP_DIR CONFIG [CONFIG ...]")
    parser.add_argument(
        "--encrl_job", nargs="+", action="append", default=[], help="EXP_DIR CONFIG [CONFIG ...] NAME=CONFIG ..."
    )
    parser.add_argument("--seed", type=int, help="Overwrites the seed of every configuration")
    parser.add_argument("--teacher", help="Checked to exist: directory, checkpoint, zip or tag")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Checks and writes."""
    args = get_parser().parse_args(cmd)
    for job in args.asr_job + args.encrl_job:
        if len(job) < 2:
            raise UserError(f"a job is EXP_DIR CONFIG ..., not {' '.join(job)}")
    from espnet_ext.model_files import find_model_files
    from espnet_ext.prepare import Job, prepare

    if args.teacher:
        find_model_files(args.teacher)
    jobs = [Job(Path(exp_dir), tuple(configs)) for exp_dir, *configs in args.asr_job]
    for exp_dir, *entries in args.encrl_job:
        students = tuple(entry for entry in entries if "=" in entry)
        jobs.append(Job(Path(exp_dir), tuple(entry for entry in entries if "=" not in entry), students))
    prepare(jobs, args.vocab_size, {} if args.seed is None else {"seed": args.seed})


if __name__ == "__main__":
    run_main(main)
