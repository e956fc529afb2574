"""Stage 11: teacher, EncRL, finetuning; what is finished is kept, what is half done goes on."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from espnet_ext.checkpoints.whole import check_checkpoint
from espnet_ext.config import write_config
from espnet_ext.errors import UserError
from espnet_ext.recipe import encrl, labels, students
from espnet_ext.recipe.adopt import adopt
from espnet_ext.recipe.configs import Config
from espnet_ext.recipe.data import inputs, require_data
from espnet_ext.recipe.display import Terminal
from espnet_ext.recipe.jobs import Job, Scheduler
from espnet_ext.recipe.lineage import checkpoint_digest
from espnet_ext.recipe.names import Model
from espnet_ext.recipe.processes import locked, wait_for_training
from espnet_ext.record import RECORD, Record, differences, forbidden, plain

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe

TOLD = "train.yaml"  # the merged configuration, as ESPnet reads it
_PARTS = ("config", "arguments", "inputs", "parents")


@dataclass
class Training:
    """One training.

    Attributes:
        title: shown.
        exp_dir: its experiment directory.
        kind: teacher, encrl or student.
        config: what it is told.
        outputs: files that it leaves.
        command: returns the call, given the file of the merged configuration and the checkpoint it starts from.
        about: further content of the record.
        remedy: what to do where the experiment there is another one.
    """

    title: str
    exp_dir: Path
    kind: str
    config: Config
    outputs: list[str]
    command: Callable[[Path, Path | None], list[str]]
    about: dict[str, Any] = field(default_factory=dict)
    remedy: str = (
        "--on_change redo trains it anew, --on_change keep takes it as it is; another --expdir, or another name of the "
        "configuration, keeps both"
    )

    def made_of(self, read: Mapping[str, str], parents: Mapping[str, str]) -> dict[str, Any]:
        """Returns what decides whether an experiment is this one."""
        record = Record.read(self.exp_dir)
        others = record.made_of["config"].get("students") if record is not None and self.config.students else None
        merged = self.config.merged(others)
        return plain(
            {"config": merged, "arguments": self.config.args.split(), "inputs": dict(read), "parents": dict(parents)}
        )


def trainings(recipe: "Recipe") -> list[Training]:
    """Returns the trainings of the run, the teacher first."""
    found = [_training(recipe, model) for model in recipe.models if model.configs]
    if recipe.needs_encrl:
        found.insert(int(bool(found) and found[0].kind == "teacher"), encrl.training(recipe))
    return found


def _training(recipe: "Recipe", model: Model) -> Training:
    options = recipe.options
    kind = "teacher" if model.name == "teacher" else "student"
    step = "teacher" if kind == "teacher" else "scratch" if model.source == "scratch" else "finetune"
    seed = int(options.seed) if options.seed else None
    config = Config(model.configs, {}, model.args, f"--{step}_args", seed, step, options.teacher_cache)
    if config.needs_teacher and not options.needs_teacher:
        raise UserError(
            f"{config.file_of('criteria')} compares with a teacher, and a run of --student_source scratch alone has "
            'none; give --student_source "scratch encrl", or criteria on text alone'
        )

    def command(told: Path, start: Path | None) -> list[str]:
        labelled = recipe.pseudo_labelled if kind == "student" else None
        if config.criteria:
            data = options.data / (options.train_set + options.sp), recipe.names.stats_dir
            if labelled:
                data = labelled.directory, labelled.stats_dir
            return encrl.finetune_command(recipe, model, told, start, config.needs_teacher, *data)
        init = ["--pretrained_model", str(start)] if start else []
        words = ("--asr_config", str(told), "--asr_args", model.args, "--asr_exp", str(model.exp_dir))
        return recipe.asr(11, 11, *words, *init, *(labelled.words() if labelled else ()))

    about = {"model": model.name, "init": model.source, "differs": model.differs, "finetuned": True}
    return Training(model.title, model.exp_dir, kind, config, [model.file], command, about)


def refused(recipe: "Recipe", training: Training, made_of: Mapping[str, Any], parts: tuple[str, ...]) -> None:
    """Raises a `UserError` where an experiment was begun with something else, as far as some parts of it are known."""
    _refuse(adopt(recipe, training, made_of, parts), training, made_of, parts, recipe.options.on_change)


def _refuse(
    record: Record | None, training: Training, made_of: Mapping[str, Any], parts: tuple[str, ...], on_change: str
) -> None:
    if record is None or not _is_begun(record):
        return
    before, now = ({part: side.get(part) for part in parts} for side in (record.made_of, made_of))
    if (on_change or "fail") == "fail" and (wrong := forbidden(differences(before, now))):
        key = wrong[0].removeprefix("config.").split(":")[0]
        where = f" (in {training.config.file_of(key)})" if wrong[0].startswith("config.") else ""
        raise UserError(
            f"{training.exp_dir} was trained with something else: {'; '.join(wrong[:4])}{where}; {training.remedy}"
        )


def _is_begun(record: Record) -> bool:
    return record.is_finished or (record.directory / "checkpoint.pth").is_file()


def train(recipe: "Recipe") -> None:
    """Stage 11."""
    options, scheduler = recipe.options, Scheduler(recipe.options.model_nj, recipe.say)
    require_data(recipe)
    recipe.pseudo_labelled = None  # of an earlier call
    read = inputs(recipe) | _statistics(recipe)
    for training in trainings(recipe):
        # What the teacher writes is not known yet.
        known = not (options.labels_more and training.kind == "student")
        parts = ("config", "arguments", *(["inputs"] if known else []))
        refused(recipe, training, training.made_of(read, {}), parts)
    by_dir = {training.exp_dir: training for training in trainings(recipe)}
    recipe.terminal.expect(len(by_dir))
    if not options.needs_teacher:
        recipe.say("Stage 11: no student needs a teacher")
    elif options.teacher:
        students.link_teacher(recipe)
    jobs: list[Job] = []
    needed: list[Job] = []
    labelled: list[Job] = []
    if options.needs_teacher and not options.teacher:
        needed = [Job("teacher", partial(run_training, recipe, by_dir[recipe.names.teacher_exp], read))]
    if options.labels_more:
        labelled = [Job("pseudo-labels", partial(_label, recipe), needed)]
    jobs += [*needed, *labelled]

    def add(source: str, needs: Sequence[Job]) -> None:
        for model in recipe.students:
            if model.source == source:
                training = by_dir.get(model.exp_dir)
                work = partial(_train_student, recipe, model, training, read)
                teacher = needed if training is not None and training.config.needs_teacher else []
                jobs.append(Job(model.title, work, [*needs, *teacher, *labelled]))

    add("scratch", [])
    if recipe.needs_encrl:
        work = partial(encrl.align, recipe, by_dir[recipe.encrl_exp], read)
        aligned = Job(f"EncRL {'+'.join(options.students)}", work, needed)
        jobs.append(aligned)
        add("encrl", [aligned])
    add("teacher", needed)
    scheduler.work(jobs)


def _label(recipe: "Recipe") -> None:
    recipe.pseudo_labelled = labels.training_set(recipe)


def _train_student(recipe: "Recipe", model: Model, training: Training | None, read: Mapping[str, str]) -> None:
    if recipe.pseudo_labelled:
        read = recipe.pseudo_labelled.inputs(recipe, read)
    if model.source == "scratch":
        run_training(recipe, training, read)
    else:
        students.train_student(recipe, model, training, read)


def _statistics(recipe: "Recipe") -> dict[str, str]:
    """Returns the hash of the statistics.

    Raises:
        UserError: there are none.
    """
    record = Record.read(recipe.names.stats_dir)
    file = recipe.names.stats_dir / "train" / "feats_stats.npz"
    if not (recipe.names.stats_dir / "valid" / "text_shape").is_file():
        raise UserError(f"{recipe.names.stats_dir} has no statistics: run stage 10 first")
    if record is not None and record.damaged():
        raise UserError(
            f"{recipe.names.stats_dir}: {record.damaged()[0]} is not as it was collected: run stage 10 again"
        )
    return {f"statistics ({file})": checkpoint_digest(file)} if file.is_file() else {}


def run_training(
    recipe: "Recipe",
    training: Training,
    read: Mapping[str, str],
    start: Path | None = None,
    parents: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Trains, unless that is done already.

    Args:
        recipe: the run.
        training: what to train.
        read: hashes of what all trainings read.
        start: the checkpoint that it starts from.
        parents: hashes of the checkpoints it is made of, by their experiments.
    """
    exp_dir, options, terminal = training.exp_dir, recipe.options, recipe.terminal
    if training.kind == "encrl" or training.config.needs_teacher:  # EncRL may begin with its layers
        teacher = recipe.names.teacher_model
        encrl.check_teacher(recipe, teacher)
        parents = {**parents, str(teacher.parent): checkpoint_digest(teacher)}

    def work(told: Path) -> None:
        threads = 1 if options.ngpu else recipe.threads_of_each(options.nj)
        call = training.command(told, start)
        recipe.step(f"train_{exp_dir.name}", call, threads=threads, job_log=exp_dir / "train.log")

    def say(text: str) -> None:
        recipe.say(f"Stage 11: {training.title}: {text}")

    def made_of() -> dict[str, Any]:
        made_of = training.made_of(read, parents)
        adopt(recipe, training, made_of, _PARTS)
        return made_of

    train_once(training, made_of, work, terminal, options.on_change, say, start, options.model_nj)


def train_once(
    training: Training,
    made_of: Callable[[], dict[str, Any]],
    work: Callable[[Path], None],
    terminal: Terminal,
    on_change: str,
    say: Callable[[str], None],
    start: Path | None = None,
    at_once: int = 1,
) -> None:
    """Trains in an experiment's directory, unless that is done already; what is half done goes on.

    Args:
        training: what to train.
        made_of: says what decides whether an experiment is this one; called when nobody else is at work with it.
        work: trains, given the file of the merged configuration.
        terminal: shows the epochs.
        on_change: redo, keep or fail, where what it is made of has changed.
        say: shows a line.
        start: the checkpoint that it starts from.
        at_once: trainings beside each other.

    Raises:
        UserError: the experiment was made of something else, or the training failed.
    """
    exp_dir = training.exp_dir
    with locked(exp_dir / ".lock", waiting=lambda: say(f"another run is training in {exp_dir}; waiting for it")):
        # The run that started it may have been killed, and the lock with it.
        wait_for_training(exp_dir, say)
        now = made_of()
        _refuse(Record.read(exp_dir), training, now, _PARTS, on_change)
        if not _must_train(training, now, on_change, say):
            terminal.count(at_once)
            return
        if start:
            check_checkpoint(start)  # ESPnet would train on from damaged weights
        former = Record.read(exp_dir)
        record = Record.begin(exp_dir, training.kind, now, **training.about)
        say_other_code(former, record, say)
        told, began = exp_dir / TOLD, time.monotonic()
        write_config(now["config"], told)
        say(f"log: {exp_dir}/train.log{terminal.count(at_once)}")
        with terminal.following(exp_dir, training.title, in_place=at_once == 1):
            work(told)
        from espnet_ext.checkpoints.history import check_finite, cost

        check_finite(exp_dir)
        terminal.took(time.monotonic() - began)
        record.finish(training.outputs, cost=cost(exp_dir))


def say_other_code(former: Record | None, record: Record, say: Callable[[str], None]) -> None:
    """Says that a training goes on with another version of the code than it was begun with.

    Args:
        former: its record of before.
        record: its present record.
        say: shows a line.
    """
    if former is not None and _is_begun(former):
        before, now = former.content.get("code", "an earlier one"), record.content["code"]
        if before != now:
            say(f"goes on with version {now} of the code; it was begun with {before}")


def _must_train(training: Training, made_of: dict[str, Any], on_change: str, say: Callable[[str], None]) -> bool:
    record = Record.read(training.exp_dir)
    if record is None:
        if (training.exp_dir / "checkpoint.pth").is_file():
            raise UserError(
                f"{training.exp_dir} holds a training of which no run.json tells what it was made of; delete it, "
                "move it away, or give another --expdir"
            )
        return True
    wrong = forbidden(record.changes(made_of)) if _is_begun(record) else []
    if wrong and on_change == "redo":
        say(f"anew, for these changes: {'; '.join(wrong[:4])}")
        # The record last: killed in between, the same command goes on.
        for path in sorted(training.exp_dir.iterdir(), key=lambda path: path.name == RECORD):
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return True
    if wrong:
        say(f"kept (--on_change keep), though these differ: {'; '.join(wrong[:4])}")
        made_of |= record.made_of
    if record.content["state"] == "finished" and (damaged := record.damaged()):
        say(f"{', '.join(damaged)} is not as it was written; making it again")
    elif record.is_finished and not record.changes(made_of):
        say(f"already trained ({training.exp_dir})")
        return False
    return True
