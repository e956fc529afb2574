"""Teachers of other libraries: utterances of any length, in batches that give each the outputs that it has alone."""

import bisect
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from espnet_ext.encoder.outputs import HEAD_OUTPUTS, Outputs
from espnet_ext.teachers.teacher import Teacher

# Largest difference, relative to the largest value, that is taken as rounding: batch normalisation and the like, which
# look at padding, make differences of a few hundredths.
_ROUNDING = 1e-3
_SHORTEST_SEC = 0.025  # an analysis window of the usual front ends


class SignalTeacher(Teacher):
    """A teacher whose family says what it makes of some utterances; too short, long and ragged ones are handled here.

    Attributes:
        window: most samples that the model takes at once, as Whisper's 30 s; longer utterances are cut. None: any.
        can_pad: whether `forward` takes utterances of different lengths.
        device: where the model is.
    """

    window: int | None = None
    can_pad: bool = False
    device: torch.device = torch.device("cpu")

    @abstractmethod
    def forward(self, signals: Sequence[Tensor], names: Sequence[str]) -> Outputs:
        """Computes outputs as the family's library does.

        Args:
            signals: (samples,) float each; of one length unless `can_pad`.
            names: as in `Teacher.run`.
        """

    def to(self, device: torch.device | str) -> None:
        """See `Teacher.to`."""
        device = torch.device(device)
        if device != self.device:
            self.model.to(device)
            self.device = device

    def count_frames(self, samples: int) -> int:
        """See `Teacher.count_frames`."""
        noise = torch.randn(samples, generator=torch.Generator().manual_seed(0)).to(self.device)
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
                return max(0, int(self.forward([noise], ()).lengths[0]))
        except Exception:  # libraries have errors of their own for audio that is too short, and bare ones
            if samples >= self.sample_rate_hz:
                raise
            return 0

    @cached_property
    def min_samples(self) -> int:
        """Samples of the shortest utterance that gives a frame."""
        least = round(_SHORTEST_SEC * self.sample_rate_hz)
        return bisect.bisect_left(range(self.sample_rate_hz), 1, lo=least, key=self.count_frames)

    @cached_property
    def ignores_padding(self) -> bool:
        """Whether an utterance has the same outputs in a batch as alone, by a trial with noise."""
        if not self.can_pad:
            return False
        generator = torch.Generator().manual_seed(0)
        noise = [torch.randn(n * self.sample_rate_hz // 2, generator=generator).to(self.device) for n in (2, 3)]
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            alone, both = self.forward(noise[:1], ()), self.forward(noise, ())
        frames = int(alone.lengths[0])
        if int(both.lengths[0]) != frames:
            return False
        alone, both = (outputs.encoder[0, :frames] for outputs in (alone, both))
        return bool((alone - both).abs().max() <= _ROUNDING * alone.abs().max())

    def run(self, speech: Tensor, lengths: Tensor, names: Iterable[str]) -> Outputs:
        """See `Teacher.run`."""
        names = list(names)
        pieces: list[Tensor] = []
        rows: list[list[int]] = []  # of each utterance, the numbers of its pieces
        for signal, samples in zip(speech, lengths.tolist(), strict=True):
            step = self.window or max(samples, 1)
            parts = [signal[start : min(start + step, samples)] for start in range(0, samples, step)]
            parts = [part for part in parts if len(part) >= self.min_samples]
            rows.append(list(range(len(pieces), len(pieces) + len(parts))))
            pieces += parts
        found: dict[int, dict[str, Tensor]] = {}
        for group in self._groups(pieces):
            outputs = self.forward([pieces[number] for number in group], names)
            values = {"encoder": outputs.encoder, **outputs.layers}
            values |= {} if outputs.logits is None else {"logits": outputs.logits}
            for place, number in enumerate(group):
                found[number] = {name: value[place, : outputs.lengths[place]] for name, value in values.items()}
        if not found:
            none = speech.new_zeros(len(speech), 0, self.width)
            layers = {name: none for name in names if name.startswith("layer:")}
            logits = none if set(names).intersection(HEAD_OUTPUTS) else None
            return Outputs(torch.zeros_like(lengths), none, logits, layers)
        empty = {name: value[:0] for name, value in next(iter(found.values())).items()}  # of one that is too short
        joined = [{name: torch.cat([empty[name], *(found[n][name] for n in row)]) for name in empty} for row in rows]
        values = {name: pad_sequence([row[name] for row in joined], batch_first=True) for name in empty}
        frames = torch.tensor([len(row["encoder"]) for row in joined], device=speech.device)
        return Outputs(frames, values.pop("encoder"), values.pop("logits", None), values)

    def _groups(self, pieces: Sequence[Tensor]) -> list[list[int]]:
        """Returns numbers of pieces that are computed together."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for number, piece in enumerate(pieces):
            by_length[len(piece)].append(number)
        if len(by_length) > 1 and self.ignores_padding:
            return [list(range(len(pieces)))]
        return list(by_length.values())
