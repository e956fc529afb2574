"""Configurations of trainings: several files as one, checked before any work."""

import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_ext.config import check_keys, merge, option_names, read_config
from espnet_ext.errors import UserError
from espnet_ext.quiet import quiet_espnet
from espnet_ext.required import check_complete

if TYPE_CHECKING:
    from espnet2.asr.espnet_model import ESPnetASRModel

    from espnet_ext.encrl.criteria import Criterion

_BYTES = 4
_SPARE_BYTES = 500 * 2**20


@dataclass(frozen=True)
class Config:
    """What a training is told.

    Attributes:
        files: later ones overwrite earlier ones.
        students: file by student, of an EncRL training; none for a training of one model.
        args: options that overwrite the files, as on ESPnet's command line.
        args_name: of the recipe's option that gives `args`.
        seed: overwrites that of the files; None: theirs.
        kind: one of `espnet_ext.required.KINDS`.
        teacher_cache: criteria get the teacher's outputs from a cache.
    """

    files: tuple[str, ...]
    students: Mapping[str, str] = field(default_factory=dict)
    args: str = ""
    args_name: str = "--args"
    seed: int | None = None
    kind: str = "finetune"
    teacher_cache: bool = False

    def merged(self, others: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns what the files say together.

        Args:
            others: students of a training that is there already: one of more students serves as well.

        Raises:
            UserError: a file cannot be read.
        """
        merged: dict[str, Any] = {}
        for path in self.files:
            merged = merge(merged, read_config(path))
        if self.students:
            given = {name: read_config(path) for name, path in self.students.items()}
            merged["students"] = {name: given.get(name, conf) for name, conf in (others or {}).items()} | given
        return text_keys(merged if self.seed is None else merged | {"seed": self.seed})

    def file_of(self, key: str) -> str:
        """Returns the file that a key comes from, the last one where none holds it."""
        if key.startswith("students."):
            return self.students.get(key.split(".")[1], self.files[-1])
        return next((path for path in reversed(self.files) if key.split(".")[0] in read_config(path)), self.files[-1])

    @property
    def criteria(self) -> "list[Criterion]":
        """What the training compares; of a stock ASR training nothing.

        Raises:
            UserError: the list is not right.
        """
        entries = self.merged().get("criteria")
        if entries is None:
            return []
        from espnet_ext.encrl.criteria import parse_criteria

        return parse_criteria(entries)

    @property
    def needs_teacher(self) -> bool:
        """Whether the training compares with a teacher."""
        return any(criterion.needs_teacher for criterion in self.criteria)

    def value(self, key: str) -> Any:
        """Returns what `args` or else the files say of a key; of a key with a plain word as value."""
        words = self.args.replace(f"--{key}=", f"--{key} ").split()
        said = [value for name, value in zip(words, words[1:], strict=False) if name == f"--{key}"]
        return said[-1] if said else self.merged().get(key)

    def check(self, vocab_size: int) -> "list[ESPnetASRModel]":
        """Builds the models, optimizer and scheduler, so that a wrong option shows now and not after hours.

        Args:
            vocab_size: number of tokens.

        Returns:
            The models.

        Raises:
            UserError: unknown keys or arguments, or something that cannot be built.
        """
        from espnet2.tasks.asr import ASRTask

        import espnet_ext.autoload  # noqa: F401  (registers our encoders)
        from espnet_ext.encrl.finetune import CriteriaTask
        from espnet_ext.encrl.task import EncRLTask

        task = EncRLTask if self.students else CriteriaTask if self.criteria else ASRTask
        parser = task.get_parser()
        for path in self.files:
            check_keys(read_config(path), option_names(parser), path)
        given = self._parse_args(parser)
        check_complete(self.kind, self.files, self.merged() | given)
        tokens = ["<blank>", "<unk>", *(str(i) for i in range(vocab_size - 3)), "<sos/eos>"]
        # The statistics of global_mvn do not exist yet.
        config = self.merged() | given | {"token_list": tokens, "normalize": None}
        return self._build({**vars(parser.parse_args([])), **config})

    def _parse_args(self, parser: Any) -> dict[str, Any]:
        """Returns what the arguments overwrite, read by ESPnet's own parser."""
        words = self.args.split()

        def refuse(message: str) -> None:
            raise UserError(f'{self.args_name} "{self.args}": {message}')

        parser.error = refuse
        parser.set_defaults(**{key: value for key, value in self.merged().items() if key != "students"})
        parsed, unknown = parser.parse_known_args(words)
        if unknown:
            check_keys(
                [word.lstrip("-").split("=")[0] for word in unknown[:1]],
                option_names(parser),
                f'{self.args_name} "{self.args}"',
            )
        named = {word.lstrip("-").split("=")[0] for word in words if word.startswith("--")}
        return {key: value for key, value in vars(parsed).items() if key in named}

    def _build(self, defaults: dict[str, Any]) -> "list[ESPnetASRModel]":
        from espnet2.tasks.abs_task import scheduler_classes
        from espnet2.tasks.asr import ASRTask

        from espnet_ext.encrl.finetune import NAME
        from espnet_ext.encrl.students import build_student, read_students, student_args
        from espnet_ext.encrl.text import check_ctc

        files = " + ".join(self.files)
        if self.students or self.criteria:
            self._check_criteria(defaults)
            given = [f"{name}={path}" for name, path in self.students.items()]
            described = read_students(given) if given else {NAME: {}}
            pairs = [(name, student_args(Namespace(**defaults), conf)) for name, conf in described.items()]
            models = [build_student(*pair) for pair in pairs]
            for (name, _), model in zip(pairs, models, strict=True):
                check_ctc(name, model, self.criteria)
        else:
            try:
                models = [ASRTask.build_model(Namespace(**defaults))]
            except Exception as error:
                raise UserError(f"{files}: the model cannot be built: {error}") from error
        try:
            (optimizer,) = ASRTask.build_optimizers(Namespace(**defaults), models[0])
            if (scheduler := defaults["scheduler"]) is not None:
                scheduler_classes[scheduler](optimizer, **defaults["scheduler_conf"])
        except Exception as error:  # of whichever class they are
            raise UserError(f"{files}: optim or scheduler cannot be built: {error!r}") from error
        return models

    def _check_criteria(self, config: Mapping[str, Any]) -> None:
        from espnet_ext.encrl.criteria import check_cacheable, parse_criteria
        from espnet_ext.encrl.text import check_selection

        criteria = parse_criteria(config["criteria"])
        if self.kind == "teacher" and self.needs_teacher:
            wrong = next(criterion.name for criterion in criteria if criterion.needs_teacher)
            raise UserError(
                f"{self.file_of('criteria')}: criterion '{wrong}' compares with a teacher, and this trains one; "
                "leave it out"
            )
        if self.students:
            check_selection(config["select_by"], criteria)
        for name, student in (config["students"] if self.students else {}).items():
            if "encoder" not in student:
                raise UserError(
                    f"student {name} describes no model: encoder is missing, for which ESPnet would take an RNN"
                )
        if not self.teacher_cache or not self.needs_teacher:
            return
        where = " + ".join(self.files)
        try:
            check_cacheable(criteria)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if config.get("teacher_train_mode"):
            raise UserError(f"{where}: teacher_train_mode: a cached teacher has no dropout; give --teacher_cache false")


def text_keys(value: Any) -> Any:
    """Returns a configuration whose keys are words: YAML 1.1 reads a bare `on` as true, which JSON lacks."""
    if isinstance(value, Mapping):
        return {"on" if key is True else str(key): text_keys(item) for key, item in value.items()}
    return [text_keys(item) for item in value] if isinstance(value, list) else value


def check_configs(configs: Sequence[Config], vocab_size: int, expdir: Path) -> None:
    """Checks the configurations of a run, and that the disk holds their checkpoints.

    Raises:
        UserError: something cannot be trained.
    """
    need = 0
    with quiet_espnet():
        for config in configs:
            parameters = sum(p.numel() for model in config.check(vocab_size) for p in model.parameters())
            need += _checkpoint_bytes(parameters, config.merged())
    expdir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(expdir).free
    if need and free < need + _SPARE_BYTES:
        raise UserError(
            f"{expdir} has {free / 2**30:.1f} GiB free, the checkpoints of this run need "
            f"{(need + _SPARE_BYTES) / 2**30:.1f}; free space, give --expdir on a larger disk, or lower "
            "keep_nbest_models"
        )


def _checkpoint_bytes(parameters: int, config: Mapping[str, Any]) -> int:
    nbest = config.get("keep_nbest_models", 10)
    files = max(nbest if isinstance(nbest, list) else [nbest]) + 3  # epochs, the last one, averages
    return _BYTES * parameters * (files + 3)  # checkpoint.pth holds Adam's moments too
