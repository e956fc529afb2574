"""Linear maps from a student's width to the teacher's; used in EncRL only, dropped from the exported student."""

from espnet2.asr.espnet_model import ESPnetASRModel
from torch import nn

from espnet_ext.encrl.criteria import Criterion


def build_projection(criterion: Criterion, student: ESPnetASRModel, teacher_dim: int) -> nn.Linear | None:
    """Returns the projection of a criterion on hidden outputs, or None where it needs none.

    It starts as the identity on the dimensions that both models have (DPHuBERT's initialisation), so that with equal
    widths and `project: true` training starts from the plain comparison.
    """
    if criterion.needs_head:
        return None
    student_dim = student.encoder.output_size()
    if not (criterion.project or student_dim != teacher_dim):
        return None
    projection = nn.Linear(student_dim, teacher_dim)
    nn.init.eye_(projection.weight)
    nn.init.zeros_(projection.bias)
    return projection
