"""Greedy (best-path) CTC decoding of many utterances at once."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from torch import Tensor

from espnet_ext.constants import BLANK_ID, MIN_SAMPLES


@dataclass(frozen=True)
class Hypothesis:
    """The best path of one utterance: token ids without blanks and repetitions, and its log-probability.

    Attributes:
        frames: the output frame in which each token begins; None where the search does not tell.
    """

    token_ids: list[int]
    score: float
    frames: list[int] | None = None


def best_paths(log_probs: Tensor, lengths: Tensor) -> list[Hypothesis]:
    """Takes the best token of each frame, then merges repetitions and drops blanks (Graves et al. 2006, section 3.2).

    Args:
        log_probs: (B, T, V) log-probabilities of the tokens, float.
        lengths: (B,) number of valid frames, int.
    """
    scores, ids = log_probs.max(dim=-1)  # (B, T)
    valid = torch.arange(ids.size(1), device=ids.device) < lengths[:, None]
    previous = torch.nn.functional.pad(ids, (1, 0), value=BLANK_ID)[:, :-1]
    kept = valid & (ids != previous) & (ids != BLANK_ID)
    totals = scores.masked_fill(~valid, 0.0).sum(dim=1).tolist()
    ids, kept = ids.cpu(), kept.cpu()
    return [
        Hypothesis(row[keep].tolist(), total, keep.nonzero().flatten().tolist())
        for row, keep, total in zip(ids, kept, totals, strict=True)
    ]


Search = Callable[[Tensor, Tensor], list[Hypothesis]]


@torch.inference_mode()
def ctc_output(model: ESPnetASRModel, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor] | None:
    """Runs a model up to its CTC output.

    Args:
        model: A model with a CTC output, in `eval` mode.
        speech: (B, samples) float, padded.
        lengths: (B,) int, valid samples.

    Returns:
        (B, T, V) float log-probabilities and (B,) int valid frames; None if all are too short for the subsampling.
    """
    if speech.size(1) < MIN_SAMPLES:
        return None
    try:
        encoded, frames = model.encode(speech, lengths)
    except TooShortUttError:
        return None
    if isinstance(encoded, tuple):  # with intermediate CTC, the layers' outputs come along
        encoded = encoded[0]
    return model.ctc.log_softmax(encoded), frames


def batch_output(model: ESPnetASRModel, speech: list[Tensor]) -> tuple[Tensor, Tensor] | None:
    """Runs a model up to its CTC output for some utterances, best of similar lengths.

    Args:
        model: A model with a CTC output, in `eval` mode.
        speech: 1-D audio signals at the model's sampling rate, on any device.

    Returns:
        As `ctc_output`.
    """
    device = next(model.parameters()).device
    lengths = torch.tensor([len(signal) for signal in speech], device=device)
    padded = torch.nn.utils.rnn.pad_sequence(speech, batch_first=True).to(device, torch.float32)
    return ctc_output(model, padded, lengths)


def search_output(
    output: tuple[Tensor, Tensor] | None, utterances: int, search: Search = best_paths
) -> list[Hypothesis]:
    """Searches what `batch_output` gave for some utterances.

    Returns:
        One hypothesis an utterance, empty for one that is too short for the encoder's subsampling.
    """
    return [Hypothesis([], 0.0, [])] * utterances if output is None else search(*output)


def decode_batch(model: ESPnetASRModel, speech: list[Tensor], search: Search = best_paths) -> list[Hypothesis]:
    """Decodes some utterances, see `batch_output` and `search_output`."""
    return search_output(batch_output(model, speech), len(speech), search)
