"""What students start from in stage 11: EncRL, or layers of the teacher; and a teacher from elsewhere."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_ext.config import read_config
from espnet_ext.encrl.best import best_file
from espnet_ext.errors import UserError
from espnet_ext.recipe.lineage import checkpoint_digest, encrl_of
from espnet_ext.recipe.names import Model
from espnet_ext.recipe.processes import locked
from espnet_ext.record import Record
from espnet_ext.teachers.source import Source

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe
    from espnet_ext.recipe.train import Training


def link_teacher(recipe: "Recipe") -> None:
    """Makes what --teacher names an experiment directory, see `espnet_ext.teachers.link`."""
    directory, source = recipe.names.teacher_exp, recipe.options.teacher
    made_of = {"config": {}, "teacher": source}
    if recipe.names.has_foreign_teacher:
        made_of["files"] = Source.parse(source).file_states()
    record = Record.read(directory)
    if record is not None and record.is_finished and not record.changes(made_of):
        return
    record = Record.begin(directory, "teacher", made_of, model="teacher", init="teacher", differs={"teacher": source})
    recipe.step("teacher", recipe.verb("derive", "link", "--source", source, "--output_dir", str(directory)))
    record.finish([recipe.names.teacher_model.name] + ([] if recipe.names.has_foreign_teacher else ["config.yaml"]))


def train_student(recipe: "Recipe", model: Model, training: "Training | None", read: Mapping[str, str]) -> None:
    """Makes the model that a student starts from, then trains it where it has a training of its own."""
    if model.source == "encrl":
        aligned = encrl_of(recipe.names, model.exp_dir, recipe.encrl_exp)
        start = _export(recipe, model, aligned)
        parent = f"{aligned}/{start.parent.name}"
        if training is not None:
            training.about["encrl"] = str(aligned)
    else:
        start = _derive(recipe, model)
        parent = str(recipe.names.teacher_exp)
    if training is not None:
        from espnet_ext.recipe.train import run_training

        run_training(recipe, training, read, start, {parent: checkpoint_digest(start)})


def _export(recipe: "Recipe", model: Model, aligned: Path) -> Path:
    """Takes a student out of EncRL; returns its model.pth."""
    file = recipe.options.encrl_checkpoint or best_file(model.name, read_config(aligned / "config.yaml"))
    if not (aligned / file).is_file():
        raise UserError(f"{aligned / file} does not exist: the EncRL training has not finished; run stage 11 again")
    words = ["--encrl_exp", str(aligned), "--student", model.name]
    words += ["--checkpoint", file] if recipe.options.encrl_checkpoint else []
    directory = recipe.names.start_dir(model.name, "encrl", aligned)
    return _start(
        recipe,
        model,
        directory,
        {str(aligned): checkpoint_digest(aligned / file)},
        "student",
        words,
    )


def _derive(recipe: "Recipe", model: Model) -> Path:
    """Takes layers of the teacher; returns the student's model.pth."""
    layers = read_config(recipe.options.student_config(model.name))["encoder_conf"]["num_blocks"]
    teacher = recipe.names.teacher_model
    words = ["--source", str(teacher), "--layers", f"{recipe.options.layer_selection}:{layers}", "--ctc_only", "true"]
    directory = recipe.names.start_dir(model.name, "teacher", recipe.encrl_exp)
    return _start(
        recipe,
        model,
        directory,
        {str(teacher.parent): checkpoint_digest(teacher)},
        "layers",
        words,
    )


def _start(
    recipe: "Recipe", model: Model, directory: Path, parents: dict[str, str], action: str, words: list[str]
) -> Path:
    made_of = {"config": {}, "arguments": words, "inputs": {}, "parents": parents}
    about = {"model": model.name, "init": model.source, "differs": model.differs, "finetuned": False}
    command = recipe.verb("derive", action, *words, "--output_dir", str(directory))
    make_once(
        directory, "start", made_of, ["model.pth"], lambda: recipe.step(f"start_{directory.name}", command), **about
    )
    return directory / "model.pth"


def make_once(
    directory: Path,
    kind: str,
    made_of: Mapping[str, Any],
    outputs: Iterable[str],
    work: Callable[[], object],
    **about: Any,
) -> None:
    """Makes the files of a directory in one go, unless they are there as they would be made; others wait meanwhile.

    Args:
        directory: of the files and of their record.
        kind: what the record calls it.
        made_of: what decides whether what is there serves.
        outputs: names of the files.
        work: makes them.
        about: further content of the record.
    """
    with locked(directory / ".lock", waiting=lambda: None):
        record = Record.read(directory)
        if record is None or not record.is_finished or record.changes(made_of):
            record = Record.begin(directory, kind, made_of, **about)
            work()
            record.finish(outputs)
