"""Work with a teacher in several processes, each of which loads it once."""

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from espnet_ext.errors import UserError


def in_processes[Task, Result](
    start: Callable[[Any, Any], None],
    job: Any,
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    num_processes: int,
    name: str,
) -> Iterator[Result]:
    """Works tasks off, here or in processes of their own; yields the result of each as soon as it is there.

    Args:
        start: called once in each process, with `job` and what `process_number` takes.
        job: what all processes know.
        work: does a task; a function of a module, as another process imports it.
        tasks: to do.
        num_processes: how many work at once; 1: this one.
        name: of the whole, for error messages.

    Raises:
        UserError: a process died.
    """
    if not tasks:
        return
    if min(num_processes, len(tasks)) <= 1:
        start(job, None)
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_processes, len(tasks)), context, start, (job, context.Value("i", 0))) as pool:
        try:
            for task in as_completed([pool.submit(work, task) for task in tasks]):
                yield task.result()
        except BrokenProcessPool as error:
            raise UserError(
                f"{name}: a process could not start or was killed, perhaps for its memory; run again with fewer --nj "
                "or a smaller --batch_sec: what is written is kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def process_number(counter: Any) -> int:
    """Makes this process one of several, with one thread; returns which one it is, from 0.

    Args:
        counter: what `in_processes` gives; None: there is only one, and it has all threads.
    """
    if counter is None:
        return 0
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with counter.get_lock():
        counter.value += 1
        return counter.value - 1


def _end_with_parent() -> None:
    """Ends this process when the one that started it was killed: the pool would work on, and without the lock."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
