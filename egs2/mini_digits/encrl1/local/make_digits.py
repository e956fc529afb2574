"""Makes the embedded corpus of connected digits in noise (espeak-ng voices), e.g. for egs2/mini_digits."""

import argparse
from pathlib import Path

from digits import SPLITS, Options, make_split
from espnet_ext.errors import UserError, run_main

DEFAULT_UTTS = {"train": 700, "valid": 100, "test": 300}


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Make the corpus <out_dir>/{train,valid,test}/<speaker>/<utterance>.flac with transcripts. The "
        "same options give the same files to the byte; a complete split made from them is kept.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out_dir", type=Path, required=True, help="directory of the corpus")
    for split, number in DEFAULT_UTTS.items():
        parser.add_argument(f"--num_{split}", type=int, default=number, help=f"utterances in {split}")
    parser.add_argument(
        "--snr_db", default="0 15", help="lowest and highest signal-to-noise ratio in dB, space or comma between"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--nj", type=int, default=2, help="number of processes")
    return parser


def parse_snr(text: str) -> tuple[float, float]:
    """Returns the two numbers of `--snr_db`."""
    try:
        low, high = (float(number) for number in text.replace(",", " ").split())
    except ValueError as error:
        raise UserError(f"--snr_db '{text}': expected two numbers, e.g. '0 15' or 0,15") from error
    if not -60 <= low <= high <= 100:
        raise UserError(f"--snr_db '{text}': expected -60 <= lowest <= highest <= 100")
    return low, high


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    args = get_parser().parse_args(cmd)
    snr_db = parse_snr(args.snr_db)
    for name in ("num_train", "num_valid", "num_test", "nj"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} {getattr(args, name)}: expected at least 1")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: expected 0 or more")
    for split in SPLITS:
        options = Options(getattr(args, f"num_{split}"), snr_db, args.seed)
        made = make_split(args.out_dir, split, options, args.nj, log=lambda line: print(line, flush=True))
        print(
            f"{split}: {made.num_utts} utterances, {made.num_speakers} voices, {made.seconds / 3600:.2f} h", flush=True
        )


if __name__ == "__main__":
    run_main(main)
