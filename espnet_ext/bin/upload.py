r"""Uploads a packed model to the Hugging Face Hub, ESPnet's model zoo, with a model card; needs no git-lfs.

The repository gets what stage 14 packed, so that stock ESPnet loads it (`Speech2Text.from_pretrained`), what
`espnet_ext.bin.export_onnx` wrote to <exp_dir>/onnx, and the card README.md: results with intervals, cost, use.

Example:
    % python3 -m espnet_ext.bin.upload --exp_dir exp/asr_e6_encrl_raw_en_bpe256 --repo user/name --license cc-by-4.0 \
        --compare_to exp/asr_teacher_raw_en_bpe256 --inference_tag greedy_asr_model_valid.cer_ctc.ave --test_sets test \
        --dry_run true
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError, run_main

if TYPE_CHECKING:
    from espnet_ext.publish.card import Facts
    from espnet_ext.report.results import Results


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flag = {"choices": ("true", "false"), "default": "false"}
    parser.add_argument("--repo", required=True, help="user/name")
    parser.add_argument("--exp_dir", type=Path, help="Experiment directory with the packed zip")
    parser.add_argument("--asr_model_file", default="valid.cer_ctc.ave.pth", help="What was packed")
    parser.add_argument(
        "--compare_to", nargs="*", type=Path, default=[], help="Experiments that the card compares with"
    )
    parser.add_argument("--inference_tag", help="Directory of the decoded sets in each experiment")
    parser.add_argument("--test_sets", help="Names of the sets, separated by spaces")
    parser.add_argument("--license", help="Of the model, as the hub names it, e.g. cc-by-4.0; depends on the data")
    parser.add_argument("--language", help="Of the speech, as the hub names it, e.g. en")
    parser.add_argument(
        "--dataset", nargs="*", default=[], help="What it was trained on: names of the hub's data sets, or words"
    )
    parser.add_argument("--base_model", help="The teacher, if it is on the hub: user/name")
    parser.add_argument("--project_url", help="Where the code that made the model is, for the card; none if not given")
    parser.add_argument("--create_repo", **flag, help="Make the repository if there is none")
    parser.add_argument("--dry_run", **flag, help="Show files and card, upload nothing, ask for no token")
    parser.add_argument("--check_only", **flag, help="Check token and repository only")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Checks, puts the files together, uploads."""
    args = get_parser().parse_args(cmd)
    dry = args.dry_run == "true"
    if not (dry or args.check_only == "true") and not args.license:
        raise UserError("--license is missing: the card must say under which terms the model may be used")
    from espnet_ext.publish.card import Facts
    from espnet_ext.publish.clean import with_local_paths
    from espnet_ext.publish.repository import check_access, stage_files, upload

    facts = Facts(
        args.repo, args.license, args.language, tuple(filter(None, args.dataset)), args.base_model, args.project_url
    )
    api = None if dry else check_access(args.repo, args.create_repo == "true")
    if args.check_only == "true":
        print(f"{args.repo}: may be uploaded to")
        return
    for option in ("exp_dir", "inference_tag", "test_sets"):
        if not getattr(args, option):
            raise UserError(f"--{option} is missing")
    archive = args.exp_dir / f"{args.exp_dir.name}_{Path(args.asr_model_file).stem}.zip"
    folder = args.exp_dir / f"hub_{args.repo.replace('/', '_')}"
    checkpoint = args.exp_dir / args.asr_model_file
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint} does not exist; train the model first (stage 11)")
    results = _results(args)
    files = stage_files(checkpoint, archive, args.exp_dir / "onnx", folder)
    card = _card(args, facts, results, files)
    (folder / "README.md").write_text(card, encoding="utf-8")
    for name in sorted({*files, "README.md"}):
        print(f"{(folder / name).stat().st_size / 1e6:10.3f} MB  {name}")
    for name in with_local_paths(folder, Path.cwd()):
        print(
            f"warning: {name} names a folder of this machine, which everybody will read; if it is an ONNX file, export "
            "again (stage 14, --skip_export false)"
        )
    if api is None:
        print(f"\nREADME.md:\n\n{card}\nNothing is uploaded (--dry_run true); the files are in {folder}")
        return
    print(f"uploaded: {upload(api, args.repo, folder)}")


def _results(args: argparse.Namespace) -> "Results":
    from espnet_ext.report.results import Results
    from espnet_ext.report.system import systems_of

    test_sets = args.test_sets.split()
    systems = systems_of([path / args.inference_tag for path in (args.exp_dir, *args.compare_to)], test_sets)
    return Results("Results", systems, test_sets, f"Decoded with {args.inference_tag}.", by_start=True)


def _card(args: argparse.Namespace, facts: "Facts", results: "Results", files: list[str]) -> str:
    from espnet_ext.config import read_config
    from espnet_ext.publish.card import make_card

    student = next(system for system in results.systems if system.runs[0].exp_dir == args.exp_dir)
    for name in results.test_sets:
        if student.rate(name, "wer") is None:
            where = args.exp_dir / args.inference_tag / name
            raise UserError(f"{where} has no score for the card; run stages 12-13 with the same options of decoding")
    teacher = student.runs[0].lineage.teacher
    config = read_config(args.exp_dir / "config.yaml")
    return make_card(results, student, facts, config, files, teacher and teacher.exp_dir)


if __name__ == "__main__":
    run_main(main)
