"""Says what the log of a failed stage of asr.sh means; exit status 1 where it is not known.

Example:
    % python3 -m espnet_ext.bin.explain --log exp/log/data.log
"""

import argparse
import sys
from pathlib import Path

from espnet_ext.data.failures import explain


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True, help="What the stage has written")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Prints one line."""
    args = get_parser().parse_args(cmd)
    meaning = explain(args.log.read_text(encoding="utf-8", errors="replace"))
    if meaning is None:
        sys.exit(1)
    print(f"error: {meaning}; whole log: {args.log.absolute()}", file=sys.stderr)


if __name__ == "__main__":
    main()
