"""Students that start EncRL from layers of another model instead of random values."""

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from torch import nn

from espnet_ext.checkpoints.derive import load_layers
from espnet_ext.encoder.layers import encoder_layers
from espnet_ext.errors import UserError


def init_from_layers(name: str, student: ESPnetASRModel, source: str, selection: str) -> None:
    """Copies layers, subsampling and CTC head of a source of the same width into a student.

    Args:
        name: the student, for messages.
        student: built with its own number of layers.
        source: experiment directory, checkpoint file, packed zip, or model-zoo tag.
        selection: `last`, `first` or `even`: which of the source's layers.

    Raises:
        UserError: nothing usable in `source`, or a model of other dimensions.
    """
    _, state = load_layers(source, f"{selection}:{len(encoder_layers(student.encoder))}", ctc_only=True)
    own = student.state_dict()
    unlike = [key for key in own if key not in state or state[key].shape != own[key].shape]
    if unlike:
        shapes = (
            f"{tuple(own[unlike[0]].shape)} against {tuple(state[unlike[0]].shape) if unlike[0] in state else None}"
        )
        raise UserError(
            f"student {name} cannot start from layers of {source}: {len(unlike)} tensors differ, e.g. {unlike[0]} "
            f"({shapes}); give it the encoder, width and tokens of the source, or leave out student_init"
        )
    student.load_state_dict({key: state[key] for key in own})


def keep_zeros(model: nn.Module) -> int:
    """Lets weights that are exactly zero, as after pruning, stay zero in training.

    A weight without gradient is not moved by ESPnet's optimizers, whose decay is proportional to the weight.

    Returns:
        The number of weights that stay zero.
    """
    count = 0
    for parameter in model.parameters():
        alive = (parameter != 0).detach()
        if alive.all():
            continue
        count += int((~alive).sum())

        def mask(gradient: torch.Tensor, alive: torch.Tensor = alive) -> torch.Tensor:
            return gradient * alive.to(gradient.device)

        parameter.register_hook(mask)
    return count
