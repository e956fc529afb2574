"""`progress`: the epochs of a training."""

from pathlib import Path

from espnet_ext.cli.options import Parser
from espnet_ext.errors import UserError

DESCRIPTION = """\
Follows the train.log of an ESPnet training until the training ends, or Ctrl-C: a line an epoch. Of a training that has
ended, the epochs are printed. The training itself is not touched.

Example:
    % encrl progress --exp_dir exp/asr_teacher_raw_en_bpe200
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl progress", description=DESCRIPTION)
    parser.add_argument("--exp_dir", type=Path, required=True, help="Experiment directory of the training")
    parser.add_argument("--name", help="What is trained, e.g. 'e6 finetune'. Without it: the name of the directory")
    parser.add_argument("--summary", action="store_true", help="Print the finished epochs and end")
    return parser


def main(words: list[str]) -> None:
    """Shows the epochs."""
    args = get_parser().parse_args(words)
    from espnet_ext.report.progress import follow, has_finished, summary

    if not args.exp_dir.is_dir():
        raise UserError(f"--exp_dir {args.exp_dir} does not exist; give the directory of a training")
    show = summary if args.summary or has_finished(args.exp_dir) else follow
    show(args.exp_dir, args.name or args.exp_dir.resolve().name)
