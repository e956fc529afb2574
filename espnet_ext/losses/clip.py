"""Contrastive loss between student and teacher representations."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_ext.losses.gather import gather_batch
from espnet_ext.losses.masking import frame_loss_mean, masked_time_mean, valid_frames

# Upper limit of a learned logit scale, as in CLIP (Radford et al. 2021).
_MAX_LOG_SCALE = math.log(100.0)


class ClipLoss(nn.Module):
    """Symmetric cross entropy of student-teacher similarities, L_CLIP of eq. 2 and 3 of arXiv 2505.16991.

    `pooling="mean"`: one vector an utterance (mean of its frames); an utterance is to be told from the others of the
    batch, over all processes of a distributed run. `pooling="frame"`: a frame is to be told from the other frames of
    its utterance.

    Args:
        pooling: "mean" or "frame".
        normalize: L2-normalise the vectors, so that similarities are cosines; the released code does not.
        temperature: the similarities are divided by it (0.07 in the released code).
        learn_temperature: train it, starting from `temperature`.
        masked: False lets padding frames take part in the mean, as the released code does; with "frame" pooling as
            negatives.
    """

    def __init__(
        self,
        pooling: str = "mean",
        normalize: bool = True,
        temperature: float = 0.07,
        learn_temperature: bool = False,
        masked: bool = True,
    ):
        super().__init__()
        if pooling not in ("mean", "frame"):
            raise ValueError(f"pooling must be 'mean' or 'frame', not '{pooling}'")
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, not {temperature}")
        self.pooling = pooling
        self.normalize = normalize
        self.masked = masked
        log_scale = torch.tensor(math.log(1.0 / temperature))
        if learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale, persistent=False)

    def forward(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            student: (B, T, D) float.
            teacher: (B, T, D) float, without gradient.
            lengths: (B,) int, valid frames of each utterance, >= 1.

        Returns:
            Scalar float, nats. With "mean" pooling in a distributed run: the mean over this process's utterances, with
            the utterances of all processes as negatives.
        """
        return (
            self._utterances(student, teacher, lengths)
            if self.pooling == "mean"
            else self._frames(student, teacher, lengths)
        )

    def _scale(self) -> Tensor:
        return self.log_scale.clamp(max=_MAX_LOG_SCALE).exp()

    def _utterances(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        if self.masked:
            student, teacher = masked_time_mean(student, lengths), masked_time_mean(teacher, lengths)  # (B, D)
        else:
            student, teacher = student.mean(dim=1), teacher.mean(dim=1)
        if self.normalize:
            student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
        all_students, first = gather_batch(student)  # (N, D)
        all_teachers, _ = gather_batch(teacher)
        labels = torch.arange(first, first + student.size(0), device=student.device)
        to_teacher = F.cross_entropy(self._scale() * student @ all_teachers.T, labels)
        to_student = F.cross_entropy(self._scale() * teacher @ all_students.T, labels)
        return (to_teacher + to_student) / 2

    def _frames(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        if self.normalize:
            student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
        logits = self._scale() * student @ teacher.transpose(1, 2)  # (B, T student, T teacher)
        if self.masked:
            # A finite value, because a row of -inf alone would give NaN gradients.
            padding = ~valid_frames(lengths, logits.size(1))
            lowest = torch.finfo(logits.dtype).min
            student_logits = logits.masked_fill(padding[:, None, :], lowest)
            teacher_logits = logits.transpose(1, 2).masked_fill(padding[:, None, :], lowest)
        else:
            student_logits, teacher_logits = logits, logits.transpose(1, 2)
        labels = torch.arange(logits.size(1), device=logits.device).expand(logits.size(0), -1)  # (B, T)
        # cross_entropy takes the classes on dimension 1.
        to_teacher = F.cross_entropy(student_logits.transpose(1, 2), labels, reduction="none")
        to_student = F.cross_entropy(teacher_logits.transpose(1, 2), labels, reduction="none")
        return frame_loss_mean((to_teacher + to_student) / 2, lengths, self.masked)
