"""`publish`: a packed model on the hub."""

from pathlib import Path

from espnet_ext.cli.options import Parser, add_flag
from espnet_ext.errors import UserError
from espnet_ext.quiet import quiet_espnet

DESCRIPTION = """\
Uploads a packed model to the Hugging Face Hub, ESPnet's model zoo, with a model card; needs no git-lfs.

The repository gets what stage 14 packed, so that stock ESPnet loads it (Speech2Text.from_pretrained), what encrl export
wrote to <exp_dir>/onnx, and the card README.md: results with intervals, cost, use.

Example:
    % encrl publish --exp_dir exp/asr_e6_encrl_raw_en_bpe256 --repo user/name --license cc-by-4.0 \\
        --compare_to exp/asr_teacher_raw_en_bpe256 --inference_tag greedy_asr_model_valid.cer_ctc.ave \\
        --test_sets test --dry_run true
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl publish", description=DESCRIPTION)
    parser.add_argument("--repo", required=True, help="Repository on the hub: user/name")
    parser.add_argument("--exp_dir", type=Path, help="Experiment directory with the packed zip")
    parser.add_argument("--asr_model_file", default="valid.cer_ctc.ave.pth", help="Model file that was packed")
    parser.add_argument(
        "--compare_to", nargs="*", type=Path, default=[], help="Experiment directories that the card compares with"
    )
    parser.add_argument("--inference_tag", help="Directory of the decoded sets in each experiment directory")
    parser.add_argument("--test_sets", help="Names of the sets, separated by blanks")
    parser.add_argument(
        "--demo_dir", type=Path, help="A page of encrl demo, uploaded as a static Space of the hub, instead of a model"
    )
    parser.add_argument("--license", help="License of the model, as the hub names it, e.g. cc-by-4.0")
    parser.add_argument("--language", help="Language of the speech, as the hub names it, e.g. en")
    parser.add_argument(
        "--dataset", nargs="*", default=[], help="What the model was trained on: names of the hub's data sets, or words"
    )
    parser.add_argument("--base_model", help="The teacher, if it is on the hub: user/name")
    parser.add_argument("--project_url", help="Address of the code that made the model, for the card")
    add_flag(parser, "--create_repo", "Make the repository if there is none")
    add_flag(parser, "--dry_run", "Show files and card, upload nothing, ask for no token")
    add_flag(parser, "--check_only", "Check token and repository only")
    return parser


def main(words: list[str]) -> None:
    """Checks, puts the files together, uploads."""
    args = get_parser().parse_args(words)
    if not (args.dry_run or args.check_only or args.demo_dir) and not args.license:
        raise UserError("--license is missing: the card must say under which terms the model may be used")
    with quiet_espnet():
        from espnet_ext.publish.card import Facts
        from espnet_ext.publish.publish import publish, publish_page
        from espnet_ext.publish.repository import check_access

    facts = Facts(
        args.repo, args.license, args.language, tuple(filter(None, args.dataset)), args.base_model, args.project_url
    )
    if args.check_only:
        check_access(args.repo, args.create_repo, "space" if args.demo_dir else "model")
        print(f"{args.repo}: may be uploaded to")
        return
    if args.demo_dir:
        publish_page(args.repo, args.demo_dir, args.create_repo, args.dry_run)
        return
    for option in ("exp_dir", "inference_tag", "test_sets"):
        if not getattr(args, option):
            raise UserError(f"--{option} is missing")
    names = args.test_sets.split()
    checkpoint = args.exp_dir / args.asr_model_file
    publish(facts, checkpoint, args.inference_tag, names, args.compare_to, args.create_repo, args.dry_run)
