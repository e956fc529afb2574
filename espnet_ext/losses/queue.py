"""Teacher vectors of earlier batches, as further negatives of a contrastive loss."""

import torch
from torch import Tensor


class TeacherQueue:
    """First in, first out, as in MoCo (He et al. 2020); never stale, because the teacher is frozen.

    It is no part of checkpoints, so EncRL empties it at the beginning of each epoch: a resumed training then equals one
    that never stopped.

    Args:
        size: vectors it holds at most.
    """

    def __init__(self, size: int):
        self.size = size
        self._vectors: Tensor | None = None
        self._ids: Tensor | None = None

    def clear(self) -> None:
        """Forgets all vectors."""
        self._vectors = self._ids = None

    def read(self) -> tuple[Tensor, Tensor] | None:
        """Returns the vectors, (n, D) float, and what they are of, (n,) int; None while it is empty."""
        return None if self._vectors is None else (self._vectors, self._ids)

    def append(self, vectors: Tensor, ids: Tensor) -> None:
        """Adds vectors, (B, D), and drops the oldest."""
        vectors, ids = vectors.detach(), ids.detach()
        if self._vectors is not None:
            vectors, ids = torch.cat([self._vectors, vectors]), torch.cat([self._ids, ids])
        self._vectors, self._ids = vectors[-self.size :], ids[-self.size :]
