"""ESPnet task that trains students to match a frozen teacher."""

import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

import yaml
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.asr import ASRTask
from espnet2.utils.types import str2bool, str_or_none
from torch import nn

import espnet_ext.autoload  # noqa: F401  (registers our encoders, also in spawned workers)
from espnet_ext.encrl.agreement import check_agreement
from espnet_ext.encrl.criteria import DEFAULT, Criterion, check_cacheable, parse_criteria, teacher_outputs
from espnet_ext.encrl.init import init_from_layers, keep_zeros
from espnet_ext.encrl.model import ESPnetEncRLModel
from espnet_ext.encrl.students import build_student, read_students, student_args
from espnet_ext.encrl.text import check_ctc, check_selection, check_text
from espnet_ext.encrl.trainer import EncRLTrainer
from espnet_ext.errors import UserError
from espnet_ext.teachers.cache import ENCODER, check_cache, data_names
from espnet_ext.teachers.espnet import frontend_key, sample_rate_hz
from espnet_ext.teachers.load import load_teacher
from espnet_ext.teachers.source import ESPNET, HELP, Source
from espnet_ext.teachers.teacher import Teacher


class EncRLTask(ASRTask):
    """Everything of ESPnet's ASR training (resume, AMP, DDP, tensorboard ...) with another model to build.

    The options of `espnet2.bin.asr_train` describe what all students have in common; each student's configuration is
    laid over them.
    """

    trainer = EncRLTrainer

    @classmethod
    def add_task_arguments(cls, parser: ArgumentParser) -> None:
        """Adds the options of ASRTask and of EncRL."""
        super().add_task_arguments(parser)
        group = parser.add_argument_group("EncRL related")
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
            "--students",
            nargs="+",
            default=None,
            help="NAME=CONFIG of each student, e.g. e6=conf/e6.yaml e4=conf/e4.yaml",
        )
        group.add_argument(
            "--student_init",
            type=str_or_none,
            default=None,
            help="Model whose layers students start from: 'teacher', or anything that --teacher takes; 'auto': the "
            "teacher, and random values for students of other dimensions. Default: random values",
        )
        group.add_argument(
            "--student_init_layers",
            choices=("last", "first", "even"),
            default="even",
            help="Which layers of --student_init a student takes",
        )
        group.add_argument(
            "--keep_zeros",
            type=str2bool,
            default=False,
            help="Weights of --student_init that are exactly zero, as after pruning, stay zero",
        )
        group.add_argument(
            "--criteria",
            type=_yaml_option,
            default=list(DEFAULT),
            help="List of {loss, on, weight, conf, project}, e.g. '[{loss: mse, on: log_probs}]'",
        )
        group.add_argument(
            "--select_by",
            default="loss",
            help="Statistic of the validation that is lowest in a student's best epochs: loss (all criteria), cer_ctc, "
            "or the name of a criterion, e.g. ctc",
        )

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """EncRL needs no transcripts."""
        return ("speech",)

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """Transcripts are for criteria on text and the error rate in validation; teachers' outputs may be from a cache.

        Layers from a cache have names of their own: they need `--allow_variable_data_keys true`.
        """
        return ("text", ENCODER)

    @classmethod
    def build_model(cls, args: Namespace) -> ESPnetEncRLModel:
        """Builds students and teacher; without the teacher for the collection of statistics.

        Raises:
            UserError: bad options, or models that cannot be compared.
        """
        criteria = parse_criteria(args.criteria)
        check_selection(args.select_by, criteria)
        check_text(args, criteria)
        args.students = read_students(args.students)  # written out, so that config.yaml is self-contained
        namespaces = {name: student_args(args, config) for name, config in args.students.items()}
        students = {name: build_student(name, namespace) for name, namespace in namespaces.items()}
        for name, student in students.items():
            check_ctc(name, student, criteria)
        teacher, ratios = None, {}
        rates = {name: sample_rate_hz(namespace) for name, namespace in namespaces.items()}
        if len(set(rates.values())) > 1:
            said = ", ".join(f"{name} {rate}" for name, rate in rates.items())
            raise UserError(f"students hear the same audio but take different rates ({said} Hz); give one fs to all")
        if args.student_init and not args.collect_stats:
            _init_students(args, students)
        if not args.collect_stats and any(criterion.needs_teacher for criterion in criteria):
            if args.teacher is None:
                raise UserError(f"--teacher is missing: name the large model ({HELP})")
            _check_caches(args, criteria)
            teacher = load_teacher(args.teacher, args.teacher_train_mode)
            for name, student in students.items():
                ratios[name] = check_agreement(teacher, name, student, namespaces[name], criteria)
        frontend, teacher_shares = _share_frontend(namespaces, students, teacher)
        # Each student is selected by itself; the total would let the largest decide for all.
        best = [("valid", f"{name}_{args.select_by}", "min") for name in students]
        args.best_model_criterion = [("valid", "loss", "min"), *best]
        rate = next(iter(rates.values()))
        return ESPnetEncRLModel(students, frontend, teacher, teacher_shares, criteria, ratios, rate)


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


def _init_students(args: Namespace, students: dict[str, ESPnetASRModel]) -> None:
    auto = args.student_init == "auto"
    source = args.teacher if auto or args.student_init == "teacher" else args.student_init
    if source is None and not auto:
        raise UserError("--student_init teacher: needs --teacher")
    for name, student in students.items():
        try:
            if source is not None and Source.parse(source).family != ESPNET:
                raise UserError(f"layers of {source} are none of ESPnet's ASR task, so no student can take them")
            if source is not None:
                init_from_layers(name, student, source, args.student_init_layers)
        except UserError as reason:
            if not auto:
                raise
            logging.warning(f"Student {name} starts with random values: {reason}")
        if args.keep_zeros:
            logging.info(f"Student {name}: {keep_zeros(student)} weights stay zero")


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
