"""Does an exported file compute what ESPnet computes?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from torch import Tensor

from espnet_ext.decode.greedy import best_paths
from espnet_ext.errors import UserError
from espnet_ext.export.runtime import OnnxCTC


@dataclass
class Parity:
    """What a comparison on real utterances found.

    Attributes:
        max_difference: of a log-probability on a valid frame.
        frames: compared.
        equal_frames: with the same best token.
        utterances: compared.
        equal_utterances: with the same token sequence after greedy decoding.
        ids: token sequence of each utterance by the file, in order.
    """

    max_difference: float
    frames: int
    equal_frames: int
    utterances: int
    equal_utterances: int
    ids: list[list[int]]


@torch.inference_mode()
def compare(
    model: ESPnetASRModel, path: Path, signals: Sequence[Tensor], batch_size: int, samples: int | None = None
) -> Parity:
    """Runs model and file on the same batches.

    Args:
        model: what was exported, in eval mode.
        path: the file.
        signals: (samples,) float each.
        batch_size: utterances at once.
        samples: of the file's input, which each utterance is padded to; None if any number may be.

    Raises:
        UserError: the file gives another number of frames, or numbers that are not finite.
    """
    runtime = OnnxCTC(path)
    result = Parity(0.0, 0, 0, 0, 0, [])
    for start in range(0, len(signals), batch_size):
        batch = list(signals[start : start + batch_size])
        lengths = torch.tensor([len(signal) for signal in batch])
        speech = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        if samples is None:
            encoded, frames = model.encode(speech.clone(), lengths)
        else:  # beside audio that fills the input, because ESPnet cuts off padding that all have
            speech = torch.nn.functional.pad(speech, (0, samples - speech.size(1)))
            encoded, frames = model.encode(
                torch.cat([speech, torch.zeros(1, samples)]), torch.cat([lengths, torch.tensor([samples])])
            )
        if isinstance(encoded, tuple):
            encoded = encoded[0]
        expected, frames = model.ctc.log_softmax(encoded)[: len(batch)], frames[: len(batch)]
        found, found_frames = runtime(speech, lengths)
        if not torch.equal(frames, found_frames):
            raise UserError(f"{path}: {found_frames.tolist()} frames where ESPnet has {frames.tolist()}; do not use it")
        valid = torch.arange(expected.size(1)) < frames[:, None]
        if not found[valid].isfinite().all():
            raise UserError(f"{path}: log-probabilities are not finite; look at the weights of the model")
        difference = (expected - found).abs().amax(dim=-1)[valid]
        result.max_difference = max(result.max_difference, float(difference.max()))
        result.frames += int(valid.sum())
        result.equal_frames += int((expected.argmax(-1) == found.argmax(-1))[valid].sum())
        for one, other in zip(best_paths(expected, frames), best_paths(found, frames), strict=True):
            result.utterances += 1
            result.equal_utterances += one.token_ids == other.token_ids
            result.ids.append(other.token_ids)
    return result
