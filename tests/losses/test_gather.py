"""A contrastive loss of a batch split over processes equals that of the whole batch, forward and gradient."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from espnet_ext.losses import LOSSES
from espnet_ext.losses.gather import union

TOTAL = 7
LOSS_CONFS = [
    ("clip", {}),
    ("clip", {"soft_targets": 0.3}),
    ("clip", {"pooling": "frame", "num_frames": 3}),
    ("clip", {"queue_size": 5}),
    ("siglip", {"scale": 3.0, "bias": -1.0}),
    ("ctc", {}),
]
TEXT_LENGTHS = torch.tensor([1, 0, 1, 0, 1, 0, 0])  # the second of two processes has no transcript


def compute(name: str, conf: dict, student: torch.Tensor, teacher: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Returns the loss, in training where it has a queue, which then holds the same batch under other names."""
    loss, (lengths, ids) = LOSSES[name](**conf), others
    if name == "ctc":
        return loss(student, lengths, torch.full((len(ids), 1), 2), TEXT_LENGTHS[ids])
    loss.train("queue_size" in conf)  # training samples frames at random
    if not loss.training:
        return loss(student, teacher, lengths)
    loss(student.detach(), -teacher, lengths, ids + 2)
    return loss(student, teacher, lengths, ids)


def make_batch() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, TOTAL, 5, 4, generator=generator)
    return student, teacher, torch.tensor([5, 2, 4, 3, 5, 1, 2]), torch.arange(TOTAL)


def worker(rank: int, world_size: int, init_file: str, output_dir: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=world_size)
    results = []
    for name, conf in LOSS_CONFS:
        student, *others = (x[rank::world_size] for x in make_batch())  # as ESPnet deals out a batch
        student.requires_grad_()
        loss = compute(name, conf, student, *others)
        # ESPnet's trainer: weighted by utterances; DDP then averages over processes.
        (loss * len(student) / TOTAL).backward()
        results.append((loss.detach(), student.grad))
    torch.save(results, f"{output_dir}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 3])
def test_split_batch_equals_whole_batch(world_size, tmp_path):
    mp.spawn(worker, (world_size, str(tmp_path / "init"), str(tmp_path)), nprocs=world_size)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world_size)]
    for i, (name, conf) in enumerate(LOSS_CONFS):
        student, *others = make_batch()
        if "queue_size" in conf:  # the order of a queue is that of the ranks
            order = torch.cat([torch.arange(TOTAL)[rank::world_size] for rank in range(world_size)])
            student, *others = (x[order] for x in (student, *others))
        student.requires_grad_()
        expected = compute(name, conf, student, *others)
        expected.backward()
        parts = [results[i] for results in ranks]
        loss = sum(part * len(grad) for part, grad in parts) / TOTAL
        torch.testing.assert_close(loss, expected.detach())
        gradient = student.grad if "queue_size" not in conf else student.grad[order.argsort()]
        for rank, (_, grad) in enumerate(parts):
            torch.testing.assert_close(grad, gradient[rank::world_size])


def unite(rank: int, init_file: str, output_dir: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{init_file}", rank=rank, world_size=2)
    names = union({"e2"} if rank else set(), ["e6", "e4", "e2"], torch.device("cpu"))
    torch.save(names, f"{output_dir}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_name_of_one_process_is_known_to_all(tmp_path):
    assert union({"e4"}, ["e6", "e4"], torch.device("cpu")) == {"e4"}  # not distributed
    mp.spawn(unite, (str(tmp_path / "init"), str(tmp_path)), nprocs=2)
    assert [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)] == [{"e2"}, {"e2"}]
