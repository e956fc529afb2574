"""Checks that teacher and students can be compared frame by frame."""

import logging
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass

import humanfriendly
import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError

from espnet_ext.constants import MIN_SAMPLES
from espnet_ext.encoder.frame_rate import samples_per_frame
from espnet_ext.encoder.layers import encoder_layers, layer_index
from espnet_ext.encrl.criteria import Criterion
from espnet_ext.errors import UserError

# Interpolation over more than this has little to do with what the teacher said of a frame.
_MAX_RATIO = 4.0


@dataclass(frozen=True)
class Description:
    """What must agree between two models.

    Attributes:
        sample_rate_hz: audio the model expects.
        frame_samples: samples from one frame of its encoder output to the next.
    """

    sample_rate_hz: int
    frame_samples: int

    @property
    def frames_per_sec(self) -> float:
        """Rate of the encoder output."""
        return self.sample_rate_hz / self.frame_samples


def describe(model: ESPnetASRModel, args: Namespace) -> Description:
    """Measures a model that still has its front end, by encoding noise of two lengths."""
    sample_rate = humanfriendly.parse_size(str((args.frontend_conf or {}).get("fs", 16000)))
    training = model.training
    model.eval()
    hop_length = getattr(model.frontend, "hop_length", None)
    frame_samples = samples_per_frame(lambda samples: count_frames(model, samples), sample_rate, hop_length)
    model.train(training)
    return Description(sample_rate, frame_samples)


@torch.no_grad()
def count_frames(model: ESPnetASRModel, samples: int) -> int:
    """Returns how many encoder frames a model with a front end, in `eval` mode, makes of so many samples."""
    speech = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    try:
        return int(model.encode(speech, torch.tensor([samples]))[1]) if samples >= MIN_SAMPLES else 0
    except TooShortUttError:
        return 0


def check_agreement(
    teacher_name: str,
    teacher: tuple[ESPnetASRModel, Namespace],
    student_name: str,
    student: tuple[ESPnetASRModel, Namespace],
    criteria: Iterable[Criterion],
) -> float:
    """Compares what two models need for some criteria.

    Returns:
        Teacher's encoder frames per frame of the student; exactly 1 where they agree.

    Raises:
        UserError: says which criterion needs what, if the two models cannot be compared.
    """
    criteria = list(criteria)
    t, s = describe(*teacher), describe(*student)
    names = ", ".join(criterion.name for criterion in criteria)
    if t.sample_rate_hz != s.sample_rate_hz:
        raise UserError(
            f"teacher {teacher_name} takes {t.sample_rate_hz} Hz, student {student_name} {s.sample_rate_hz} Hz: "
            f"criteria {names} compare outputs for the same audio; give both the same --fs (frontend_conf fs)"
        )
    ratio = s.frame_samples / t.frame_samples
    if not 1 / _MAX_RATIO <= ratio <= _MAX_RATIO:
        raise UserError(
            f"teacher {teacher_name} has {t.frames_per_sec:g} encoder frames/s, student {student_name} "
            f"{s.frames_per_sec:g}: criteria {names} compare frame by frame, and interpolation serves up to a factor "
            f"of {_MAX_RATIO:g}; bring hop_length x subsampling (frontend_conf hop_length, encoder_conf input_layer) "
            "of the student nearer to the teacher's"
        )
    if ratio != 1:
        logging.warning(
            f"Teacher {teacher_name} has {t.frames_per_sec:g} encoder frames/s, student {student_name} "
            f"{s.frames_per_sec:g}: the teacher's outputs are interpolated to the student's frames"
        )
    for criterion in criteria:
        if criterion.needs_head and criterion.needs_teacher:
            _check_heads(teacher_name, teacher[0], student_name, student[0], criterion)
    _check_layers(student_name, student[0], teacher[0], criteria)
    return ratio


def _check_layers(
    student_name: str, student: ESPnetASRModel, teacher: ESPnetASRModel, criteria: list[Criterion]
) -> None:
    used: dict[int, Criterion] = {}
    for criterion in criteria:
        if criterion.depth is None:
            continue
        encoder_layers(teacher.encoder)
        index = layer_index(criterion.depth, len(encoder_layers(student.encoder)))
        other = used.setdefault(index, criterion)
        if other.depth != criterion.depth:
            raise UserError(
                f"student {student_name} has too few layers for criteria on both {other.on} and {criterion.on}: each "
                f"is its layer {index + 1}, which would be pulled to two layers of the teacher; leave one of them out"
            )


def _check_heads(
    teacher_name: str, teacher: ESPnetASRModel, student_name: str, student: ESPnetASRModel, criterion: Criterion
) -> None:
    need = f"criterion '{criterion.name}' on {criterion.on} compares CTC outputs"
    for name, model in ((teacher_name, teacher), (student_name, student)):
        if model.ctc is None:
            raise UserError(f"{need}, but {name} has no CTC head (ctc_weight 0); use criteria on 'encoder' only")
    if list(teacher.token_list) != list(student.token_list):
        raise UserError(
            f"{need} and needs the same token list: teacher {teacher_name} has {len(teacher.token_list)} tokens, "
            f"student {student_name} {len(student.token_list)}"
            f"{' (same number, other tokens)' if len(teacher.token_list) == len(student.token_list) else ''}; "
            "use the teacher's token list and BPE model, or criteria on 'encoder' only"
        )
