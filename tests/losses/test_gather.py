"""The contrastive loss of a batch split over processes equals that of the whole batch, forward and gradient."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from espnet_ext.losses.clip import ClipLoss

TOTAL = 7


def make_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, TOTAL, 5, 4, generator=generator)
    return student, teacher, torch.tensor([5, 2, 4, 3, 5, 1, 2])


def worker(rank: int, world_size: int, init_file: str, output_dir: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=world_size)
    student, teacher, lengths = (x[rank::world_size] for x in make_batch())  # as ESPnet deals out a batch
    student.requires_grad_()
    loss = ClipLoss()(student, teacher, lengths)
    # ESPnet's trainer: weighted by utterances; DDP then averages over processes.
    (loss * len(student) / TOTAL).backward()
    torch.save((loss.detach(), student.grad), f"{output_dir}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world_size", [2, 3])
def test_split_batch_equals_whole_batch(world_size, tmp_path):
    mp.spawn(worker, (world_size, str(tmp_path / "init"), str(tmp_path)), nprocs=world_size)
    student, teacher, lengths = make_batch()
    student.requires_grad_()
    expected = ClipLoss()(student, teacher, lengths)
    expected.backward()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world_size)]
    loss = sum(part * len(grad) for part, grad in parts) / TOTAL
    torch.testing.assert_close(loss, expected.detach())
    for rank, (_, grad) in enumerate(parts):
        torch.testing.assert_close(grad, student.grad[rank::world_size])
