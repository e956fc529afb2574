"""Concatenates batches of unequal size over the processes of a distributed run."""

import torch
import torch.distributed as dist
from torch import Tensor


class _AllGather(torch.autograd.Function):
    """All-gather of equal shapes whose backward sums the gradients that every process has for this process's part."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[dist.get_rank()]


def world_size() -> int:
    """Number of processes of the run; 1 when it is not distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """Number of this process among those of the run; 0 when it is not distributed."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def union(names: set[str], among: list[str], device: torch.device) -> set[str]:
    """Returns the names that any process of the run has; all processes must call it.

    Args:
        names: of this process.
        among: all names there are, in the same order in each process.
        device: one that the processes exchange tensors of.
    """
    if world_size() == 1:
        return set(names)
    flags = torch.tensor([name in names for name in among], dtype=torch.int32, device=device)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return {name for name, flag in zip(among, flags.tolist(), strict=True) if flag}


def total(counts: Tensor) -> Tensor:
    """Returns the sum of a tensor without gradient over the processes of the run; all of them must call it."""
    if world_size() > 1:
        counts = counts.clone()
        dist.all_reduce(counts)
    return counts


def gather_batch(x: Tensor) -> tuple[Tensor, int]:
    """Concatenates `x` over all processes along the batch; gradients flow back to the process that owns a row.

    Processes may hold different numbers of rows (ESPnet deals out `batch[rank::world_size]`): rows are padded to the
    largest number for the exchange and cut afterwards.

    Args:
        x: (B, D) float; B differs between processes, D does not.

    Returns:
        (sum of B, D) float in rank order, and the index of this process's first row in it.
    """
    if world_size() == 1:
        return x, 0
    sizes = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([x.size(0)], device=x.device))
    rows = [int(size) for size in sizes]
    padded = torch.cat([x, x.new_zeros(max(rows) - x.size(0), x.size(1))])
    gathered = _AllGather.apply(padded)  # (world, max B, D)
    return torch.cat([part[:n] for part, n in zip(gathered, rows, strict=True)]), sum(rows[: dist.get_rank()])
