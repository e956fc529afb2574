r"""Checks the configurations of a run and writes recipe.yaml into each experiment directory.

Example:
    % python3 -m espnet_ext.bin.prepare --vocab_size 200 --teacher_job exp/asr_teacher conf/teacher.yaml \
          --encrl_job exp/encrl conf/encrl.yaml e6=conf/e6.yaml \
          --finetune_job exp/asr_e6 conf/e6.yaml conf/finetune.yaml
"""

import argparse
from pathlib import Path

from espnet_ext.errors import UserError, run_main
from espnet_ext.required import KINDS


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab_size", type=int, required=True, help="Number of tokens")
    for kind in KINDS:
        students = " NAME=CONFIG ..." if kind == "encrl" else ""
        parser.add_argument(
            f"--{kind}_job", nargs="+", action="append", default=[], help=f"EXP_DIR CONFIG [CONFIG ...]{students}"
        )
    parser.add_argument("--seed", type=int, help="Overwrites the seed of every configuration")
    parser.add_argument(
        "--teacher_cache",
        choices=("true", "false"),
        default="false",
        help="EncRL gets the teacher's outputs from a cache",
    )
    parser.add_argument("--teacher", help="Checked to exist: directory, checkpoint, zip or tag")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Checks and writes."""
    args = get_parser().parse_args(cmd)
    entries = [(kind, entry) for kind in KINDS for entry in getattr(args, f"{kind}_job")]
    for _, entry in entries:
        if len(entry) < 2:
            raise UserError(f"a job is EXP_DIR CONFIG ..., not {' '.join(entry)}")
    from espnet_ext.model_files import find_model_files
    from espnet_ext.prepare import Job, prepare

    if args.teacher:
        find_model_files(args.teacher)
    jobs = []
    for kind, (exp_dir, *files) in entries:
        students = tuple(file for file in files if kind == "encrl" and "=" in file)
        jobs.append(Job(Path(exp_dir), tuple(file for file in files if file not in students), students, kind))
    seed = {} if args.seed is None else {"seed": args.seed}
    prepare(jobs, args.vocab_size, seed, args.teacher_cache == "true")


if __name__ == "__main__":
    run_main(main)
