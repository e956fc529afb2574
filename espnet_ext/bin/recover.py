"""Repairs an experiment directory after a kill, or checks how its training ended."""

import argparse
from pathlib import Path

from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Before a training: make a half-written experiment directory resumable. "
        "With --check_finite true, after a training: exit with status 2 when its losses are not finite, or when one of "
        "its models is damaged.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--exp_dir", type=Path, required=True, help="experiment directory of ESPnet's trainer")
    parser.add_argument("--check_finite", choices=["true", "false"], default="false", help="only check, repair nothing")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    from espnet_ext.recovery import check_averaged, check_finite, recover

    args = get_parser().parse_args(cmd)
    if args.check_finite == "true":
        check_finite(args.exp_dir)
        check_averaged(args.exp_dir)
    else:
        recover(args.exp_dir, log=lambda line: print(f"recover: {line}", flush=True))


if __name__ == "__main__":
    run_main(main)
