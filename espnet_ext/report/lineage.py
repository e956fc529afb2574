"""Where a model comes from, and what each training on the way cost."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from espnet_ext.checkpoints.history import CHECKPOINT, finished_epochs
from espnet_ext.config import read_config
from espnet_ext.errors import UserError
from espnet_ext.record import RECORD, Record
from espnet_ext.teachers.cache import ENCODER, MANIFEST
from espnet_ext.teachers.source import ESPNET, Source
from espnet_ext.train_log import EpochStats


@dataclass
class Training:
    """One run of the trainer.

    Attributes:
        exp_dir: its experiment directory.
        history: its finished epochs.
        cache_sec: what the teacher cache took that it reads; 0 without one, None where that is not known.
    """

    exp_dir: Path
    history: list[EpochStats]
    cache_sec: float | None = 0.0

    @property
    def seconds(self) -> float:
        """Training and validation of all epochs, and the teacher cache where what it took is known."""
        return sum(epoch.total_sec for epoch in self.history) + (self.cache_sec or 0.0)

    @property
    def students(self) -> list[str]:
        """The students of an EncRL training; empty for a stock ESPnet model."""
        return self.history[-1].students() if self.history else []


@dataclass
class Lineage:
    """A model and the trainings it depends on; None where there is none, or where it is not known (see the notes).

    Attributes:
        model: name of the model.
        start: what its training began with: `init` of its record, with `_only` where nothing was trained after that.
        differs: by option, what is not as by default.
    """

    model: str
    start: str
    training: Training
    encrl: Training | None = None
    teacher: Training | None = None
    differs: dict[str, str] = field(default_factory=dict)

    @property
    def is_finetuned(self) -> bool:
        """Whether the model had a training of its own, or was decoded as EncRL or the teacher's layers left it."""
        return not self.start.endswith("_only")


def trace(exp_dir: Path, notes: list[str]) -> Lineage:
    """Follows `run.json` to EncRL and teacher; what is unknown is added to `notes`.

    Raises:
        UserError: `run.json` does not hold what it must.
    """
    training = _training(exp_dir)
    record = Record.read(exp_dir)
    if record is None:
        if not training.history:
            notes.append(f"no finished epoch in {exp_dir.name}")
        notes.append(f"no {RECORD}, so the start and the cost of earlier steps are unknown")
        return Lineage(exp_dir.name.removeprefix("asr_"), "-", training)
    content = record.content
    if missing := [key for key in ("model", "init") if key not in content]:
        raise UserError(f"{exp_dir / RECORD}: no '{missing[0]}' in it; it must hold model and init")
    start = str(content["init"]) + ("" if content.get("finetuned", True) else "_only")
    lineage = Lineage(str(content["model"]), start, training, differs=dict(content.get("differs") or {}))
    for parent in record.made_of.get("parents") or {}:
        run = _training(_from_recipe(exp_dir, parent))
        # Layers may also be taken from a student of EncRL: <EncRL training>/<student> holds no training of its own.
        encrl = next((one for one in (run, _training(run.exp_dir.parent)) if one.students), None)
        if encrl is not None:
            lineage.encrl = encrl
            encrl.cache_sec = _cache_seconds(encrl.exp_dir)
            if encrl.cache_sec is None:
                notes.append(f"what the teacher cache of {encrl.exp_dir.name} took is not known and not in its cost")
            lineage.teacher = _teacher_of(encrl.exp_dir, notes)
        elif lineage.start.startswith("teacher"):
            lineage.teacher = run
    if lineage.is_finetuned and not training.history:
        notes.append(f"no finished epoch in {exp_dir.name}")
    if not lineage.is_finetuned and lineage.encrl is None:
        notes.append("layers of its teacher, without a training of its own; the only cost is the teacher's")
    if lineage.start.startswith("encrl") and lineage.encrl is None:
        notes.append("the EncRL training is not found through its run.json, so its cost is missing")
    if lineage.teacher is not None and not lineage.teacher.history:
        notes.append(f"what the training of its teacher cost is not known ({lineage.teacher.exp_dir.name} has no log)")
    return lineage


def _cache_seconds(encrl_dir: Path) -> float | None:
    config = read_config(encrl_dir / "config.yaml")
    total = 0.0
    for phase in ("train", "valid"):
        for path, name, _ in config.get(f"{phase}_data_path_and_name_and_type") or ():
            if name == ENCODER:
                manifest = _from_recipe(encrl_dir, path).with_name(MANIFEST)
                seconds = json.loads(manifest.read_text("utf-8")).get("seconds") if manifest.is_file() else None
                if seconds is None:
                    return None
                total += seconds
    return total


def _teacher_of(encrl_dir: Path, notes: list[str]) -> Training | None:
    """Returns the training of the teacher that the configuration of an EncRL training names, None for no teacher."""
    config = read_config(encrl_dir / "config.yaml")
    if (start := config.get("student_init")) not in (None, "teacher", "auto"):
        notes.append(f"its EncRL began with layers of {start}, whose training is in no column")
    if config.get("teacher") is None or Source.parse(config["teacher"]).family != ESPNET:
        return None  # a teacher of another library has no training here
    path = _from_recipe(encrl_dir, config["teacher"])
    return _training(path if path.is_dir() else path.parent)


def _training(exp_dir: Path) -> Training:
    """Reads the history; of a model that `--teacher` linked, that of the training it comes from."""
    model = exp_dir / "model.pth"
    if model.is_symlink() and not (exp_dir / CHECKPOINT).exists():
        exp_dir = model.resolve().parent
    return Training(exp_dir, finished_epochs(exp_dir))


def _from_recipe(exp_dir: Path, name: str) -> Path:
    """Returns a path that starts at the recipe directory, which holds `exp` and so is above `exp_dir`."""
    paths = [folder / name for folder in exp_dir.absolute().parents]
    # A checkpoint may have been deleted to save space; the directory it was in still tells what it cost.
    return next((path for path in paths if path.exists()), None) or next(
        (path for path in paths if path.parent.is_dir()), paths[1]
    )
