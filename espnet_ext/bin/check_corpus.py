"""Checks splits of a corpus in its official layout, before data are prepared from them; changes nothing there.

Example:
    % python3 -m espnet_ext.bin.check_corpus --layout tedlium TEDLIUM_release-3/legacy/{train,dev,test}
"""

import argparse
import sys
from pathlib import Path

from espnet_ext.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("splits", type=Path, nargs="+", help="e.g. LibriSpeech/dev-clean LibriSpeech/test-clean")
    parser.add_argument("--layout", choices=["librispeech", "tedlium"], required=True)
    parser.add_argument("--nj", type=int, default=4, help="files read at the same time (default: 4)")
    parser.add_argument(
        "--plain_stm",
        type=Path,
        help="of tedlium: a directory that gets <split>/stm with labels without blanks, for ESPnet's script",
    )
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    from espnet_ext.data import librispeech, tedlium
    from espnet_ext.data.findings import summarise

    args = get_parser().parse_args(cmd)
    if args.plain_stm and args.layout != "tedlium":
        raise UserError("--plain_stm belongs to --layout tedlium: other corpora have no .stm files")
    problems = []
    seen: dict[str, Path] = {}
    for split in args.splits:
        if args.layout == "librispeech":
            findings = librispeech.check_split(split, librispeech.read_speakers(split.parent), seen)
        else:
            findings = tedlium.check_split(split, max(args.nj, 1))
        for line in findings.warnings:
            print(f"warning: {line}", file=sys.stderr)
        if findings.errors:
            problems.append(summarise(split, findings))
        else:
            print(f"{split}: {findings.num_utts} utterances: ok", flush=True)
    if problems:
        raise UserError("\n".join(problems))
    if args.plain_stm:
        for split in args.splits:
            tedlium.write_plain_stm(split, args.plain_stm / split.name / "stm")


if __name__ == "__main__":
    run_main(main)
