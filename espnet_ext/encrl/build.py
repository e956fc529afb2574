"""What is compared with a teacher, as options of a task of ESPnet, and the model that they describe."""

from argparse import ArgumentTypeError, Namespace, _ArgumentGroup
from pathlib import Path

import yaml
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.utils.types import str2bool, str_or_none
from torch import nn

from espnet_ext.encrl.agreement import check_agreement
from espnet_ext.encrl.criteria import DEFAULT, Criterion, check_cacheable, teacher_outputs
from espnet_ext.encrl.model import ESPnetEncRLModel
from espnet_ext.encrl.text import check_ctc
from espnet_ext.errors import UserError
from espnet_ext.teachers.cache import ENCODER, check_cache, data_names
from espnet_ext.teachers.espnet import frontend_key, sample_rate_hz
from espnet_ext.teachers.load import load_teacher
from espnet_ext.teachers.source import HELP
from espnet_ext.teachers.teacher import Teacher


def add_criteria_arguments(group: _ArgumentGroup) -> None:
    """Adds the options."""
    group.add_argument(
        "--teacher",
        type=str_or_none,
        default=None,
        help=f"The large model, by its family. {HELP}",
    )
    group.add_argument(
        "--teacher_train_mode",
        type=str2bool,
        default=False,
        help="Run the teacher with dropout and batch statistics, as the released code of the paper does",
    )
    group.add_argument(
        "--criteria",
        type=_yaml_option,
        default=list(DEFAULT),
        help="List of {loss, on, weight, conf, project}, e.g. '[{loss: mse, on: log_probs}]'",
    )


def build_model(
    model_class: type[ESPnetEncRLModel],
    args: Namespace,
    criteria: list[Criterion],
    students: dict[str, ESPnetASRModel],
    namespaces: dict[str, Namespace],
) -> ESPnetEncRLModel:
    """Puts students beside a teacher, which is loaded only where a criterion needs it and losses are computed.

    Args:
        model_class: of the result.
        args: of the task.
        criteria: that students are trained by.
        students: by name.
        namespaces: options of each.

    Raises:
        UserError: models that cannot be compared, or a criterion that a student does not serve for.
    """
    for name, student in students.items():
        check_ctc(name, student, criteria)
    rates = {name: sample_rate_hz(namespace) for name, namespace in namespaces.items()}
    if len(set(rates.values())) > 1:
        said = ", ".join(f"{name} {rate}" for name, rate in rates.items())
        raise UserError(f"students hear the same audio but take different rates ({said} Hz); give one fs to all")
    teacher, ratios, token_maps = None, {}, {}
    if not args.collect_stats and any(criterion.needs_teacher for criterion in criteria):
        if args.teacher is None:
            raise UserError(f"--teacher is missing: name the large model ({HELP})")
        _check_caches(args, criteria)
        teacher = load_teacher(args.teacher, args.teacher_train_mode)
        for name, student in students.items():
            agreed = check_agreement(teacher, name, student, namespaces[name], criteria)
            ratios[name], token_maps[name] = agreed
    frontend, teacher_shares = _share_frontend(namespaces, students, teacher)
    rate = next(iter(rates.values()))
    return model_class(students, frontend, teacher, teacher_shares, criteria, ratios, token_maps, rate)


def _yaml_option(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ArgumentTypeError(
            f"'{text}' is not YAML ({reason}); quote it as a whole, with a blank after ':'"
        ) from None


def _check_caches(args: Namespace, criteria: list[Criterion]) -> None:
    for paths in (args.train_data_path_and_name_and_type, args.valid_data_path_and_name_and_type):
        files = {name: Path(path) for path, name, _ in paths or ()}
        kinds = {name: kind for _, name, kind in paths or ()}
        if ENCODER not in files:
            continue
        if args.teacher_train_mode:
            raise UserError("teacher_train_mode: a cached teacher has no dropout; train without the cache")
        check_cacheable(criteria)
        outputs = teacher_outputs(criteria)
        for name in data_names(outputs):
            if name not in files:
                raise UserError(f"the criteria need {name} of the cache {files[ENCODER].parent}; give its list as data")
        check_cache(files[ENCODER], args.teacher, outputs, files["speech"], kinds["speech"])


def _share_frontend(
    namespaces: dict[str, Namespace], students: dict[str, nn.Module], teacher: Teacher | None
) -> tuple[nn.Module | None, bool]:
    """Takes the front end out of models that agree on it, so that features are computed once.

    A front end with parameters stays with its model: it would be trained by several.

    Returns:
        The shared front end or None, and whether the teacher takes its features too.
    """
    keys = {name: frontend_key(namespace) for name, namespace in namespaces.items()}
    first = next(iter(students.values()))
    if len(set(keys.values())) > 1 or first.frontend is None or any(True for _ in first.frontend.parameters()):
        return None, False
    frontend = first.frontend
    for student in students.values():
        student.frontend = None
    return frontend, teacher is not None and teacher.takes_features_of(next(iter(keys.values())))
