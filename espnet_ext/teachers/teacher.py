"""What every teacher is: audio in; outputs by name, with their lengths and a frame rate, out.

A teacher is a value that students are compared with, never a module that trains: the trainer's `model.train()`,
`state_dict()` and optimizer cannot reach it. Families are in files of their own, see `espnet_ext.teachers.source`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchaudio.functional import resample

from espnet_ext.encoder.frame_rate import samples_per_frame
from espnet_ext.encoder.outputs import HEAD_OUTPUTS, Outputs
from espnet_ext.errors import UserError
from espnet_ext.teachers.cache import data_name
from espnet_ext.teachers.finite import check_finite, not_finite
from espnet_ext.teachers.tokens import Tokens


class Identity(NamedTuple):
    """What a teacher is made of, for caches and records: hexadecimal hashes of its weights and of its configuration."""

    weights_sha256: str
    config_sha256: str


@dataclass(frozen=True)
class Transcript:
    """What a teacher heard.

    Attributes:
        text: words, as the model writes them.
        confidence: in [0, 1]. CTC: mean of the largest posterior over the frames where that is not the blank's, as
            blanks are sure nearly everywhere. Decoder: geometric mean of the probabilities of the tokens. None: there
            is no text, or the library does not tell.
    """

    text: str
    confidence: float | None


class Teacher(ABC):
    """A large model that students learn from.

    Attributes:
        name: what error messages call it.
        sample_rate_hz: of the audio that the model takes.
        width: D of its encoder's output and layers.
        num_layers: hidden layers that it shows; 0: none.
        tokens: of its CTC head; None: it has no head, or what the head distinguishes is not known.
        head_module: its CTC head, (B, T, D) encoder output to (B, T, V) logits; None: it has none.
        hop_length: samples that the frames of its front end move on, where known, see `samples_per_frame`.
    """

    name: str
    sample_rate_hz: int
    width: int
    num_layers: int = 0
    tokens: Tokens | None = None
    head_module: nn.Module | None = None
    hop_length: int | None = None

    @staticmethod
    def from_pretrained(name: str, **options: str) -> "Teacher":
        """Loads a teacher.

        Args:
            name: `family:location` or an ESPnet model, see `espnet_ext.teachers.source`.
            **options: of the family, e.g. `language="de"`; they may also follow the location, `,language=de`.

        Raises:
            UserError: no such family, option or model, or a package is missing.
        """
        from espnet_ext.teachers.load import load_teacher

        # In the name they reach whoever loads the teacher again, as a training does.
        return load_teacher(name + "".join(f",{option}={value}" for option, value in options.items()))

    @classmethod
    def read_tokens(cls, location: str, **options: str) -> Tokens | None:
        """Returns the tokens of a model, without loading it where a family can; None as `tokens`."""
        return cls.load(location, location, **options).tokens

    @staticmethod
    def bpe_model(location: str, **options: str) -> bytes:
        """Returns the model of sentencepiece that makes its tokens of text, where they are of the kind bpe."""
        raise UserError(f"teacher {location}: this family has no BPE models")

    # ------------------------------------------------------------------ what a family implements

    @abstractmethod
    def run(self, speech: Tensor, lengths: Tensor, names: Iterable[str]) -> Outputs:
        """Computes outputs, without gradient.

        Args:
            speech: (B, samples) float, in [-1, 1], at `sample_rate_hz`; padding may hold anything.
            lengths: (B,) int, valid samples.
            names: outputs that are needed beside the encoder's, see `espnet_ext.encoder.outputs`.

        Returns:
            Outputs of which each utterance's valid frames are those that it has alone; 0 frames where it is too short.
        """

    @abstractmethod
    def to(self, device: torch.device | str) -> None:
        """Moves the model to a device; called before each batch."""

    def count_frames(self, samples: int) -> int:
        """Returns how many frames so many samples give, 0 where they are too few."""
        noise = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            return int(self.run(noise, torch.tensor([samples]), ()).lengths[0])

    def text(self, token_ids: Sequence[int]) -> str:
        """Joins tokens of the CTC head, blanks and repetitions removed, to words."""
        raise UserError(f"teacher {self.name}: what its tokens are is not known, so it makes no text")

    def takes_features_of(self, frontend: str) -> bool:
        """Gives up its own front end where this one, as `espnet_ext.encrl.task` describes it, computes the same.

        Returns:
            Whether `run` takes (B, T, F) features from now on.
        """
        return False

    # ------------------------------------------------------------------ what all share

    @property
    def has_head(self) -> bool:
        """Whether it gives logits."""
        return self.head_module is not None

    def head(self, encoder: Tensor) -> Tensor:
        """Applies the CTC head: (B, T, D) encoder output to (B, T, V) logits; it goes where the output is.

        Raises:
            UserError: there is none.
        """
        if self.head_module is None:
            raise UserError(f"teacher {self.name} has no CTC output; compare with its encoder and layers")
        return self.head_module.to(encoder.device)(encoder)

    @cached_property
    def frame_samples(self) -> int:
        """Samples, at `sample_rate_hz`, from one frame of the encoder output to the next."""
        return samples_per_frame(self.count_frames, self.sample_rate_hz, self.hop_length)

    @property
    def frames_per_sec(self) -> float:
        """Rate of the encoder output."""
        return self.sample_rate_hz / self.frame_samples

    def __call__(
        self,
        speech: Tensor,
        lengths: Tensor,
        names: Iterable[str],
        utt_ids: Sequence[str] | None = None,
        sample_rate_hz: int | None = None,
    ) -> Outputs:
        """Computes outputs by name.

        Args:
            speech: (B, samples) float, or (B, T, F) features after `takes_features_of`.
            lengths: (B,) int, of `speech`.
            names: outputs that are needed beside the encoder's, see `espnet_ext.encoder.outputs`.
            utt_ids: names of the utterances for errors.
            sample_rate_hz: of `speech`; it is resampled where the model takes another rate. Default: the model's.

        Raises:
            UserError: an output is not finite although `speech` is.
        """
        self.to(speech.device)
        speech, lengths = self._at_own_rate(speech, lengths, sample_rate_hz)
        names = list(names)
        outputs = self._run(speech, lengths, names)
        if not not_finite(outputs) or not torch.isfinite(speech).all():  # the latter is no fault of the teacher
            return outputs
        if torch.is_autocast_enabled(speech.device.type):
            logging.warning(f"Teacher {self.name} overflows in half precision; this batch is computed in 32 bits")
            with torch.autocast(speech.device.type, enabled=False):
                outputs = self._run(speech, lengths, names)
        check_finite(self.name, outputs, utt_ids)
        return outputs

    def _run(self, speech: Tensor, lengths: Tensor, names: Iterable[str]) -> Outputs:
        with torch.inference_mode():
            outputs = self.run(speech, lengths, names)
        return outputs.clone()  # autograd refuses to keep tensors of inference mode for the losses

    def _at_own_rate(self, speech: Tensor, lengths: Tensor, sample_rate_hz: int | None) -> tuple[Tensor, Tensor]:
        if sample_rate_hz in (None, self.sample_rate_hz):
            return speech, lengths
        # What lies behind an utterance reaches into its last samples through the filter, so it must be silence there.
        valid = torch.arange(speech.size(1), device=speech.device) < lengths[:, None]
        changed = resample(speech.masked_fill(~valid, 0.0), sample_rate_hz, self.sample_rate_hz)
        counts = (lengths * self.sample_rate_hz + sample_rate_hz - 1) // sample_rate_hz
        return changed[:, : counts.max()], counts

    @torch.no_grad()
    def from_cache(
        self,
        encoder: Tensor,
        lengths: Tensor,
        layers: Mapping[str, Tensor],
        names: Iterable[str],
        utt_ids: Sequence[str] | None = None,
    ) -> Outputs:
        """Completes outputs that were computed before; the encoder does not run.

        Args:
            encoder: (B, T, D) float, encoder output.
            lengths: (B,) int.
            layers: (B, T, D) float of the layers that are needed, by `espnet_ext.teachers.cache.data_name`.
            names: outputs that are needed, see `espnet_ext.encoder.outputs`.
            utt_ids: names of the utterances for errors.

        Raises:
            UserError: an output is not finite.
        """
        names = set(names)
        logits = self.head(encoder) if names.intersection(HEAD_OUTPUTS) else None
        tapped = {name: layers[data_name(name)] for name in names if name.startswith("layer:")}
        outputs = Outputs(lengths, encoder, logits, tapped)
        check_finite(self.name, outputs, utt_ids)
        return outputs

    @property
    def makes_text(self) -> bool:
        """Whether `transcribe` works."""
        return self.tokens is not None

    def transcribe(
        self, signals: Sequence[Tensor], sample_rate_hz: int | None = None, utt_ids: Sequence[str] | None = None
    ) -> list[Transcript]:
        """Writes down what is said; here by the best path through the CTC head.

        Args:
            signals: (samples,) float each, in [-1, 1].
            sample_rate_hz: of `signals`; default: the model's.
            utt_ids: names of the utterances for errors.

        Raises:
            UserError: the model makes no text, or its output is not finite.
        """
        if not self.makes_text:
            raise UserError(
                f"teacher {self.name} makes no text: it has no decoder, and no CTC output whose tokens are known"
            )
        lengths = torch.tensor([len(signal) for signal in signals], device=signals[0].device)
        speech = torch.nn.utils.rnn.pad_sequence(list(signals), batch_first=True)
        outputs = self(speech, lengths, ["logits"], utt_ids, sample_rate_hz)
        scores, best = outputs.of("log_probs").max(dim=-1)  # (B, T)
        found = []
        for row, frames in enumerate(outputs.lengths.tolist()):
            ids = [token for token, _ in groupby(best[row, :frames].tolist()) if token != self.tokens.blank]
            spoken = scores[row, :frames][best[row, :frames] != self.tokens.blank]
            confidence = spoken.exp().mean().item() if len(spoken) else None
            found.append(Transcript(self.text(ids), confidence))
        return found
