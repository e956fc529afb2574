"""Makes a student of chosen encoder layers of a teacher or of a larger student: config.yaml and model.pth.

Example:
    % python3 -m espnet_ext.bin.derive_student --source exp/asr_teacher --layers last:4 --output_dir exp/e4_start
    % ./asr.sh --pretrained_model exp/e4_start/model.pth ...
"""

import argparse
from pathlib import Path

from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="Experiment directory, checkpoint, packed zip or model-zoo tag")
    parser.add_argument("--checkpoint", help="File in the experiment directory (default: the best average there)")
    parser.add_argument("--layers", required=True, help="last:N, first:N, even:N, or indices from 0 such as 0,3,7,11")
    parser.add_argument("--output_dir", type=Path, required=True, help="Where config.yaml and model.pth go")
    parser.add_argument(
        "--ctc_only",
        choices=("true", "false"),
        default="false",
        help="Drop the attention decoder or transducer, keep the CTC head",
    )
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Writes the model and prints the path of model.pth."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.checkpoints.derive import derive_student

    print(derive_student(args.source, args.layers, args.output_dir, args.checkpoint, args.ctc_only == "true"))


if __name__ == "__main__":
    run_main(main)
