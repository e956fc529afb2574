"""Writes a student of an EncRL run as a stock ESPnet experiment, ready for finetuning or decoding.

Example:
    % python3 -m espnet_ext.bin.export_student --encrl_exp exp/encrl_e6_e4_e2_raw_en_bpe200 --student e6
"""

import argparse
from pathlib import Path

from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encrl_exp", type=Path, required=True, help="Experiment directory of the EncRL training")
    parser.add_argument("--student", required=True, help="Name of the student, e.g. e6")
    parser.add_argument("--checkpoint", help="File in --encrl_exp (default: valid.<student>_loss.ave.pth)")
    parser.add_argument("--output_dir", type=Path, help="Default: <encrl_exp>/<student>")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Writes config.yaml and model.pth."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.encrl.export import export_student

    output_dir = args.output_dir or args.encrl_exp / args.student
    print(export_student(args.encrl_exp, args.student, args.checkpoint, output_dir))


if __name__ == "__main__":
    run_main(main)
