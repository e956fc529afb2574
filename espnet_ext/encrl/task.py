"""ESPnet task that trains students to match a frozen teacher."""

import logging
from argparse import ArgumentParser, Namespace

from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.asr import ASRTask
from espnet2.utils.types import str2bool, str_or_none

import espnet_ext.autoload  # noqa: F401  (registers our encoders, also in spawned workers)
from espnet_ext.encrl.build import add_criteria_arguments, build_model
from espnet_ext.encrl.criteria import parse_criteria
from espnet_ext.encrl.init import init_from_layers, keep_zeros
from espnet_ext.encrl.model import ESPnetEncRLModel
from espnet_ext.encrl.students import build_student, read_students, student_args
from espnet_ext.encrl.text import check_selection, check_text
from espnet_ext.encrl.trainer import EncRLTrainer
from espnet_ext.errors import UserError
from espnet_ext.teachers.cache import ENCODER
from espnet_ext.teachers.source import ESPNET, Source


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
        add_criteria_arguments(group)
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
        if args.student_init and not args.collect_stats:
            _init_students(args, students)
        model = build_model(ESPnetEncRLModel, args, criteria, students, namespaces)
        # Each student is selected by itself; the total would let the largest decide for all.
        best = [("valid", f"{name}_{args.select_by}", "min") for name in students]
        args.best_model_criterion = [("valid", "loss", "min"), *best]
        return model


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
