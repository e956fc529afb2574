"""Contrastive loss between student and teacher representations."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_ext.losses.gather import gather_batch
from espnet_ext.losses.loss import Loss
from espnet_ext.losses.masking import frame_loss_mean, valid_frames, without_padding
from espnet_ext.losses.pooling import sampled_frames, utterance_vectors
from espnet_ext.losses.queue import TeacherQueue

# Upper limit of a learned logit scale, as in CLIP (Radford et al. 2021).
_MAX_LOG_SCALE = math.log(100.0)


class ClipLoss(Loss):
    """Symmetric cross entropy of student-teacher similarities, L_CLIP of eq. 2 and 3 of arXiv 2505.16991.

    `pooling="mean"`: one vector an utterance (mean of its frames); an utterance is to be told from the others of the
    batch, over all processes of a distributed run. `pooling="frame"`: a frame is to be told from the other frames of
    its utterance; with `num_frames`, from the frames sampled of all utterances of the batch.

    Args:
        pooling: "mean" or "frame".
        normalize: L2-normalise the vectors, so that similarities are cosines; the released code does not.
        temperature: the similarities are divided by it (0.07 in the released code).
        learn_temperature: train it, starting from `temperature`.
        masked: False lets padding frames take part in the mean, as the released code does; with "frame" pooling as
            negatives.
        num_frames: frames sampled of each utterance; "frame" pooling only. Evenly spaced in validation.
        queue_size: teacher vectors of earlier batches as further negatives of the student in training; needs `ids`.
        soft_targets: share of the target that is not the pair itself but the similarity of the teacher's vectors with
            one another (self-similarity as the label, SoftCLIP, arXiv 2303.17561). 0: the pair alone.
    """

    def __init__(
        self,
        pooling: str = "mean",
        normalize: bool = True,
        temperature: float = 0.07,
        learn_temperature: bool = False,
        masked: bool = True,
        num_frames: int | None = None,
        queue_size: int = 0,
        soft_targets: float = 0.0,
    ):
        super().__init__()
        if pooling not in ("mean", "frame"):
            raise ValueError(f"pooling must be 'mean' or 'frame', not '{pooling}'")
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, not {temperature}")
        if num_frames is not None and (pooling != "frame" or num_frames < 1 or not masked):
            raise ValueError(f"num_frames must be >= 1, with pooling: frame and masked: true, not {num_frames}")
        if queue_size < 0 or (queue_size and pooling != "mean"):
            raise ValueError(f"queue_size must be >= 0, with pooling: mean, not {queue_size}")
        if not 0 <= soft_targets <= 1 or (soft_targets and pooling == "frame" and num_frames is None):
            raise ValueError(f"soft_targets must be within 0 and 1, not with pooling: frame alone; not {soft_targets}")
        self.pooling = pooling
        self.normalize = normalize
        self.masked = masked
        self.num_frames = num_frames
        self.soft_targets = soft_targets
        self.queue = TeacherQueue(queue_size) if queue_size else None
        if self.queue is not None:
            self.needs = ("teacher", "ids")
        log_scale = torch.tensor(math.log(1.0 / temperature))
        if learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale, persistent=False)

    def forward(self, student: Tensor, teacher: Tensor, lengths: Tensor, ids: Tensor | None = None) -> Tensor:
        """Computes the loss.

        Args:
            student: (B, T, D) float; with `masked`, padding frames may hold anything, even NaN.
            teacher: (B, T, D) float, without gradient; padding as in `student`.
            lengths: (B,) int, valid frames of each utterance, >= 1.
            ids: (B,) int, equal for equal utterances, so that none is a negative of itself; only a queue needs them.

        Returns:
            Scalar float, nats. Except with plain "frame" pooling, in a distributed run: the mean over this process's
            vectors, with those of all processes as negatives.
        """
        if self.pooling == "mean":
            pairs = utterance_vectors(student, teacher, lengths, self.normalize, self.masked)
            return self._contrast(*pairs, ids)
        if self.masked:
            student, teacher = without_padding(student, lengths), without_padding(teacher, lengths)
        if self.normalize:
            student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
        if self.num_frames is None:
            return self._frames(student, teacher, lengths)
        frames = sampled_frames(lengths, self.num_frames, random=self.training)  # (B, K)
        student, teacher = (x.take_along_dim(frames[..., None], dim=1).flatten(0, 1) for x in (student, teacher))
        # The same frame of the same utterance, taken twice, is no negative.
        utterances = torch.arange(lengths.size(0), device=lengths.device)[:, None]
        return self._contrast(student, teacher, (utterances * lengths.max() + frames).flatten(), own_process=True)

    def begin_epoch(self) -> None:
        """Empties the queue."""
        if self.queue is not None:
            self.queue.clear()

    def _scale(self) -> Tensor:
        return self.log_scale.clamp(max=_MAX_LOG_SCALE).exp()

    def _contrast(self, student: Tensor, teacher: Tensor, ids: Tensor | None, own_process: bool = False) -> Tensor:
        """Tells pairs, (N, D) each, from all others; columns of the same id are left out.

        `own_process`: ids of different processes have nothing to do with each other.
        """
        if ids is None:
            if self.queue is not None:
                raise ValueError("queue_size needs the ids of the utterances")
            ids, own_process = torch.arange(student.size(0), device=student.device), True
        all_students, first = gather_batch(student)  # (M, D)
        all_teachers, _ = gather_batch(teacher)
        all_ids = gather_batch(ids[:, None])[0][:, 0]  # (M,)
        labels = torch.arange(first, first + student.size(0), device=student.device)
        same = ids[:, None] == all_ids  # (N, M)
        if own_process:
            columns = torch.arange(all_ids.size(0), device=ids.device)
            same &= (columns >= first) & (columns < first + student.size(0))
        same[torch.arange(student.size(0), device=ids.device), labels] = False
        to_student = self._cross_entropy(teacher, all_students, teacher, all_teachers, labels, same)
        negatives = all_teachers
        if self.queue is not None and self.training:
            if (queued := self.queue.read()) is not None:
                negatives = torch.cat([all_teachers, queued[0]])
                same = torch.cat([same, ids[:, None] == queued[1]], dim=1)
            self.queue.append(all_teachers, all_ids)
        to_teacher = self._cross_entropy(student, negatives, teacher, negatives, labels, same)
        return (to_teacher + to_student) / 2

    def _cross_entropy(
        self, rows: Tensor, columns: Tensor, row_teachers: Tensor, column_teachers: Tensor, labels: Tensor, same: Tensor
    ) -> Tensor:
        """Cross entropy of (N, D) rows over (M, D) columns; the teacher's vectors of both make soft targets."""
        lowest = torch.finfo(rows.dtype).min  # finite: a row of -inf alone would give NaN gradients
        logits = (self._scale() * rows @ columns.T).masked_fill(same, lowest)
        if not self.soft_targets:
            return F.cross_entropy(logits, labels)
        similar = self._scale().detach() * row_teachers @ column_teachers.T
        similar = similar.masked_fill(same, lowest).softmax(dim=-1)
        pair = F.one_hot(labels, columns.size(0)).to(similar.dtype)
        return F.cross_entropy(logits, (1 - self.soft_targets) * pair + self.soft_targets * similar)

    def _frames(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
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
