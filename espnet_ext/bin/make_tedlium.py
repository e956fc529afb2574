"""Writes the embedded corpus of digits as talks in the layout of TED-LIUM 3, for egs2/mini_tedlium3."""

import argparse
from pathlib import Path

from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Make <out_dir>/legacy/{train,dev,test}/{sph,stm} from what espnet_ext.bin.make_digits wrote. What "
        "is complete and made from the same digits is kept.",
    )
    parser.add_argument("--digits", type=Path, required=True, help="--out_dir of make_digits")
    parser.add_argument("--out_dir", type=Path, required=True, help="the directory TEDLIUM_release-3")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.data.talks import make_tedlium

    made = make_tedlium(args.digits, args.out_dir)
    print(f"{args.out_dir}: {'made' if made else 'already made, kept'}", flush=True)


if __name__ == "__main__":
    run_main(main)
