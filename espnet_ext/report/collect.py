"""Reads one experiment directory: what the model is, what its training cost, how it scores."""

from dataclasses import dataclass, field
from pathlib import Path

from espnet_ext.report.lineage import Lineage, Training, trace
from espnet_ext.report.size import Size, model_size
from espnet_ext.report.speed import exported_bytes, real_time_factor
from espnet_ext.score.results import KINDS, Score, find_score


@dataclass
class Experiment:
    """One trained and decoded model; None where a value is not known (yet), with the reason in `notes`.

    `scores[test_set][kind]`, kind `wer` or `cer`. `rtf` is seconds of decoding for a second of audio, over all sets.
    `exported_bytes` is the size of the exported 8-bit file.
    """

    exp_dir: Path
    decode_dir: Path
    lineage: Lineage
    size: Size
    scores: dict[str, dict[str, Score | None]]
    notes: list[str] = field(default_factory=list)
    rtf: float | None = None
    exported_bytes: int | None = None

    @property
    def own_sec(self) -> float | None:
        """Seconds of its own training; 0 for a model that had none."""
        if not self.lineage.is_finetuned:
            return 0.0
        return self.lineage.training.seconds if self.lineage.training.history else None

    @property
    def own_epochs(self) -> int | None:
        """Finished epochs of its own training."""
        return len(self.lineage.training.history) or None

    @property
    def encrl_epochs(self) -> int | None:
        """Finished epochs of the EncRL training it began with."""
        return len(self.lineage.encrl.history) if self.lineage.encrl else None

    @property
    def encrl_share_sec(self) -> float | None:
        """Seconds of EncRL charged to this model: students trained together share the cost equally."""
        encrl = self.lineage.encrl
        return encrl.seconds / len(encrl.students) if encrl else None

    @property
    def total_sec(self) -> float | None:
        """Own training plus the share of EncRL; the training of the teacher is not in it."""
        if self.own_sec is None or (self.lineage.start.startswith("encrl") and self.encrl_share_sec is None):
            return None
        return self.own_sec + (self.encrl_share_sec or 0.0)

    @property
    def teacher_sec(self) -> float | None:
        """Seconds of its teacher's training, the whole of it."""
        teacher = self.lineage.teacher
        return teacher.seconds if teacher and teacher.history else None

    @property
    def total_with_teacher_sec(self) -> float | None:
        """`total_sec` plus all of the teacher's training, None where a teacher was used whose cost is not known."""
        if self.total_sec is None or self.lineage.teacher is None:
            return self.total_sec
        return None if self.teacher_sec is None else self.total_sec + self.teacher_sec


def collect(decode_dir: Path, test_sets: list[str]) -> Experiment:
    """Reads one experiment directory; what is not there yet is a note.

    Args:
        decode_dir: `exp/<model>/<inference_tag>`, which holds the scores of the sets.
        test_sets: Names of the sets.

    Raises:
        UserError: A file cannot be understood.
    """
    exp_dir = decode_dir.parent
    scores = {name: {kind: find_score(decode_dir, name, kind) for kind in KINDS} for name in test_sets}
    if not exp_dir.is_dir():
        lineage = Lineage(exp_dir.name.removeprefix("asr_"), "-", Training(exp_dir, []))
        return Experiment(exp_dir, decode_dir, lineage, Size(), scores, ["does not exist (yet)"])
    notes: list[str] = []
    lineage = trace(exp_dir, notes)
    size = model_size(exp_dir, notes)
    unscored = [name for name in test_sets if scores[name]["wer"] is None]
    if unscored:
        notes.append(f"not scored on {', '.join(unscored)} (nothing in {decode_dir})")
    for name, by_kind in scores.items():
        if by_kind["wer"] is not None and by_kind["cer"] is None:
            notes.append(f"no character error rate of {name} (nothing in {decode_dir / name / 'score_cer'})")
        without = [kind.upper() for kind, score in by_kind.items() if score is not None and score.utterances is None]
        if without:
            notes.append(
                f"{' and '.join(without)} of {name} without interval: the score file has no counts per utterance "
                f"(written by an earlier version); delete {decode_dir / name}/score_* and run stage 13 again"
            )
    rtf = real_time_factor(decode_dir, test_sets)
    return Experiment(exp_dir, decode_dir, lineage, size, scores, notes, rtf, exported_bytes(exp_dir))
