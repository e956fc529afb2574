"""Decodes batches of utterances, on a CPU several of them at once."""

import copy
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from queue import SimpleQueue

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from torch import Tensor

from espnet_ext.decode.greedy import Hypothesis, Search, batch_output, best_paths, search_output


@dataclass
class DecodedBatch:
    """Hypotheses of a batch, samples of its utterances, and when its computing began and how many seconds it took."""

    names: list[str]
    hypotheses: list[Hypothesis]
    samples: list[int]
    begin: datetime
    seconds: float


def decode_batches(
    model: ESPnetASRModel, read: Callable[[str], Tensor], batches: list[list[str]], search: Search = best_paths
) -> Iterator[DecodedBatch]:
    """Decodes batches in their order.

    The operations of a small model are too short to share among threads, so each of PyTorch's threads on a CPU
    (`torch.get_num_threads`) computes a batch of its own. Searches run one after another in the caller's thread.

    Args:
        model: a model with a CTC output, in `eval` mode.
        read: gives the audio of an utterance by name, (samples,); called from several threads.
        batches: names of utterances.
        search: finds hypotheses, as `best_paths` does.
    """
    device = next(model.parameters()).device
    threads = torch.get_num_threads()
    # Hooks, as S3PRL's front end has, belong to the modules that they were registered on and are of no use in a copy.
    alone = device.type != "cpu" or any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())
    workers = 1 if alone else max(1, min(threads, len(batches)))
    # ESPnet's attention keeps its weights in an attribute between two lines, so every thread needs modules of its own.
    models: SimpleQueue[ESPnetASRModel] = SimpleQueue()
    for number in range(workers):
        models.put(_share(model) if number else model)

    def compute(names: list[str]) -> tuple:
        own, begin = models.get(), datetime.now()
        try:
            speech = [read(name).to(device, non_blocking=True) for name in names]
            output = batch_output(own, speech)
        finally:
            models.put(own)
        return names, output, [len(signal) for signal in speech], begin, datetime.now()

    def finish(future: Future) -> DecodedBatch:
        names, output, samples, begin, end = future.result()
        start = datetime.now()
        hypotheses = search_output(output, len(names), search)
        return DecodedBatch(names, hypotheses, samples, begin, (end - begin + (datetime.now() - start)).total_seconds())

    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(compute, batch))
                if len(waiting) > 2 * workers:  # outputs must not pile up before a slow search
                    yield finish(waiting.popleft())
            while waiting:
                yield finish(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()
            torch.set_num_threads(threads)


def _share(model: ESPnetASRModel) -> ESPnetASRModel:
    """Returns a copy of the modules with the same tensors."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})
