"""Checks that teacher and students can be compared frame by frame."""

import logging
from argparse import Namespace
from collections.abc import Iterable, Sequence
from fractions import Fraction

from espnet2.asr.espnet_model import ESPnetASRModel

from espnet_ext.encoder.frame_rate import samples_per_frame
from espnet_ext.encoder.layers import encoder_layers, layer_index
from espnet_ext.encrl.criteria import Criterion
from espnet_ext.errors import UserError
from espnet_ext.teachers.espnet import count_frames, sample_rate_hz
from espnet_ext.teachers.teacher import Teacher
from espnet_ext.teachers.tokens import TokenMap, Tokens, match_tokens

# Interpolation over more than this has little to do with what the teacher said of a frame.
_MAX_RATIO = 4.0
_REMEDY = "use criteria on 'encoder' only, as conf/tuning/clip_frames.yaml does"


def student_rate(model: ESPnetASRModel, args: Namespace) -> tuple[int, int]:
    """Measures a student that still has its front end, by encoding noise of two lengths.

    Returns:
        Sampling rate of its audio, Hz; samples from one frame of its encoder output to the next.
    """
    rate, training = sample_rate_hz(args), model.training
    model.eval()
    hop_length = getattr(model.frontend, "hop_length", None)
    frame_samples = samples_per_frame(lambda samples: count_frames(model, samples), rate, hop_length)
    model.train(training)
    return rate, frame_samples


def check_agreement(
    teacher: Teacher, student_name: str, student: ESPnetASRModel, args: Namespace, criteria: Iterable[Criterion]
) -> tuple[float, TokenMap | None]:
    """Compares what teacher and student need for some criteria.

    Args:
        teacher: the teacher.
        student_name: for messages.
        student: a model that still has its front end.
        args: its configuration.
        criteria: that are compared.

    Returns:
        Teacher's encoder frames per frame of the student, exactly 1 where they agree; how the teacher's CTC output is
        brought to the student's tokens, None where they agree.

    Raises:
        UserError: says which criterion needs what, if the two models cannot be compared.
    """
    criteria = list(criteria)
    rate, frame_samples = student_rate(student, args)
    names = ", ".join(criterion.name for criterion in criteria)
    if teacher.sample_rate_hz != rate:
        logging.warning(
            f"Teacher {teacher.name} takes {teacher.sample_rate_hz} Hz, student {student_name} {rate} Hz: the teacher "
            "hears the audio resampled"
        )
    exact = Fraction(frame_samples, rate) / Fraction(teacher.frame_samples, teacher.sample_rate_hz)
    ratio = float(exact)
    if not 1 / _MAX_RATIO <= ratio <= _MAX_RATIO:
        raise UserError(
            f"teacher {teacher.name} has {teacher.frames_per_sec:g} encoder frames/s, student {student_name} "
            f"{rate / frame_samples:g}: criteria {names} compare frame by frame, and interpolation serves up to a "
            f"factor of {_MAX_RATIO:g}; bring hop_length x subsampling (frontend_conf hop_length, encoder_conf "
            "input_layer) of the student nearer to the teacher's"
        )
    if ratio != 1:
        logging.warning(
            f"Teacher {teacher.name} has {teacher.frames_per_sec:g} encoder frames/s, student {student_name} "
            f"{rate / frame_samples:g}: the teacher's outputs are interpolated to the student's frames"
        )
    _check_layers(teacher, student_name, student, criteria)
    heads = [criterion for criterion in criteria if criterion.needs_head and criterion.needs_teacher]
    if not heads:
        return ratio, None
    tokens = known_tokens(teacher.tokens, teacher.name, heads[0], teacher.has_head)
    return ratio, compare_tokens(tokens, student.token_list, student.blank_id, student_name, teacher.name, heads[0])


def _check_layers(teacher: Teacher, student_name: str, student: ESPnetASRModel, criteria: list[Criterion]) -> None:
    used: dict[int, Criterion] = {}
    for criterion in criteria:
        if criterion.depth is None:
            continue
        if not teacher.num_layers:
            raise UserError(
                f"criterion '{criterion.name}' compares layers, and teacher {teacher.name} shows none; use criteria on "
                "'encoder' instead"
            )
        index = layer_index(criterion.depth, len(encoder_layers(student.encoder)))
        other = used.setdefault(index, criterion)
        if other.depth != criterion.depth:
            raise UserError(
                f"student {student_name} has too few layers for criteria on both {other.on} and {criterion.on}: each "
                f"is its layer {index + 1}, which would be pulled to two layers of the teacher; leave one of them out"
            )


def known_tokens(tokens: Tokens | None, teacher: str, criterion: Criterion, has_head: bool | None = None) -> Tokens:
    """Returns the tokens of a teacher.

    Args:
        tokens: as far as they are known.
        teacher: its name.
        criterion: that compares CTC outputs.
        has_head: whether it has a CTC output, as far as that is known.

    Raises:
        UserError: it has none, or they are not known.
    """
    if tokens is None:
        lacks = f"teacher {teacher} has no CTC output whose tokens are known"
        if has_head is not None:
            lacks = (
                f"the tokens of teacher {teacher} are not known" if has_head else f"teacher {teacher} has no CTC head"
            )
        raise UserError(f"{_need(criterion)}, but {lacks}; {_REMEDY}")
    return tokens


def compare_tokens(
    theirs: Tokens, ours: Sequence[str], blank: int, student: str, teacher: str, criterion: Criterion
) -> TokenMap | None:
    """Returns how the teacher's CTC output is brought to a student's tokens, see `match_tokens`.

    Args:
        theirs: of the teacher.
        ours: of the student.
        blank: position of the student's.
        student: its name.
        teacher: its name.
        criterion: that compares CTC outputs.

    Raises:
        UserError: they are other tokens.
    """
    try:
        return match_tokens(theirs, ours, blank, f"student {student}", teacher)
    except UserError as error:
        raise UserError(
            f"{_need(criterion)} and needs the same token list: {error}; give --token_type teacher, or {_REMEDY}"
        ) from error


def _need(criterion: Criterion) -> str:
    return f"criterion '{criterion.name}' on {criterion.on} compares CTC outputs"
