"""EncRL from Python: the students of one teacher, trained in this process; what it makes is what a recipe makes."""

import argparse
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import humanfriendly
import soundfile

from espnet_ext.conf_dirs import locate
from espnet_ext.config import check_keys, merge, option_names, read_config
from espnet_ext.data.text import complete_text
from espnet_ext.decode.student import Student
from espnet_ext.encrl.best import best_file
from espnet_ext.errors import UserError
from espnet_ext.files import atomic, file_sha256
from espnet_ext.quiet import quiet_espnet
from espnet_ext.recipe.configs import text_keys
from espnet_ext.recipe.digests import AudioDigests
from espnet_ext.recipe.display import Terminal
from espnet_ext.recipe.encrl import data_words
from espnet_ext.recipe.lineage import checkpoint_digest
from espnet_ext.recipe.students import make_once
from espnet_ext.recipe.train import Training, train_once
from espnet_ext.required import check_complete
from espnet_ext.teachers.load import bpe_model, identify
from espnet_ext.teachers.token_files import token_options

if TYPE_CHECKING:
    from espnet_ext.teachers.teacher import Teacher

PathLike = str | os.PathLike[str]
_DEFAULT = "conf/encrl.yaml"
_BPE = "bpe.model"
_LOG_FORMAT = f"[{os.uname()[1].split('.')[0]}] %(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s"
_REMEDY = "on_change='redo' trains it anew, on_change='keep' takes it as it is; another output_dir keeps both"


def distill(
    teacher: "Teacher | PathLike",
    students: Mapping[str, PathLike | Mapping[str, Any]],
    train: PathLike,
    valid: PathLike,
    output_dir: PathLike,
    config: PathLike | Mapping[str, Any] | None = None,
    ngpu: int | None = None,
    on_change: str = "fail",
    **options: Any,
) -> dict[str, Student]:
    """Trains students to match a teacher (EncRL, step 1 of arXiv 2505.16991). They can transcribe, or be finetuned.

    The training is ESPnet's, with its configuration. Where it was stopped, the same call goes on; where it has ended,
    the same call opens the students. Statistics of the audio are collected first, unless `normalize` is configured.

    Args:
        teacher: the large model, or its name as `Teacher.from_pretrained` takes it. The training loads it again.
        students: configuration of each model by its name, a file or a mapping, as `conf/e6.yaml`.
        train: data directory as in `dump/raw`, with wav.scp of single utterances. Its text may be missing, or lack
            utterances.
        valid: data directory with wav.scp and text.
        output_dir: experiment directory; the students are in `<output_dir>/<name>`.
        config: file of the training's configuration, or a mapping that is laid over `conf/encrl.yaml` (default).
        ngpu: GPUs, 0 or 1 (default: 1 where there is one). A recipe trains on several.
        on_change: what to do with a training there that was made of something else: fail, redo or keep.
        **options: laid over `config`, e.g. `max_epoch=10`. The tokens are the teacher's, unless `token_list`,
            `token_type` and `bpemodel` are given.

    Returns:
        The students by name.

    Raises:
        UserError: something is missing, does not fit, or has changed since the training began.
    """
    if on_change not in ("fail", "redo", "keep"):
        raise UserError(f"on_change: '{on_change}' is not fail, redo or keep")
    directory, sets = Path(output_dir), {"train": Path(train), "valid": Path(valid)}
    _gpus(ngpu)
    source = os.fspath(teacher) if isinstance(teacher, str | os.PathLike) else teacher.name
    told = _Told.read(students, config, options, source, directory)
    kinds = {part: _check_set(folder, told.sample_rate) for part, folder in sets.items()}
    parents = {"teacher": "".join(identify(source))}
    audio, read = AudioDigests(directory / "audio_digests.json"), {}
    for part, folder in sets.items():
        read[f"{part} audio"] = audio.of(folder / "wav.scp")
        if (folder / "text").is_file():
            read[f"{part} text"] = file_sha256(folder / "text")
    about = {"model": "encrl", "init": "encrl", "differs": {}}
    outputs = [best_file(name, told.config) for name in students]
    training = Training(f"EncRL {'+'.join(students)}", directory, "encrl", told, outputs, lambda *_: [], about, _REMEDY)

    def work(file: Path) -> None:
        stats, words = directory / "stats", ["--config", str(file), "--ngpu", str(_gpus(ngpu))]
        if told.config.get("bpemodel") == str(directory / _BPE):
            with atomic(directory / _BPE) as temporary:
                temporary.write_bytes(bpe_model(source))
        texts = {part: directory / f"{part}_text" for part, folder in sets.items() if (folder / "text").is_file()}
        for part, text in texts.items():
            complete_text(sets[part] / "text", sets[part] / "wav.scp", text)

        _check_text(told, sets, kinds, texts)

        def listed(shapes: bool) -> list[str]:
            """Returns the options that name the sets; statistics are of the audio alone."""
            found = []
            for part, folder in sets.items():
                shape, text = (stats / part / "speech_shape", texts.get(part)) if shapes else (None, None)
                found += data_words(part, folder, kinds[part], shape, text)
            return found

        collect = [*words, "--collect_stats", "true", "--output_dir", str(stats), *listed(shapes=False)]
        collected = ["train/speech_shape", "valid/speech_shape", "train/feats_stats.npz"]
        made_of = {"students": read_config(file)["students"], "inputs": read}
        make_once(stats, "statistics", made_of, collected, lambda: _run(collect, stats / "collect.log"))
        if "normalize" not in told.config:
            words += ["--normalize", "global_mvn", "--normalize_conf", f"stats_file={stats}/train/feats_stats.npz"]
        words += ["--teacher", source, "--resume", "true", "--output_dir", str(directory), "--fold_length", "80000"]
        _run([*words, *listed(shapes=True)], directory / "train.log")

    terminal = Terminal()
    terminal.expect(1)
    made_of = partial(training.made_of, read, parents)
    train_once(training, made_of, work, terminal, on_change, lambda text: terminal.say(f"EncRL: {text}"))
    return {name: _open(directory, name) for name in students}


@dataclass(frozen=True)
class _Told:
    """What the training is told: the counterpart of a recipe's `Config`, of files and mappings.

    Attributes:
        config: of the training.
        students: configuration of each.
        args: none, where a recipe has those of its command line.
    """

    config: dict[str, Any]
    students: dict[str, dict[str, Any]]
    args: str = ""

    @classmethod
    def read(
        cls,
        students: Mapping[str, PathLike | Mapping[str, Any]],
        config: PathLike | Mapping[str, Any] | None,
        options: Mapping[str, Any],
        teacher: str,
        directory: Path,
    ) -> "_Told":
        """Reads and checks it.

        Raises:
            UserError: a file cannot be read, an unknown key, or one is missing.
        """
        from espnet_ext.encrl.students import read_students
        from espnet_ext.encrl.task import EncRLTask

        laid_over = config if isinstance(config, Mapping) else {}
        file = locate(_DEFAULT if config is None or isinstance(config, Mapping) else os.fspath(config))
        merged = text_keys(merge(merge(read_config(file), laid_over), options))
        check_keys(merged, option_names(EncRLTask.get_parser()) - {"students"}, f"{file} and the options of distill")
        check_complete("encrl", [file], merged)
        merged |= _tokens(merged, teacher, directory)
        located = {
            name: conf if isinstance(conf, Mapping) else locate(os.fspath(conf), student=True)
            for name, conf in students.items()
        }
        models = {name: text_keys(conf) for name, conf in read_students(located).items()}
        if lacking := next((name for name, conf in models.items() if "encoder" not in conf), None):
            raise UserError(
                f"student {lacking} describes no model: encoder is missing, for which ESPnet would take an RNN"
            )
        return cls(merged, models)

    @property
    def sample_rate(self) -> int:
        """Of the audio, Hz; EncRL's task checks that the students agree."""
        conf = merge(
            self.config.get("frontend_conf") or {}, next(iter(self.students.values())).get("frontend_conf") or {}
        )
        return humanfriendly.parse_size(str(conf.get("fs", 16000)))

    def merged(self, others: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns all of it; a training of more students serves as well."""
        return self.config | {"students": dict(others or {}) | self.students}

    def file_of(self, key: str) -> str:
        """Returns where a key comes from, for errors."""
        return "students" if key.startswith("students.") else "config, options"


def _check_set(directory: Path, sample_rate: int) -> str:
    """Checks a data directory as far as its first entry shows; returns how ESPnet reads its audio.

    Raises:
        UserError: it is none, not formatted, or its audio has another rate than the students', Hz.
    """
    scp, kind_file = directory / "wav.scp", directory / "audio_format"
    if not scp.is_file() or scp.stat().st_size == 0:
        raise UserError(f"{scp} does not exist or is empty; give a data directory, such as stages 1-4 of a recipe make")
    with scp.open(encoding="utf-8") as lines:
        name = next(lines).strip().partition(" ")[2].strip()
    if (directory / "segments").exists() or name.endswith("|"):
        raise UserError(f"{directory} has segments or commands; give the formatted set (stages 1-4 of a recipe)")
    if kind_file.is_file() and "ark" in kind_file.read_text(encoding="utf-8"):
        return "kaldi_ark"
    if not Path(name).is_file():
        raise UserError(f"{scp} names {name}, which is not in {Path.cwd()}, where relative paths start")
    if (rate := soundfile.info(name).samplerate) != sample_rate:
        raise UserError(f"{name} has {rate} Hz, students take {sample_rate}; format the set (stage 3) or set their fs")
    return "sound"


def _check_text(told: _Told, sets: Mapping[str, Path], kinds: Mapping[str, str], texts: Mapping[str, Path]) -> None:
    """Raises a `UserError` where criteria need transcripts that are not there, before statistics are collected."""
    from espnet_ext.encrl.criteria import parse_criteria
    from espnet_ext.encrl.text import check_text

    listed = {}
    for part, folder in sets.items():
        text = [(str(texts[part]), "text", "text")] if part in texts else []
        listed[f"{part}_data_path_and_name_and_type"] = [(f"{folder}/wav.scp", "speech", kinds[part]), *text]
    check_text(
        argparse.Namespace(collect_stats=False, select_by=told.config.get("select_by"), **listed),
        parse_criteria(told.config["criteria"]),
    )


def _tokens(given: Mapping[str, Any], teacher: str, directory: Path) -> dict[str, Any]:
    """Returns the options of ESPnet for the tokens: the teacher's, unless some are configured.

    Args:
        given: the configuration.
        teacher: its name.
        directory: of the training, in which the BPE model will be of a teacher that has it in another form.

    Raises:
        UserError: the teacher has none, or a list cannot be read.
    """
    if "token_list" not in given:
        return token_options(teacher, directory / _BPE)
    if not isinstance(given["token_list"], str | os.PathLike):
        return {}
    try:  # itself and not its name, so that a change of it is noticed
        text = Path(given["token_list"]).read_text(encoding="utf-8")
        return {"token_list": text.removesuffix("\n").split("\n")}  # U+0085 and the like may be tokens
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"token_list {given['token_list']} cannot be read: {error}") from error


def _gpus(asked: int | None) -> int:
    import torch

    there = torch.cuda.is_available()
    if asked is None:
        return int(there)
    if asked not in (0, 1) or (asked and not there):
        raise UserError(f"ngpu={asked}: distill takes 0, or 1 where there is a GPU; a recipe trains on several")
    return asked


def _run(words: list[str], log: Path) -> None:
    """Runs EncRL's task in this process; what it says goes to a file, as the launcher has it."""
    from espnet_ext.encrl.task import EncRLTask

    def refuse(message: str) -> None:
        raise UserError(f"distill: {message}")

    parser: argparse.ArgumentParser = EncRLTask.get_parser()
    parser.error = refuse
    log.parent.mkdir(parents=True, exist_ok=True)
    with _logging_to(log):
        EncRLTask.main(args=parser.parse_args(words))


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with path.open("a", encoding="utf-8") as file, redirect_stderr(file):
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter(_LOG_FORMAT))
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)


def _open(directory: Path, name: str) -> Student:
    """Takes a student out of the training, and opens it."""
    from espnet_ext.encrl.export import export_student

    trained = checkpoint_digest(directory / best_file(name, read_config(directory / "config.yaml")))
    made_of = {"config": {}, "arguments": [], "inputs": {}, "parents": {str(directory): trained}}
    about = {"model": name, "init": "encrl", "differs": {}, "finetuned": False}
    with quiet_espnet():
        work = partial(export_student, directory, name, None, directory / name)
        make_once(directory / name, "start", made_of, ["model.pth"], work, **about)
        return Student.from_pretrained(directory / name)
