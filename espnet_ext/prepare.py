"""Checks every configuration of a run before any work, and lays the merged ones into the experiment directories."""

import fcntl
import shutil
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.abs_task import scheduler_classes
from espnet2.tasks.asr import ASRTask

import espnet_ext.autoload  # noqa: F401  (registers our encoders)
from espnet_ext.config import check_keys, merge, option_names, read_config, write_config
from espnet_ext.encrl.criteria import check_cacheable, parse_criteria
from espnet_ext.encrl.students import build_student, read_students, student_args
from espnet_ext.errors import UserError
from espnet_ext.required import check_complete
from espnet_ext.tasks.encrl import EncRLTask

MERGED = "recipe.yaml"
LOCK = ".lock"
# Options that may change while a training goes on; a change of any other makes it another experiment.
_MAY_CHANGE = {"max_epoch", "patience", "num_workers", "log_interval", "keep_nbest_models", "use_tensorboard"}
_BYTES = 4
_SPARE_BYTES = 500 * 2**20


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        exp_dir: its experiment directory.
        configs: files, later ones overwrite earlier ones.
        students: NAME=CONFIG of an EncRL run; empty for a stock ASR training.
        kind: one of `espnet_ext.required.KINDS`.
    """

    exp_dir: Path
    configs: tuple[str, ...]
    students: tuple[str, ...] = ()
    kind: str = "finetune"


def prepare(
    jobs: list[Job],
    vocab_size: int,
    override: Mapping[str, Any] = MappingProxyType({}),
    teacher_cache: bool = False,
) -> None:
    """Writes `recipe.yaml` of each job, after everything has been checked.

    Args:
        jobs: the trainings of the run.
        vocab_size: number of tokens, to build each model once.
        override: keys that overwrite those of every configuration.
        teacher_cache: EncRL gets the teacher's outputs from a cache.

    Raises:
        UserError: unknown keys, a training that is not described whole, models that cannot be built, an EncRL that no
            cache serves, an experiment that was trained with another configuration, or too little disk space.
    """
    merged, need = {}, 0
    for job in jobs:
        merged[job] = merge(merged_config(job), override)
        check_complete("encrl" if job.students else job.kind, job.configs, merged[job])
        if job.students:
            _check_encrl(job, merged[job], teacher_cache)
        parameters = sum(_num_parameters(model) for model in _build(job, merged[job], vocab_size))
        need += _checkpoint_bytes(parameters, merged[job])
        changed_options(job, merged[job])
    if jobs:
        _check_disk(jobs[0].exp_dir.parent, need)
    for job in jobs:
        write_config(merged[job], job.exp_dir / MERGED)


def merged_config(job: Job) -> dict[str, Any]:
    """Returns what the configurations of a job say together.

    Raises:
        UserError: unknown keys, or a file that cannot be read.
    """
    valid = option_names((EncRLTask if job.students else ASRTask).get_parser())
    merged: dict[str, Any] = {}
    for path in job.configs:
        config = read_config(path)
        check_keys(config, valid, path)
        merged = merge(merged, config)
    if job.students:
        given, before = read_students(job.students), job.exp_dir / MERGED
        # A student that changes makes another experiment. But a finished EncRL of more students serves as well.
        others = read_config(before).get("students", {}) if before.is_file() else {}
        merged["students"] = {name: given.get(name, conf) for name, conf in others.items()} | given
    return merged


def _check_encrl(job: Job, config: Mapping[str, Any], teacher_cache: bool) -> None:
    criteria = parse_criteria(config["criteria"])
    for name, student in config["students"].items():
        if "encoder" not in student:
            raise UserError(
                f"student {name} describes no model: encoder is missing, for which ESPnet would take an RNN"
            )
    if not teacher_cache:
        return
    where = " + ".join(job.configs)
    try:
        check_cacheable(criteria)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if config.get("teacher_train_mode"):
        raise UserError(f"{where}: teacher_train_mode: a cached teacher has no dropout; give --teacher_cache false")


def _build(job: Job, config: Mapping[str, Any], vocab_size: int) -> list[ESPnetASRModel]:
    """Builds the job's models, optimizer and scheduler, so that a wrong option shows now and not after hours."""
    tokens = ["<blank>", "<unk>", *(str(i) for i in range(vocab_size - 3)), "<sos/eos>"]
    parser = (EncRLTask if job.students else ASRTask).get_parser()
    # The statistics of global_mvn do not exist yet.
    defaults = {**vars(parser.parse_args([])), **config, "token_list": tokens, "normalize": None}
    if job.students:
        pairs = config["students"].items()
        models = [build_student(name, student_args(Namespace(**defaults), conf)) for name, conf in pairs]
    else:
        try:
            models = [ASRTask.build_model(Namespace(**defaults))]
        except Exception as error:
            raise UserError(f"{' + '.join(job.configs)}: the model cannot be built: {error}") from error
    try:
        (optimizer,) = ASRTask.build_optimizers(Namespace(**defaults), models[0])
        if (scheduler := defaults["scheduler"]) is not None:
            scheduler_classes[scheduler](optimizer, **defaults["scheduler_conf"])
    except Exception as error:  # of whichever class they are
        raise UserError(f"{' + '.join(job.configs)}: optim or scheduler cannot be built: {error!r}") from error
    return models


def _num_parameters(model: ESPnetASRModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _checkpoint_bytes(parameters: int, config: Mapping[str, Any]) -> int:
    nbest = config.get("keep_nbest_models", 10)
    files = max(nbest if isinstance(nbest, list) else [nbest]) + 3  # epochs, the last one, averages
    return _BYTES * parameters * (files + 3)  # checkpoint.pth holds Adam's moments too


def changed_options(job: Job, config: Mapping[str, Any]) -> list[str]:
    """Returns the options that differ from those that a job was begun with; none where it was not.

    Raises:
        UserError: an option differs with which the training cannot go on.
    """
    begun = (job.exp_dir / "checkpoint.pth").exists() or _is_training(job.exp_dir)
    if not begun or not (job.exp_dir / MERGED).exists():
        return []
    before = read_config(job.exp_dir / MERGED)
    changed = [key for key in sorted({*before, *config}) if before.get(key) != config.get(key)]
    if "students" in changed:
        old = before.get("students")
        if old is None:  # written by an earlier version
            changed.remove("students")
        else:
            names = [name for name, conf in config["students"].items() if old.get(name) != conf]
            changed[changed.index("students")] = f"students: {' '.join(names)}"
    if wrong := [key for key in changed if key not in _MAY_CHANGE]:
        raise UserError(
            f"{job.exp_dir} was trained with another configuration ({', '.join(wrong)}); delete it to train anew, "
            f"or give the new configuration ({job.configs[-1]}) another file name"
        )
    return changed


def _is_training(exp_dir: Path) -> bool:
    """Tells whether a run is training there: it holds the lock of encrl_train.sh."""
    try:
        with (exp_dir / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _check_disk(directory: Path, need_bytes: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < need_bytes + _SPARE_BYTES:
        raise UserError(
            f"{directory} has {free / 2**30:.1f} GiB free, the checkpoints of this run need "
            f"{(need_bytes + _SPARE_BYTES) / 2**30:.1f}; free space, give --expdir on a larger disk, or lower "
            "keep_nbest_models"
        )
