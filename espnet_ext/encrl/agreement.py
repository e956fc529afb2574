"""Checks that teacher and students can be compared frame by frame."""

import logging
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass

import humanfriendly
import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from espnet_ext.encrl.criteria import Criterion
from espnet_ext.encrl.outputs import encoder_layers
from espnet_ext.errors import UserError

# Frame rates are measured on two lengths; rounding of a frame must not count as a difference.
_PROBE_SEC = (2.0, 6.0)
_RATE_TOLERANCE = 0.02
# Interpolation over more than this has little to do with what the teacher said of a frame.
_MAX_RATIO = 4.0


@dataclass(frozen=True)
class Description:
    """What must agree between two models.

    Attributes:
        sample_rate_hz: audio the model expects.
        frames_per_sec: rate of its encoder output.
    """

    sample_rate_hz: int
    frames_per_sec: float


def describe(model: ESPnetASRModel, args: Namespace) -> Description:
    """Measures a model that still has its front end, by encoding noise of two lengths."""
    sample_rate = humanfriendly.parse_size(str((args.frontend_conf or {}).get("fs", 16000)))
    training = model.training
    model.eval()
    frames = []
    with torch.no_grad():
        for seconds in _PROBE_SEC:
            speech = torch.randn(1, int(seconds * sample_rate), generator=torch.Generator().manual_seed(0))
            frames.append(int(model.encode(speech, torch.tensor([speech.size(1)]))[1]))
    model.train(training)
    rate = (frames[1] - frames[0]) / (_PROBE_SEC[1] - _PROBE_SEC[0])
    return Description(sample_rate, rate)


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
    ratio = t.frames_per_sec / s.frames_per_sec
    if not 1 / _MAX_RATIO <= ratio <= _MAX_RATIO:
        raise UserError(
            f"teacher {teacher_name} has {t.frames_per_sec:g} encoder frames/s, student {student_name} "
            f"{s.frames_per_sec:g}: criteria {names} compare frame by frame, and interpolation serves up to a factor "
            f"of {_MAX_RATIO:g}; bring hop_length x subsampling (frontend_conf hop_length, encoder_conf input_layer) "
            "of the student nearer to the teacher's"
        )
    if abs(ratio - 1) <= _RATE_TOLERANCE:
        ratio = 1.0
    else:
        logging.warning(
            f"Teacher {teacher_name} has {t.frames_per_sec:g} encoder frames/s, student {student_name} "
            f"{s.frames_per_sec:g}: the teacher's outputs are interpolated to the student's frames"
        )
    for criterion in criteria:
        if criterion.needs_head and criterion.needs_teacher:
            _check_heads(teacher_name, teacher[0], student_name, student[0], criterion)
        if criterion.depth is not None:
            encoder_layers(teacher[0].encoder), encoder_layers(student[0].encoder)
    return ratio


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
