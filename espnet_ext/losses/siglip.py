"""Sigmoid loss between student and teacher representations."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_ext.losses.gather import gather_batch
from espnet_ext.losses.loss import Loss
from espnet_ext.losses.pooling import utterance_vectors


class SiglipLoss(Loss):
    """Each pair of a student's and a teacher's utterance vector is classified: same or not (arXiv 2303.15343, eq. 1).

    Unlike CLIP's softmax it does not compare the pairs of a batch with one another, so it depends less on their number.
    Scale and bias are learned.

    Args:
        scale: start of the factor of the cosine similarities (10 in the publication).
        bias: start of the bias (-10 in the publication, where batches hold thousands of negatives).
        masked: False lets padding frames take part in the means.
    """

    def __init__(self, scale: float = 10.0, bias: float = -10.0, masked: bool = True):
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be > 0, not {scale}")
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))
        self.masked = masked

    def forward(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """Computes the loss.

        Args:
            student: (B, T, D) float.
            teacher: (B, T, D) float, without gradient.
            lengths: (B,) int, valid frames of each utterance, >= 1.

        Returns:
            Scalar float, nats an utterance of this process; the teacher's vectors of all processes are compared with.
        """
        student, teacher = utterance_vectors(student, teacher, lengths, True, self.masked)
        teachers, first = gather_batch(teacher)  # (N, D)
        logits = self.log_scale.exp() * student @ teachers.T + self.bias  # (B, N)
        sign = torch.full_like(logits, -1.0)
        sign[torch.arange(student.size(0)), torch.arange(first, first + student.size(0))] = 1.0
        return -F.logsigmoid(sign * logits).sum() / student.size(0)
