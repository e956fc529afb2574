"""Students of an EncRL run: stock ESPnet models built from the run's options and one small configuration each."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.asr import ASRTask
from torch import nn

from espnet_ext.conf_dirs import locate
from espnet_ext.config import MODEL_KEYS, check_keys, merge, read_config
from espnet_ext.encrl.dropout import quicken_dropout
from espnet_ext.errors import UserError

# Options of EncRLTask that a stock ASR configuration does not have.
ENCRL_KEYS = (
    "teacher",
    "teacher_train_mode",
    "students",
    "student_init",
    "student_init_layers",
    "keep_zeros",
    "criteria",
    "select_by",
)


def read_students(value: Sequence[str] | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Reads `--students NAME=CONFIG ...`, or a mapping of names to files or to configurations.

    Raises:
        UserError: no student, a malformed entry, a bad name or the same twice, or a key that describes no model.
    """
    if not value:
        raise UserError("--students is empty; give at least one NAME=CONFIG, e.g. e6=conf/e6.yaml")
    if not isinstance(value, Mapping):
        entries = [entry.split("=", 1) for entry in value]
        if any(len(entry) != 2 for entry in entries):
            raise UserError(f"--students takes NAME=CONFIG ..., e.g. e6=conf/e6.yaml, not {' '.join(value)}")
        names = [name for name, _ in entries]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UserError(f"--students: '{twice}' comes twice; give each student a name of its own")
        value = dict(entries)
    students = {}
    for name, config in value.items():
        _check_name(name)
        where = f"student {name}" if isinstance(config, Mapping) else config
        students[name] = dict(config) if isinstance(config, Mapping) else read_config(locate(config, student=True))
        check_keys(students[name], MODEL_KEYS, f"{where} (describes a model only; training options belong elsewhere)")
    return students


def _check_name(name: str) -> None:
    """Checks that a student's name can be part of file names, statistics and tensors' names.

    Raises:
        UserError: it cannot.
    """
    if not (name.isascii() and name.replace("-", "_").isidentifier()):
        raise UserError(f"--students: '{name}' must be a word of the letters a to z, digits, '_' and '-'; rename it")
    # "teacher" and "none" have a meaning of their own in recipes; PyTorch keeps the others for methods of ModuleDict.
    if name in ("teacher", "none") or hasattr(nn.ModuleDict(), name):
        raise UserError(f"--students: a student cannot be called '{name}', which has another meaning; rename it")


def student_args(args: Namespace, config: Mapping[str, Any]) -> Namespace:
    """Returns the options of one student: those of the run, overlaid with the student's own."""
    base = {key: value for key, value in deepcopy(vars(args)).items() if key not in ENCRL_KEYS}
    for key, value in config.items():
        # Only these hold what the recipe gives on the command line (fs, stats_file); the rest is the student's alone.
        shared = key in ("frontend_conf", "normalize_conf")
        base[key] = merge(base.get(key) or {}, value) if shared else deepcopy(value)
    return Namespace(**base)


def build_student(name: str, args: Namespace) -> ESPnetASRModel:
    """Builds one student, with the random weights that it would have without any other student beside it.

    Raises:
        UserError: it is no CTC model, or its SpecAugment moves frames against the teacher's.
    """
    if (args.model_conf or {}).get("ctc_weight") != 1.0:
        raise UserError(f"student {name}: students are CTC models; set model_conf: {{ctc_weight: 1.0}}")
    # SpecAug warps time unless told not to.
    if args.specaug is not None and (args.specaug_conf or {}).get("apply_time_warp", True):
        raise UserError(
            f"student {name}: time warp moves the student's frames against the teacher's; "
            "set specaug_conf: {apply_time_warp: false}"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            model = ASRTask.build_model(args)
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"student {name}: cannot be built: {error}") from error
    quicken_dropout(model)
    return model
