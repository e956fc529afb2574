"""Statistics of a training set: lengths, and means and variances of features."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_ext.config import merge, read_config, write_config
from espnet_ext.recipe.processes import locked
from espnet_ext.record import Record

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe


def frontend_configs(recipe: "Recipe") -> tuple[str, ...]:
    """Returns what describes the front end: of the first model that is trained here, else of a student."""
    trained = next((model for model in recipe.models if model.configs), None)
    return trained.configs if trained else tuple(map(recipe.options.student_config, recipe.options.students[:1]))


def statistics_config(files: Iterable[str]) -> dict[str, Any]:
    """Returns the configuration of a training as `asr_train` takes it, which collects the statistics."""
    config: dict[str, Any] = {}
    for path in files:
        config = merge(config, read_config(path))
    return {key: value for key, value in config.items() if key not in ("criteria", "teacher_train_mode")}


def collect(recipe: "Recipe", directory: Path, read: Mapping[str, str], stage: str, *words: str) -> None:
    """Collects statistics of a training set, unless they are there.

    Args:
        recipe: the run.
        directory: of the statistics.
        read: hashes of what they are of.
        stage: shown.
        words: options of asr.sh where the training set is another one than the run's.
    """
    options = recipe.options
    config = statistics_config(frontend_configs(recipe))
    frontend = {key: config[key] for key in sorted(config) if key.startswith(("frontend", "preencoder", "input_size"))}
    made_of = {"config": frontend, "inputs": dict(read)}
    waiting = f"{stage}: another run collects statistics in {directory}; waiting for it"
    with locked(directory / ".lock", waiting=lambda: recipe.say(waiting)):
        record = Record.read(directory)
        if record is not None and record.is_finished and not record.changes(made_of):
            recipe.say(f"{stage}: statistics are as they were collected ({directory})")
            return
        recipe.say(f"{stage}: statistics (output: {recipe.log_dir / 'statistics.log'})")
        record = Record.begin(directory, "statistics", made_of)
        file = recipe.log_dir / "statistics.yaml"
        write_config(config, file)
        given = ("--asr_config", str(file), "--asr_exp", str(recipe.log_dir), *words)
        recipe.step("statistics", recipe.asr(10, 10, *given))
        outputs = [f"{part}/{name}" for part in ("train", "valid") for name in ("speech_shape", "text_shape")]
        if options.feats_normalize == "global_mvn":
            outputs.append("train/feats_stats.npz")
        record.finish(outputs)
