"""A packed model and its card, put together and uploaded."""

from pathlib import Path

from espnet_ext.config import read_config
from espnet_ext.errors import UserError
from espnet_ext.publish.card import Facts, make_card
from espnet_ext.publish.clean import with_local_paths
from espnet_ext.publish.repository import check_access, stage_files, upload
from espnet_ext.report.results import Results
from espnet_ext.report.system import systems_of


def publish(
    facts: Facts,
    checkpoint: Path,
    inference_tag: str,
    test_sets: list[str],
    compare_to: list[Path],
    create_repo: bool = False,
    dry_run: bool = False,
) -> None:
    """Puts files and card together in `<experiment>/hub_<user>_<name>`, and uploads them.

    Args:
        facts: what the card says beside the results.
        checkpoint: the model, packed by stage 14 into a zip beside it.
        inference_tag: directory of the decoding results in each experiment.
        test_sets: names of the sets.
        compare_to: experiments that the card compares with.
        create_repo: make the repository if there is none.
        dry_run: show files and card, upload nothing, ask for no token.

    Raises:
        UserError: something is missing, or the hub refuses.
    """
    api = None if dry_run else check_access(facts.repo, create_repo)
    exp_dir = checkpoint.parent
    archive = exp_dir / f"{exp_dir.name}_{checkpoint.stem}.zip"
    folder = exp_dir / f"hub_{facts.repo.replace('/', '_')}"
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint} does not exist; train the model first (stage 11)")
    systems = systems_of([path / inference_tag for path in (exp_dir, *compare_to)], test_sets)
    results = Results("Results", systems, test_sets, f"Decoded with {inference_tag}.", by_start=True)
    files = stage_files(checkpoint, archive, exp_dir / "onnx", folder)
    card = _card(exp_dir, inference_tag, facts, results, files)
    (folder / "README.md").write_text(card, encoding="utf-8")
    _show_files(folder, [*files, "README.md"])
    for name in with_local_paths(folder, Path.cwd()):
        print(
            f"warning: {name} names a folder of this machine, which everybody will read; if it is an ONNX file, export "
            "again (stage 14, --skip_export false)"
        )
    if api is None:
        print(f"\nREADME.md:\n\n{card}\nNothing is uploaded (--dry_run true); the files are in {folder}")
        return
    print(f"uploaded: {upload(api, facts.repo, folder)}")


def publish_page(repo: str, folder: Path, create_repo: bool = False, dry_run: bool = False) -> None:
    """Uploads a page of `encrl demo` as a static Space.

    Args:
        repo: the Space, `user/name`.
        folder: of the page.
        create_repo: make the Space if there is none.
        dry_run: show files, upload nothing, ask for no token.

    Raises:
        UserError: there is no page, or the hub refuses.
    """
    if not (folder / "students.json").is_file():
        raise UserError(f"{folder} has no page; write it first (stage 14, --skip_export false)")
    api = None if dry_run else check_access(repo, create_repo, "space")
    _show_files(folder, [str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file()])
    if api is None:
        print(f"Nothing is uploaded (--dry_run true); the files are in {folder}")
        return
    print(f"uploaded: {upload(api, repo, folder, 'space')}")


def _show_files(folder: Path, files: list[str]) -> None:
    for name in sorted(files):
        print(f"{(folder / name).stat().st_size / 1e6:10.3f} MB  {name}")


def _card(exp_dir: Path, inference_tag: str, facts: Facts, results: Results, files: list[str]) -> str:
    student = next(system for system in results.systems if system.runs[0].exp_dir == exp_dir)
    for name in results.test_sets:
        if student.rate(name, "wer") is None:
            where = exp_dir / inference_tag / name
            raise UserError(f"{where} has no score for the card; run stages 12-13 with the same options of decoding")
    teacher = student.runs[0].lineage.teacher
    config = read_config(exp_dir / "config.yaml")
    return make_card(results, student, facts, config, files, teacher and teacher.exp_dir)
