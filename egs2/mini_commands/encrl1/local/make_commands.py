"""Makes strings of spoken commands from the clips of Speech Commands."""

import argparse
from dataclasses import asdict
from pathlib import Path

from clips import SPLITS, WORDS, by_speaker, read_splits
from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic
from split import write_split
from strings import RANGES, shares, start

DEFAULT_UTTS = {"train": 4000, "valid": 200, "test": 1000}


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Make the corpus <out_dir>/{train,valid,test}/<speaker>/<string>.flac with transcripts, and "
        "<out_dir>/speakers_<percent> for each share. The same options and clips give the same files to the byte; a "
        "complete split made from them is kept.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--clips", type=Path, required=True, help="directory of the unpacked archive")
    parser.add_argument("--out_dir", type=Path, required=True, help="directory of the corpus")
    for split, number in DEFAULT_UTTS.items():
        parser.add_argument(f"--num_{split}", type=int, default=number, help=f"strings in {split}")
    parser.add_argument("--snr_db", type=float, nargs=2, default=(5.0, 30.0), help="range of the signal-to-noise ratio")
    parser.add_argument("--shares", type=int, nargs="*", default=(30, 10), help="percent of the training speakers")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--nj", type=int, default=2, help="number of processes")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    args = get_parser().parse_args(cmd)
    for name in ("num_train", "num_valid", "num_test", "nj"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} {getattr(args, name)}: expected at least 1")
    if not args.snr_db[0] <= args.snr_db[1]:
        raise UserError(f"--snr_db {args.snr_db}: expected lowest <= highest")
    splits = read_splits(args.clips)
    for number, split in enumerate(SPLITS):
        clips = splits[split]
        made_from = {
            "num_utts": getattr(args, f"num_{split}"),
            "snr_db": args.snr_db,
            "seed": args.seed,
            "ranges": asdict(RANGES),
            "words": WORDS,
            "clips": [f"{clip.parent.name}/{clip.name}" for clip in clips],
        }
        made = write_split(
            args.out_dir / split,
            made_from,
            made_from["num_utts"],
            lambda clips=clips, split=split, number=number: start(
                clips, args.snr_db, split == "train", (args.seed, number)
            ),
            args.nj,
            lambda line: print(line[:200], flush=True),
        )
        print(
            f"{split}: {made.num_utts} strings, {made.num_speakers} speakers, {made.seconds / 3600:.2f} h", flush=True
        )
    for percent in args.shares:
        names = shares(by_speaker(splits["train"]), percent / 100)
        with atomic(args.out_dir / f"speakers_{percent}") as temporary:
            temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
