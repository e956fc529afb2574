"""Pseudo-labels in a run: the teacher transcribes sets, which then train students beside the transcribed set, or alone.

The training and the validation set themselves get their text between stages 3 and 4. Other sets get theirs in stage 11,
when the teacher is there, and make a new training set together with the run's own.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_ext.config import merge, read_config, write_config
from espnet_ext.data.tables import read_lines
from espnet_ext.data.text import read_text
from espnet_ext.errors import UserError
from espnet_ext.files import atomic, file_sha256
from espnet_ext.labels.settings import Settings
from espnet_ext.recipe.lineage import checkpoint_digest
from espnet_ext.recipe.more_audio import duration_limits, formatted_set
from espnet_ext.recipe.names import bounded
from espnet_ext.recipe.processes import locked
from espnet_ext.recipe.statistics import collect
from espnet_ext.record import Record

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe


@dataclass(frozen=True)
class TrainingSet:
    """What students are finetuned on, and trained on from scratch.

    Attributes:
        directory: of transcripts and pseudo-labels together.
        stats_dir: of its statistics.
    """

    directory: Path
    stats_dir: Path

    def words(self) -> list[str]:
        """Returns the options of asr.sh that name it; it is perturbed already."""
        given = ("--train_set", self.directory.name, "--asr_stats_dir", str(self.stats_dir))
        return [*given, "--speed_perturb_factors", ""]

    def inputs(self, recipe: "Recipe", read: Mapping[str, str]) -> dict[str, str]:
        """Returns the hashes of what these trainings read, for those of the run's own training set."""
        stats = self.stats_dir / "train" / "feats_stats.npz"
        own = self.data(recipe) | ({f"statistics ({stats})": checkpoint_digest(stats)} if stats.is_file() else {})
        others = ("training text (", "training audio (", "statistics (")
        return own | {name: value for name, value in read.items() if not name.startswith(others)}

    def data(self, recipe: "Recipe") -> dict[str, str]:
        """Returns the hashes of text and audio."""
        text, audio = self.directory / "text", self.directory / "wav.scp"
        return {f"training text ({text})": file_sha256(text), f"training audio ({audio})": recipe.audio.of(audio)}


def settings(recipe: "Recipe") -> tuple[dict[str, Any], Settings]:
    """Returns what the configurations say together, and what they and the arguments mean.

    Raises:
        UserError: a key or value that cannot be.
    """
    options, merged = recipe.options, {}
    for path in options.pseudo_label_config:
        merged = merge(merged, read_config(options.located(path)))
    return merged, Settings.read(merged, options.pseudo_label_args.split())


def made_of(recipe: "Recipe", formatted: bool) -> dict[str, Any]:
    """Returns what pseudo-labels are made of, but for the audio; `formatted`: whether stage 4 is done."""
    config, _ = settings(recipe)
    arguments = [*recipe.options.pseudo_label_args.split(), *map(str, duration_limits(recipe))]
    like = _like(recipe, formatted)
    inputs = {f"form of the text ({like})": file_sha256(like)} if like else {}
    teacher = checkpoint_digest(recipe.names.teacher_model)
    return {"config": config, "arguments": arguments, "inputs": inputs, "parents": {"teacher": teacher}}


def training_data(recipe: "Recipe") -> list[Path]:
    """Returns training and validation set, where the teacher transcribes them, as they are in front of stage 4."""
    options = recipe.options
    return [
        options.data / "org" / (name + options.sp if name == options.train_set else name)
        for name in options.labels_itself
    ]


def label_training_data(recipe: "Recipe") -> None:
    """Gives training and validation set the teacher's text, where that is asked for, in front of stage 4."""
    for source in training_data(recipe):
        labelled = _label(recipe, source, recipe.names.teacher_exp / "labels" / f"{source.name}_labels", False)
        texts = read_text(labelled / "text")
        known = (line.split()[0] for _, line in read_lines(source / "utt2spk"))
        with atomic(source / "text") as temporary:  # stage 4 leaves out what has none
            temporary.write_text("".join(f"{one} {texts.get(one, '')}".rstrip() + "\n" for one in known), "utf-8")


def training_set(recipe: "Recipe") -> TrainingSet:
    """Makes the training set of transcripts and pseudo-labels, and its statistics, unless they are there.

    Raises:
        UserError: a set is not there, or nothing of it is kept.
    """
    options = recipe.options
    own = options.data / (options.train_set + options.sp)
    sources = [formatted_set(recipe, "--pseudo_label_sets", name) for name in options.labels_more]
    now = made_of(recipe, formatted=True)
    now["inputs"] |= {f"tokens ({path})": file_sha256(path) for path in _tokens(recipe).values()}
    # Of each teacher, filter and list of tokens another one: runs with several share the data.
    digest = hashlib.sha256(json.dumps(now, sort_keys=True).encode()).hexdigest()[:8]
    for path in (*(source / "wav.scp" for source in sources), own / "wav.scp"):
        now["inputs"][f"audio ({path})"] = recipe.audio.of(path)
    name = f"{bounded(f'{own.name}_{"_".join(options.labels_more)}')}_labels_{digest}"
    directory = options.data / name
    stats_dir = recipe.names.stats_dir.with_name(f"{recipe.names.stats_dir.name}_{name.removeprefix(own.name + '_')}")
    with locked(options.data / f".{name}.lock", waiting=lambda: None):
        record = Record.read(directory)
        if record is None or not record.is_finished or record.changes(now):
            made = [_label(recipe, source, options.data / f"{source.name}_labels_{digest}", True) for source in sources]
            recipe.say(f"Stage 11: {own.name} and {', '.join(options.labels_more)} together ({directory})")
            record = Record.begin(directory, "data", now)
            join = ["utils/combine_data.sh", "--extra-files", "utt2num_samples", str(directory), str(own)]
            recipe.step("labels_join", [*join, *map(str, made)])
            for kind in ("feats_type", "audio_format"):
                if (own / kind).is_file():
                    shutil.copy2(own / kind, directory / kind)
            record.finish(["text", "wav.scp"])
    found = TrainingSet(directory, stats_dir)
    collect(recipe, stats_dir, found.data(recipe) | now["inputs"], "Stage 11", *found.words())
    return found


def _label(recipe: "Recipe", source: Path, output: Path, formatted: bool) -> Path:
    """Lets the teacher transcribe a set, before or after stage 4; returns the directory of what is kept."""
    options, names, stage = recipe.options, recipe.names, "Stage 11" if formatted else "Stage 4"
    config, _ = settings(recipe)
    shards = names.teacher_exp / "labels" / source.name
    log, told = shards.with_name(f"{source.name}.log"), shards.with_name(f"{source.name}.yaml")
    write_config(config, told)
    low, high = duration_limits(recipe)
    words = ["--teacher", names.teacher_name, "--data_dir", str(source), "--output_dir", str(output)]
    words += ["--shards_dir", str(shards), "--config", str(told), "--min_sec", str(low), "--max_sec", str(high)]
    words += ["--audio_format", options.audio_format, "--ngpu", str(options.ngpu)]
    words += ["--nj", str(options.ngpu or min(options.nj, len(os.sched_getaffinity(0))))]
    words += ["--like", str(like)] if (like := _like(recipe, formatted)) else []
    for option, path in _tokens(recipe).items() if formatted else ():
        words += [f"--{option}", str(path)]
    words += ["--token_type", names.token_type, "--non_linguistic_symbols", options.nlsyms_txt]
    words += ["--token_cleaner", options.cleaner, "--g2p", options.g2p]
    recipe.say(f"{stage}: {names.teacher_model.parent.name} transcribes {source.name} (log: {log})")
    log.unlink(missing_ok=True)
    kind = "cuda_cmd" if options.ngpu else "train_cmd"
    call = recipe.submit(kind, options.ngpu, log, "label", *words, *options.pseudo_label_args.split())
    with recipe.terminal.bar(log, recipe.say):
        recipe.step(f"label_{source.name}", call, job_log=log)
    recipe.say(f"{stage}: {source.name}: {Record.read(output).content['summary']} ({output}/labels.md)")
    return output


def _like(recipe: "Recipe", formatted: bool) -> Path | None:
    """Returns transcripts that show the form of the text: of the training set, else of validation or test sets.

    Args:
        recipe: the run.
        formatted: whether stage 4 is done.
    """
    options, folder = recipe.options, recipe.options.data if formatted else Path("data")
    sets = [options.train_set + options.sp * formatted] if options.train_set not in options.labels_itself else []
    sets += [name for name in (options.valid_set, *options.test_sets) if name not in options.labels_itself]
    return next((path for name in sets if (path := folder / name / "text").is_file()), None)


def _tokens(recipe: "Recipe") -> dict[str, Path]:
    """Returns the list of tokens, and sentencepiece's model, by the options of `encrl label`."""
    directory = recipe.names.token_dir
    found = {"token_list": directory / "tokens.txt", "bpemodel": directory / "bpe.model"}
    return {option: path for option, path in found.items() if path.is_file()}


def check(recipe: "Recipe") -> None:
    """Raises a `UserError` where the teacher writes no text, a setting cannot be, or a set is not there."""
    options = recipe.options
    if not options.pseudo_label_sets:
        return
    settings(recipe)
    if not recipe.students:
        raise UserError("--pseudo_label_sets: no student is trained on them; name --students, or leave it out")
    if options.teacher and not _writes_text(options.teacher):
        raise UserError(
            f"--pseudo_label_sets: teacher {options.teacher} makes no text: it has no decoder, and no CTC output whose "
            "tokens are known; give one that transcribes, or leave the option out"
        )
    for name in options.labels_more if options.stage in (2, 3) else ():
        if not Path("data", name, "wav.scp").is_file():
            raise UserError(
                f"--pseudo_label_sets: {Path('data', name).absolute()} has no wav.scp; begin with --stage 1"
            )
    if options.stage > 3 and options.covers(11):
        for name in options.labels_more:
            formatted_set(recipe, "--pseudo_label_sets", name)


def _writes_text(teacher: str) -> bool:
    from espnet_ext.teachers.load import writes_text

    return writes_text(teacher)
