"""Stages 14-15: packing, export and upload of the students."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.checkpoints.whole import check_checkpoint
from espnet_ext.errors import UserError
from espnet_ext.recipe.names import Model
from espnet_ext.recipe.options import Options
from espnet_ext.recipe.processes import run_logged

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe


def published(recipe: "Recipe") -> list[Model]:
    """Returns the students that are packed: those from scratch only where there are no others."""
    others = [model for model in recipe.students if model.source != "scratch"]
    return others or recipe.students


def publishes(options: Options) -> bool:
    """Whether the run packs, exports or uploads."""
    packs = not options.skip_export or options.asr.get("skip_packing") == "false"
    return (options.covers(14) and packs) or (options.covers(15) and not options.skip_upload_hf)


def check_publication(recipe: "Recipe") -> None:
    """Raises a `UserError` where stages 14-15 would make nothing, or an upload lacks something."""
    options = recipe.options
    if options.stage in (14, 15) and not publishes(options):
        raise UserError(
            f"stages {options.stage}-{min(15, options.stop_stage)} would make nothing: give --skip_packing false or "
            "--skip_export false (stage 14), or --skip_upload_hf false (stage 15)"
        )
    if options.stage in (14, 15) and not options.students:
        raise UserError("--students none: stages 14-15 pack, export and upload students")
    if publishes(options) and len(published(recipe)) < len(recipe.students):
        recipe.say(
            "Stages 14-15: students from scratch are left out beside others; --student_source scratch publishes them"
        )
    if options.skip_upload_hf or not options.covers(15):
        return
    if not options.hf_repo:
        raise UserError("--hf_repo is empty; give user/name: a student e6 is uploaded to user/name_e6")
    if "--dry_run true" in options.hf_args:
        return
    if not options.hf_license:
        raise UserError("--hf_license is empty; name the license of the models, e.g. cc-by-4.0")
    models = published(recipe)
    if len({model.name for model in models}) < len(models):
        raise UserError(
            f"--student_source '{' '.join(options.student_source)}': name encrl or teacher, not both; "
            "a student has one repository"
        )
    repos = [("--repo", f"{options.hf_repo}_{model.name}") for model in models]
    repos += [("--repo", options.hf_space, "--demo_dir", "demo")] if options.hf_space else []
    for words in repos:
        words = (*words, "--check_only", "true", *shlex.split(options.hf_args))
        recipe.step("check_upload", recipe.verb("publish", *words))


def pages(recipe: "Recipe") -> dict[Path, dict[str, Model]]:
    """Returns the students that a page shows, by name, for each page: one a student, and the last of all of them."""
    models = published(recipe)
    names = [model.name for model in models]
    shown = {name if names.count(name) == 1 else m.exp_dir.name: m for name, m in zip(names, models, strict=True)}
    found = {model.exp_dir / "demo": {name: model} for name, model in shown.items()}
    return found if len(models) == 1 else found | {Path(recipe.options.expdir, "demo"): shown}


def pack_and_export(recipe: "Recipe") -> None:
    """Stage 14."""
    options = recipe.options
    if not publishes(options):
        return
    for model in published(recipe):
        results = model.exp_dir / "RESULTS.md"
        # asr.sh packs both; the first is missing without sclite, the second where EncRL alone made the model.
        if not results.is_file():
            run_logged(["scripts/utils/show_asr_result.sh", str(model.exp_dir)], results, with_errors=False)
        (model.exp_dir / "images").mkdir(exist_ok=True)
        check_checkpoint(model.checkpoint)
        words = ("--asr_exp", str(model.exp_dir), "--inference_asr_model", model.file)
        recipe.step(f"pack_{model.exp_dir.name}", recipe.asr(14, 14, *words))
        if options.asr.get("skip_packing") == "false":
            for path in sorted(model.exp_dir.glob("*.zip")):
                recipe.say(f"Stage 14: {path}")
        if options.skip_export:
            continue
        recipe.say(f"Stage 14: ONNX files ({model.exp_dir}/onnx)")
        words = ("--exp_dir", str(model.exp_dir), "--asr_model_file", model.file, "--sherpa", "true")
        words += ("--data_dir", str(options.data / options.valid_set), "--audio_format", options.audio_format)
        words += ("--output_dir", str(model.exp_dir / "onnx"), *shlex.split(options.export_args))
        recipe.show(f"export_{model.exp_dir.name}", recipe.verb("export", *words))
    if not options.skip_export:
        write_pages(recipe)


def write_pages(recipe: "Recipe") -> None:
    """Writes the pages; what they need beside the exported files may be out of reach, and the rest goes on."""
    for folder, models in pages(recipe).items():
        words = ["--onnx_dirs", *(str(model.exp_dir / "onnx") for model in models.values()), "--names", *models]
        try:
            recipe.show("demo", recipe.verb("demo", *words, "--output_dir", str(folder)))
        except UserError:
            recipe.say(f"Stage 14: no page in {folder}, for the reason above; the ONNX files are there")
            return


def upload(recipe: "Recipe") -> None:
    """Stage 15."""
    options, tag = recipe.options, recipe.names.inference_tag
    for model in published(recipe):
        recipe.say(f"Stage 15: {model.name} to {options.hf_repo}_{model.name}")
        others = [other.exp_dir for other in recipe.names.from_scratch() if other.name == model.name]
        others = [path for path in (recipe.names.teacher_exp, *others) if path != model.exp_dir]
        words = ["--exp_dir", str(model.exp_dir), "--asr_model_file", model.file]
        words += ["--compare_to", *(str(path) for path in others if (path / tag).is_dir())]
        words += ["--inference_tag", tag, "--test_sets", " ".join(options.test_sets)]
        words += ["--repo", f"{options.hf_repo}_{model.name}", "--dataset", Path.cwd().parent.name]
        words += [] if options.lang == "noinfo" else ["--language", options.lang]
        words += ["--license", options.hf_license] if options.hf_license else []
        recipe.show(f"upload_{model.name}", recipe.verb("publish", *words, *shlex.split(options.hf_args)))
    if options.hf_space:
        recipe.say(f"Stage 15: page to {options.hf_space}")
        words = ["--repo", options.hf_space, "--demo_dir", str(list(pages(recipe))[-1])]
        recipe.show("upload_page", recipe.verb("publish", *words, *shlex.split(options.hf_args)))
