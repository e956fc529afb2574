r"""Decodes some utterances with a teacher and shows its error rates, so that nobody distils a broken one.

Example:
    % python3 -m espnet_ext.bin.check_teacher --teacher exp/asr_teacher_raw_en_bpe200 --data_dir dump/raw/valid
"""

import argparse
from pathlib import Path

from espnet_ext.errors import run_main
from espnet_ext.teachers.source import HELP


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help=f"The model. {HELP}")
    parser.add_argument("--data_dir", type=Path, required=True, help="Formatted set with transcripts (stages 1-5)")
    parser.add_argument("--utterances", type=int, default=50, help="How many, evenly spaced over the set")
    parser.add_argument("--audio_format", default="flac", help="Of a set without a file audio_format, as in asr.sh")
    parser.add_argument("--ngpu", type=int, default=0, help="0: decode on the CPU")
    parser.add_argument("--output", type=Path, help="A file for what is printed")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Prints one line, and a second one if the teacher is bad."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.decode.check import check_teacher
    from espnet_ext.files import atomic

    device = "cuda" if args.ngpu else "cpu"
    text = check_teacher(args.teacher, args.data_dir, args.utterances, args.audio_format, device)
    print(text)
    if args.output:
        with atomic(args.output) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    run_main(main)
