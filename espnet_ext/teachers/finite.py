"""Whether students can learn what a teacher says: infinite and undefined numbers are found at once, by utterance."""

from collections.abc import Sequence

import torch

from espnet_ext.encoder.outputs import Outputs
from espnet_ext.errors import UserError
from espnet_ext.losses.masking import valid_frames


def not_finite(outputs: Outputs) -> list[int]:
    """Returns the rows of a batch with a valid frame that is infinite or NaN; padding may hold anything."""
    values = [outputs.encoder, *outputs.layers.values(), *([] if outputs.logits is None else [outputs.logits])]
    if torch.stack([torch.isfinite(value).all() for value in values]).all():  # one synchronisation with a GPU
        return []
    mask = valid_frames(outputs.lengths, outputs.encoder.size(1))
    bad = sum((~torch.isfinite(value).all(dim=-1) & mask).any(dim=1) for value in values)
    return torch.nonzero(bad).flatten().tolist()


def check_finite(teacher: str, outputs: Outputs, utt_ids: Sequence[str] | None) -> None:
    """Checks that students can learn what a teacher says.

    Args:
        teacher: its name in the message.
        outputs: of a batch.
        utt_ids: names of its utterances.

    Raises:
        UserError: a valid frame is infinite or NaN.
    """
    rows = not_finite(outputs)
    if rows:
        raise broken_teacher(teacher, [utt_ids[row] for row in rows] if utt_ids else [])


def broken_teacher(teacher: str, utt_ids: Sequence[str]) -> UserError:
    """Returns the error of a teacher whose output is not finite for some utterances."""
    where = f"{len(utt_ids)} utterances, e.g. {utt_ids[0]}" if utt_ids else "utterances of a batch"
    return UserError(
        f"teacher {teacher}: its output is not finite (NaN or infinite) for {where}, so no student can learn from it: "
        "its weights are damaged or its training diverged; give another checkpoint, or train the teacher anew"
    )
