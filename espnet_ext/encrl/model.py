"""A frozen teacher and the students that learn to match it (EncRL, step 1 of arXiv 2505.16991)."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import Tensor, nn

from espnet_ext.encoder.outputs import Outputs, compute_outputs
from espnet_ext.encrl.criteria import Criterion, teacher_outputs
from espnet_ext.encrl.projection import build_projection
from espnet_ext.errors import UserError
from espnet_ext.losses import LOSSES
from espnet_ext.losses.gather import process_rank
from espnet_ext.losses.masking import valid_frames, without_padding
from espnet_ext.teachers.cache import cached_outputs
from espnet_ext.teachers.teacher import Teacher
from espnet_ext.teachers.tokens import TokenMap

# The shares of the gradient cost a pass through the losses, so not every update measures them.
_SHARES_EVERY = 50


class ESPnetEncRLModel(AbsESPnetModel):
    """Any number of students and one teacher pass for all of them.

    Args:
        students: stock models by name. Those whose front end equals the teacher's must have `frontend=None`.
        frontend: the front end that teacher and students share, or None when each model has its own.
        teacher: None where no criterion compares with it, or no loss is computed (collection of statistics, export).
        teacher_shares_frontend: whether the teacher takes the features of `frontend`.
        criteria: what is compared, and how.
        frame_ratios: the teacher's frames per frame of a student, by student, where they differ.
        token_maps: what brings the teacher's CTC output to the tokens of a student, by student, where they differ.
        sample_rate_hz: of the audio, which a teacher of another rate resamples; None: the teacher's.
    """

    def __init__(
        self,
        students: Mapping[str, ESPnetASRModel],
        frontend: nn.Module | None,
        teacher: Teacher | None,
        teacher_shares_frontend: bool,
        criteria: Sequence[Criterion],
        frame_ratios: Mapping[str, float] | None = None,
        token_maps: Mapping[str, TokenMap | None] | None = None,
        sample_rate_hz: int | None = None,
    ):
        super().__init__()
        self.students = nn.ModuleDict(students)
        self.frontend = frontend
        self.teacher = teacher
        self.teacher_shares_frontend = teacher_shares_frontend
        self.criteria = list(criteria)
        self.frame_ratios, self.token_maps = dict(frame_ratios or {}), dict(token_maps or {})
        self.sample_rate_hz = sample_rate_hz
        self._updates = 0
        self.skipped_updates = dict.fromkeys(students, 0)  # in a row, counted by the trainer over epochs
        self.broken_losses: set[str] = set()  # students whose loss was not finite since the trainer last looked
        # A loss may hold parameters (learned temperature), so each student has its own.
        self.losses = nn.ModuleDict(
            {name: nn.ModuleDict({c.name: LOSSES[c.loss](**c.conf) for c in self.criteria}) for name in students}
        )
        self._needs = {need for losses in self.losses.values() for loss in losses.values() for need in loss.needs}
        self.projections = nn.ModuleDict()
        for name, student in students.items():
            if not any(criterion.needs_head for criterion in self.criteria):
                student.ctc.requires_grad_(False)  # DDP waits for the gradient of every trainable parameter
            if teacher is not None:
                self.projections[name] = nn.ModuleDict(
                    {c.name: p for c in self.criteria if (p := build_projection(c, student, teacher.width)) is not None}
                )

    def forward(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor | None = None,
        text_lengths: Tensor | None = None,
        **kwargs,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Computes the total loss over students and criteria.

        Args:
            speech: (B, samples) float.
            speech_lengths: (B,) int, samples.
            text: (B, L) int, token ids; only for criteria on transcripts and the CER in validation. EncRL itself needs
                no transcript.
            text_lengths: (B,) int; 0: the utterance has no transcript.
            **kwargs: `utt_id` (list of str) names utterances in errors; outputs of the teacher from a cache, see
                `espnet_ext.teachers.cache`.

        Returns:
            Scalar loss; statistics `<student>_<criterion>`, `<student>_loss`, `<student>_cer_ctc` (validation) and
            `loss`; number of utterances. What only utterances with a transcript have is NaN in a batch of none, which
            ESPnet's reporter leaves out of its means.

        Raises:
            UserError: no utterance gives a frame.
        """
        utt_ids = kwargs.get("utt_id")
        cached = cached_outputs(kwargs)
        feats, feats_lengths = self._features(speech, speech_lengths)
        teacher_out = None
        if self.teacher is not None and cached is not None:
            teacher_out = self.teacher.from_cache(*cached, teacher_outputs(self.criteria), utt_ids)
        elif self.teacher is not None:
            # ESPnet's GlobalMVN works in place, so each model gets a copy of the shared features.
            teacher_in = (feats.clone(), feats_lengths) if self.teacher_shares_frontend else (speech, speech_lengths)
            names = teacher_outputs(self.criteria)
            teacher_out = self.teacher(*teacher_in, names, utt_ids, self.sample_rate_hz)
        given = {"text": text, "text_lengths": text_lengths}
        if utt_ids is not None and "ids" in self._needs:
            given["ids"] = _numbers(utt_ids, speech.device)
        stats: dict[str, Tensor] = {}
        losses = {}
        # Dropout and SpecAugment of a student must not depend on the students beside it; each process has its own.
        seed = int(torch.randint(2**31, ())) + process_rank()
        for name, student in self.students.items():
            student_in = (feats.clone(), feats_lengths) if student.frontend is None else (speech, speech_lengths)
            twice = self.training and any(c.needs_views for c in self.criteria)
            if twice:
                student_in = tuple(torch.cat([values, values]) for values in student_in)
            with _random_numbers_from(seed, speech.device):
                student_out = compute_outputs(student, *student_in, [c.output for c in self.criteria])
                views = student_out.halves() if twice else (student_out,)
                parts = self._losses(name, views, teacher_out, given, utt_ids)
            losses[name] = sum(c.weight * parts[c.name] for c in self.criteria)
            stats |= {f"{name}_{c.name}": self._reported(c, parts[c.name], text_lengths) for c in self.criteria}
            stats[f"{name}_loss"] = losses[name].detach()
            if self.training and self._updates % _SHARES_EVERY == 0 and len(self.criteria) > 1:
                stats |= {f"{name}_{key}_share": value for key, value in self._shares(parts, student_out).items()}
            if not self.training and text is not None and student.error_calculator is not None:
                stats[f"{name}_cer_ctc"] = _cer(student, student_out, text)
        self._updates += self.training
        broken = _non_finite(losses)
        if broken:
            _warn_of_non_finite(stats, utt_ids)
        if self.training:
            self.broken_losses |= broken
        total = sum(losses.values())
        stats["loss"] = total.detach()
        return force_gatherable((total, stats, speech.size(0)), total.device)

    def begin_epoch(self) -> None:
        """Forgets what checkpoints do not hold, so that a resumed training equals one that never stopped."""
        self._updates = 0
        for losses in self.losses.values():
            for loss in losses.values():
                loss.begin_epoch()

    def student_parts(self) -> dict[str, list[nn.Module]]:
        """Returns the modules that are trained for each student: the student, its losses and its projections."""
        return {
            name: [student, self.losses[name], *([self.projections[name]] if name in self.projections else [])]
            for name, student in self.students.items()
        }

    def _features(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        if self.frontend is None:
            return speech, speech_lengths
        # Padding beyond the longest utterance would make features depend on the batch. Float32, as in ESPnet's model.
        with torch.autocast(speech.device.type, enabled=False):
            return self.frontend(speech[:, : speech_lengths.max()], speech_lengths)

    def _losses(
        self,
        name: str,
        views: Sequence[Outputs],
        teacher: Outputs | None,
        given: Mapping[str, Tensor | None],
        utt_ids: Sequence[str] | None,
    ) -> dict[str, Tensor]:
        """Computes every criterion of one student in float32.

        Args:
            name: the student.
            views: its outputs, once or of two draws of SpecAugment. What compares none of them with the other is the
                mean over them.
            teacher: the teacher's outputs.
            given: what losses may need beside the outputs.
            utt_ids: for errors.
        """
        own = common = views[0].lengths
        if teacher is not None:
            teacher = teacher.at_rate(self.frame_ratios.get(name, 1.0))
            if (change := self.token_maps.get(name)) is not None and teacher.logits is not None:
                teacher = replace(teacher, logits=change(teacher.logits))
            common = torch.minimum(own, teacher.lengths)  # two encoders may round differently by one frame
        keep = common > 0
        if not keep.all():
            short = [utt_ids[i] for i in torch.nonzero(~keep).flatten()] if utt_ids else int((~keep).sum())
            if not keep.any():
                raise UserError(f"utterances too short for one encoder frame: {short}; raise --min_wav_duration")
            logging.warning(f"Left out, too short for one encoder frame: {short}")
        with torch.autocast(own.device.type, enabled=False):
            return {
                c.name: self._value(name, c, views, teacher, given, common if c.needs_teacher else own, keep)
                for c in self.criteria
            }

    def _value(
        self,
        name: str,
        criterion: Criterion,
        views: Sequence[Outputs],
        teacher: Outputs | None,
        given: Mapping[str, Tensor | None],
        lengths: Tensor,
        keep: Tensor,
    ) -> Tensor:
        """Computes one criterion of one student, see `_losses`; lengths: (B,) int; keep: (B,) bool, what counts."""
        loss, lengths, frames = self.losses[name][criterion.name], lengths[keep], int(lengths.max())

        def output(of: Outputs) -> Tensor:
            return of.of(criterion.output)[keep, :frames].float()

        needed = {}
        for need in loss.needs:
            if need in ("teacher", "other"):
                needed[need] = output(teacher if need == "teacher" else views[-1])
            elif given.get(need) is not None:
                needed[need] = given[need][keep]
            else:
                what = "ids of the utterances" if need == "ids" else "transcripts: give data of the type text"
                raise UserError(f"criterion '{criterion.name}' needs {what}")
        values = []
        for view in views[:1] if criterion.needs_views else views:
            ours = output(view)
            if teacher is not None and criterion.name in self.projections[name]:
                if loss.masked:  # its weights get a gradient from every frame
                    ours = without_padding(ours, lengths)
                ours = self.projections[name][criterion.name](ours)
            values.append(loss(student=ours, lengths=lengths, **needed))
        return sum(values) / len(values)

    @staticmethod
    def _reported(criterion: Criterion, value: Tensor, text_lengths: Tensor | None) -> Tensor:
        value = value.detach()
        return value if not criterion.needs_text else value.where((text_lengths > 0).any(), torch.nan)

    def _shares(self, parts: Mapping[str, Tensor], student: Outputs) -> dict[str, Tensor]:
        """Returns each criterion's share of the gradient norms at the student's output (encoder, or layer compared).

        A criterion with a small share has little influence, whatever its value; weights are to be chosen by it.
        """
        norms = {}
        for criterion in self.criteria:
            at = student.encoder if criterion.needs_head else student.of(criterion.output)
            (gradient,) = torch.autograd.grad(criterion.weight * parts[criterion.name], at, retain_graph=True)
            norms[criterion.name] = gradient.norm()
        total = sum(norms.values())
        return {key: norm / total for key, norm in norms.items()}

    def collect_feats(
        self,
        speech: Tensor,
        speech_lengths: Tensor,
        text: Tensor | None = None,
        text_lengths: Tensor | None = None,
        **_,
    ) -> dict[str, Tensor]:
        """Returns the features whose mean and variance stage 10 collects; (B, T, F) and (B,)."""
        if self.frontend is None:
            return next(iter(self.students.values())).collect_feats(speech, speech_lengths, text, text_lengths)
        feats, lengths = self._features(speech, speech_lengths)
        return {"feats": feats, "feats_lengths": lengths}


def _cer(student: ESPnetASRModel, outputs: Outputs, text: Tensor) -> Tensor | None:
    """Character error rate of greedy CTC decoding: ESPnet's `cer_ctc`, but of the valid frames only.

    None where no utterance has a transcript.
    """
    tokens = student.ctc.argmax(outputs.encoder)  # (B, T)
    tokens = tokens.masked_fill(~valid_frames(outputs.lengths, tokens.size(1)), student.blank_id)
    cer = student.error_calculator(tokens.cpu(), text.cpu(), is_ctc=True)
    return None if cer is None else torch.tensor(cer)


def _numbers(utt_ids: Sequence[str], device: torch.device) -> Tensor:
    """Returns a number for each utterance id, (B,) int64, the same in every epoch and process."""
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in utt_ids)
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests], device=device)


@contextmanager
def _random_numbers_from(seed: int, device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _non_finite(losses: Mapping[str, Tensor]) -> set[str]:
    """Returns the students without a finite loss, by one synchronisation for all."""
    finite = torch.isfinite(torch.stack([loss.detach() for loss in losses.values()])).tolist()
    return {name for name, ok in zip(losses, finite, strict=True) if not ok}


def _warn_of_non_finite(stats: Mapping[str, Tensor], utt_ids: Sequence[str] | None) -> None:
    """Warns of students without a finite loss, which the trainer then leaves out."""
    bad = [key for key, value in stats.items() if value is not None and not torch.isfinite(value)]
    logging.warning(
        f"the loss is not finite ({', '.join(bad)}) in a batch of the utterances {', '.join(utt_ids or ['?'])}; "
        "look at their audio, lower the learning rate, or train without --use_amp"
    )
