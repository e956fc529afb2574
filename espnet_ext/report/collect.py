"""Reads one experiment directory: what the model is, what its training cost, how it scores."""

import argparse
import contextlib
import io
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from espnet_ext.config import read_config
from espnet_ext.errors import UserError
from espnet_ext.recovery import finished_epochs
from espnet_ext.report.scores import Score, find_score
from espnet_ext.train_log import EpochStats


@dataclass
class Training:
    """One run of the trainer. `students` names those that an EncRL training trains together."""

    exp_dir: Path
    history: list[EpochStats]

    @property
    def seconds(self) -> float:
        """Training and validation of all epochs."""
        return sum(epoch.total_sec for epoch in self.history)

    @property
    def students(self) -> list[str]:
        """The students of an EncRL training; empty for a stock ESPnet model."""
        return self.history[-1].students() if self.history else []


@dataclass
class Experiment:
    """One row of the report; None where a value is not known (yet), with the reason in `notes`."""

    exp_dir: Path
    model: str
    start: str
    layers: int | None
    parameters: int | None
    training: Training
    encrl: Training | None
    scores: dict[str, Score | None]
    notes: list[str] = field(default_factory=list)

    @property
    def encrl_share_sec(self) -> float:
        """Seconds of EncRL charged to this model: students trained together share the cost equally."""
        return self.encrl.seconds / max(1, len(self.encrl.students)) if self.encrl else 0.0

    @property
    def total_sec(self) -> float:
        """Own training plus the share of EncRL; the training of the teacher is not in it."""
        return self.training.seconds + self.encrl_share_sec


def collect(exp_dir: Path, inference_tag: str, test_sets: list[str]) -> Experiment:
    """Reads one experiment directory.

    Args:
        exp_dir: Directory of a teacher or a finetuned student.
        inference_tag: Directory of the decoding results inside it.
        test_sets: Names of the sets.

    Raises:
        UserError: The directory does not exist, or a file in it cannot be understood.
    """
    if not exp_dir.is_dir():
        raise UserError(f"--exp_dirs: {exp_dir} does not exist; train this model (stage 11) or leave it out")
    notes: list[str] = []
    model, start, parents = _lineage(exp_dir, notes)
    encrl = next((run for parent in parents if (run := _training(parent, notes)).students), None)
    if start.startswith("encrl") and encrl is None:
        notes.append("the EncRL training is not found through lineage.yaml, so its cost is missing")
    parameters, layers = _size(exp_dir, notes)
    scores = {name: find_score(exp_dir / inference_tag, name) for name in test_sets}
    missing = [name for name, score in scores.items() if score is None]
    if missing:
        notes.append(f"not scored on {', '.join(missing)} (nothing in {exp_dir / inference_tag})")
    training = _training(exp_dir, notes)
    return Experiment(exp_dir, model, start, layers, parameters, training, encrl, scores, notes)


def check_comparable(experiments: list[Experiment], test_sets: list[str]) -> None:
    """Checks that all models were scored on the same sentences and reference words.

    Raises:
        UserError: Two were not.
    """
    for name in test_sets:
        scored = [(experiment.exp_dir, score) for experiment in experiments if (score := experiment.scores[name])]
        for other_dir, other in scored[1:]:
            first_dir, first = scored[0]
            if (first.sentences, first.words) != (other.sentences, other.words):
                raise UserError(
                    f"test set {name}: {first_dir} was scored on {first.sentences} sentences with {first.words} words, "
                    f"{other_dir} on {other.sentences} with {other.words}; decode and score both again (stages 12-13)"
                )


def _lineage(exp_dir: Path, notes: list[str]) -> tuple[str, str, list[Path]]:
    path = exp_dir / "lineage.yaml"
    if not path.is_file():
        notes.append(f"no {path.name}, so the start and the cost of earlier steps are unknown")
        return exp_dir.name.removeprefix("asr_"), "-", []
    lineage = read_config(path)
    missing = [key for key in ("model", "source", "parents") if key not in lineage]
    if missing:
        raise UserError(f"{path}: no '{missing[0]}' in it; it must hold model, source and parents")
    # Relative paths start at the recipe directory, which holds `exp`.
    recipe = Path(os.path.abspath(exp_dir)).parent.parent
    parents = [recipe / parent for parent in lineage["parents"] or []]
    return str(lineage["model"]), str(lineage["source"]), parents


def _training(exp_dir: Path, notes: list[str]) -> Training:
    training = Training(exp_dir, finished_epochs(exp_dir))
    if not training.history:
        notes.append(f"no finished epoch in {exp_dir.name}")
    return training


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what ESPnet prints and logs about optional packages and every model it builds."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def _size(exp_dir: Path, notes: list[str]) -> tuple[int | None, int | None]:
    """Returns (trainable parameters, encoder layers) of the model that `config.yaml` describes."""
    path = exp_dir / "config.yaml"
    if not path.is_file():
        notes.append("no config.yaml, so the size is unknown")
        return None, None
    with _quiet():
        from espnet2.tasks.asr import ASRTask

    # Statistics and initial values do not change the size, and their files may be elsewhere.
    config = read_config(path) | {"normalize": None, "normalize_conf": {}, "init": None}
    try:
        with _quiet():
            model = ASRTask.build_model(argparse.Namespace(**config))
    # A model may need a plugin or a download that is not here; the rest of the report does not depend on it.
    except Exception as error:
        notes.append(f"the model of config.yaml cannot be built here ({type(error).__name__}: {error})")
        return None, None
    encoder_conf = config.get("encoder_conf") or {}
    layers = encoder_conf.get("num_blocks", encoder_conf.get("num_layers"))
    if layers is None and hasattr(model.encoder, "encoders"):
        layers = len(model.encoder.encoders)
    return sum(p.numel() for p in model.parameters() if p.requires_grad), layers
