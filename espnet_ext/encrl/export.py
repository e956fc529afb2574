"""A student of an EncRL run as a stock ESPnet experiment: `config.yaml` and `model.pth`."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from espnet2.tasks.asr import ASRTask
from torch import Tensor

import espnet_ext.autoload  # noqa: F401  (registers our encoders)
from espnet_ext.checkpoints.find import read_state_dict, save_model
from espnet_ext.config import option_names, read_config
from espnet_ext.encrl.best import best_file
from espnet_ext.encrl.students import student_args
from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.quiet import quiet_espnet


def student_state(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Takes the tensors of one student out of an EncRL checkpoint; projections and losses stay behind."""
    prefix = f"students.{name}."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    shared = {key: value for key, value in state.items() if key.startswith("frontend.")}
    return shared | own


def stock_config(encrl_config: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns the configuration that `espnet2.bin.asr_train` would have written for this student.

    Raises:
        UserError: no such student in the run.
    """
    students = encrl_config.get("students") or {}
    if name not in students:
        raise UserError(f"the EncRL run has no student '{name}'; {did_you_mean(name, students)}")
    args = vars(student_args(Namespace(**encrl_config), students[name]))
    stock = option_names(ASRTask.get_parser()) | {"required", "version"}
    return {key: value for key, value in args.items() if key in stock}


def export_student(encrl_exp: Path, name: str, checkpoint: str | None, output_dir: Path) -> Path:
    """Writes one student; a `model.pth` that exists is whole.

    Args:
        encrl_exp: experiment directory of `espnet_ext.encrl.train`.
        name: the student.
        checkpoint: file name in `encrl_exp`; default: see `best_file`.
        output_dir: where `config.yaml` and `model.pth` go.

    Returns:
        The path of `model.pth`.

    Raises:
        UserError: an unfinished run, an unknown student, or a checkpoint that does not fill the model.
    """
    told = read_config(encrl_exp / "config.yaml")
    config = stock_config(told, name)
    source = encrl_exp / (checkpoint or best_file(name, told))
    if not source.exists():
        raise UserError(f"{source} does not exist: the EncRL training has not finished; run stage 11 again")
    state = student_state(read_state_dict(source), name)
    args = Namespace(**config)
    with quiet_espnet():
        model = ASRTask.build_model(args)
    config = {key: getattr(args, key) for key in config}  # with the tokens themselves, which ESPnet has read
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{source} does not fill the model of student '{name}': {error}") from error
    return save_model(config, model.state_dict(), output_dir)
