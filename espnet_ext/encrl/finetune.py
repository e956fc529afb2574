"""Trains one stock model by a list of criteria: distillation beside CTC, or CR-CTC; what it leaves is stock.

A module and no verb, as `espnet_ext.encrl.train`. Options, files and statistics are those of `espnet2.bin.asr_train`,
so decoding, packing and reports see no difference.

Example:
    % python3 -m espnet_ext.encrl.finetune --config exp/e6/train.yaml --teacher exp/asr_teacher_raw_en_bpe200 \
          --init_param exp/encrl/e6/model.pth --output_dir exp/e6 ... (options of espnet2.bin.asr_train)
"""

from argparse import ArgumentParser, Namespace
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from espnet2.tasks.asr import ASRTask
from torch import Tensor

import espnet_ext.autoload  # noqa: F401  (registers our encoders, also in spawned workers)
from espnet_ext.encrl.build import add_criteria_arguments, build_model
from espnet_ext.encrl.criteria import parse_criteria
from espnet_ext.encrl.export import student_state
from espnet_ext.encrl.model import ESPnetEncRLModel
from espnet_ext.encrl.students import ENCRL_KEYS, build_student, student_args
from espnet_ext.encrl.text import check_text
from espnet_ext.encrl.trainer import EncRLTrainer
from espnet_ext.errors import UserError, run_main
from espnet_ext.teachers.cache import ENCODER

NAME = "model"


class ESPnetCriteriaModel(ESPnetEncRLModel):
    """One student, whose tensors and statistics have the names that they have in ESPnet's own training."""

    def forward(self, *args, **kwargs) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Computes the loss, see `ESPnetEncRLModel.forward`; statistics are without the student's name."""
        loss, stats, weight = super().forward(*args, **kwargs)
        return loss, {key.removeprefix(f"{NAME}_"): value for key, value in stats.items()}, weight

    def state_dict(self, *args, **kwargs) -> dict[str, Any]:
        """Returns the tensors of the stock model."""
        return OrderedDict(student_state(super().state_dict(*args, **kwargs), NAME))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Takes the tensors of a stock model."""
        shared = "frontend." if self.frontend is not None else None
        own = {
            key if shared and key.startswith(shared) else f"students.{NAME}.{key}": value
            for key, value in state_dict.items()
        }
        return super().load_state_dict(own, strict, assign)


class CriteriaTask(ASRTask):
    """ESPnet's ASR training of one CTC model, with criteria in the place of its loss."""

    trainer = EncRLTrainer

    @classmethod
    def add_task_arguments(cls, parser: ArgumentParser) -> None:
        """Adds the options of ASRTask and those of criteria."""
        super().add_task_arguments(parser)
        add_criteria_arguments(parser.add_argument_group("Criteria"))

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """The teacher's output may come from a cache, see `EncRLTask`."""
        return (*super().optional_data_names(train, inference), ENCODER)

    @classmethod
    def build_model(cls, args: Namespace) -> ESPnetCriteriaModel:
        """Builds the model, and the teacher where a criterion needs one.

        Raises:
            UserError: bad options, models that cannot be compared, or a criterion that learns something of its own.
        """
        criteria = parse_criteria(args.criteria)
        check_text(args, criteria)
        stock = student_args(args, {})
        student = build_student(NAME, stock)
        model = build_model(ESPnetCriteriaModel, args, criteria, {NAME: student}, {NAME: stock})
        for kind in (model.losses, model.projections):
            for name, part in kind[NAME].items() if NAME in kind else ():
                if any(True for _ in part.parameters()):
                    raise UserError(
                        f"criterion '{name}' learns weights of its own, which a finished model has no place for (a map "
                        "to the teacher's width, a temperature, SigLIP's scale); give it in --encrl_config"
                    )
        # config.yaml becomes that of a stock model, with what ESPnet writes into it, such as the tokens themselves.
        vars(args).update(vars(stock))
        for key in ENCRL_KEYS:
            vars(args).pop(key, None)
        return model


if __name__ == "__main__":
    run_main(CriteriaTask.main)
