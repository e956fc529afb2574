"""EncRL of all students in stage 11: the check of the teacher, its cache, audio without transcripts, the training."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.config import read_config
from espnet_ext.data.tables import read_lines
from espnet_ext.data.text import complete_text
from espnet_ext.encrl.best import best_file
from espnet_ext.files import atomic, file_sha256
from espnet_ext.recipe.configs import Config
from espnet_ext.recipe.lineage import checkpoint_digest
from espnet_ext.recipe.more_audio import duration_limits, formatted_set
from espnet_ext.recipe.processes import locked
from espnet_ext.record import Record

if TYPE_CHECKING:
    from espnet_ext.recipe.names import Model
    from espnet_ext.recipe.recipe import Recipe
    from espnet_ext.recipe.train import Training


def training(recipe: "Recipe") -> "Training":
    """Returns the training of EncRL."""
    from espnet_ext.recipe.train import Training

    options, exp_dir = recipe.options, recipe.encrl_exp
    files = {name: options.student_config(name) for name in options.students}
    seed = int(options.seed) if options.seed else None
    configs = tuple(map(options.located, options.encrl_config))
    config = Config(configs, files, options.encrl_args, "--encrl_args", seed, "encrl", options.teacher_cache)
    about = {"model": "encrl", "init": "encrl", "family": recipe.names.family, "differs": {}}
    outputs = [best_file(name, {"select_by": config.value("select_by")}) for name in options.students]
    title = f"EncRL {'+'.join(options.students)}"
    return Training(title, exp_dir, "encrl", config, outputs, lambda told, _: command(recipe, told), about)


def align(recipe: "Recipe", job: "Training", read: Mapping[str, str]) -> None:
    """Joins audio without transcripts, and trains."""
    from espnet_ext.recipe.train import run_training

    if recipe.options.unlabelled_set:
        directory = join_unlabelled(recipe)
        read = {**read, f"unlabelled audio ({directory}/wav.scp)": recipe.audio.of(directory / "wav.scp")}
    run_training(recipe, job, read)


def check_teacher(recipe: "Recipe", teacher: Path) -> None:
    """Shows the teacher's error rates once, before anything is made of it."""
    options, record = recipe.options, Record.read(teacher.parent)
    known, now = (record.content.get("checked") if record else None) or {}, checkpoint_digest(teacher)
    if known.get("sha256") != now:
        output = recipe.log_dir / f"check_teacher.{os.getpid()}.txt"  # several runs may share the teacher
        gpus = int(options.gpu_inference)
        log = output.with_suffix(".log")
        words = ("--teacher", recipe.names.teacher_name, "--data_dir", str(options.data / options.valid_set))
        words += ("--audio_format", options.audio_format, "--ngpu", str(gpus), "--output", str(output))
        kind = "cuda_cmd" if gpus else "decode_cmd"
        call = recipe.submit(kind, gpus, log, "check", "teacher", *words)
        recipe.step("check_teacher", call, job_log=log)
        known = {"sha256": now, "text": output.read_text(encoding="utf-8").strip()}
        output.unlink()
        log.unlink(missing_ok=True)
        if record is not None:
            record.content["checked"] = known
            record.write()
    recipe.say(f"Stage 11: teacher: {known['text']}")


def encrl_set(recipe: "Recipe") -> str:
    """Name of the set that EncRL trains on."""
    options = recipe.options
    return options.train_set + options.sp + (options.unlabelled_set and f"_{options.unlabelled_set}")


def cache_teacher(recipe: "Recipe", told: Path, train: str) -> list[str]:
    """Computes the teacher's outputs for training and validation; returns the data options that give them.

    Args:
        recipe: the run.
        told: configuration of the training.
        train: name of its training set.
    """
    options, words = recipe.options, []
    jobs = options.ngpu or min(options.nj, len(os.sched_getaffinity(0)))
    for part, name in (("train", train), ("valid", options.valid_set)):
        directory = recipe.names.teacher_exp / "cache" / name
        log = directory.with_name(f"{name}.log")
        recipe.say(f"Stage 11: teacher cache of {name} ({directory})")
        log.unlink(missing_ok=True)
        call = recipe.submit(
            "cuda_cmd" if options.ngpu else "train_cmd", options.ngpu, log, "cache",
            "--teacher", recipe.names.teacher_name, "--config", str(told), "--data_dir", str(options.data / name),
            "--output_dir", str(directory), "--dtype", options.teacher_cache_dtype,
            "--audio_format", options.audio_format, "--nj", str(jobs), "--ngpu", str(options.ngpu),
        )  # fmt: skip
        with recipe.terminal.bar(log, lambda line: recipe.say(f"Stage 11: {line}")):
            recipe.step(f"cache_{name}", call, job_log=log)
        for path in sorted(directory.glob("*.scp")):
            words += [f"--{part}_data_path_and_name_and_type", f"{path},{path.stem},kaldi_ark"]
    return [*words, "--allow_variable_data_keys", "true"]


def join_unlabelled(recipe: "Recipe") -> Path:
    """Makes the training set and --unlabelled_set one; returns its directory."""
    options = recipe.options
    source = formatted_set(recipe, "--unlabelled_set", options.unlabelled_set)
    labelled, directory = options.data / (options.train_set + options.sp), options.data / encrl_set(recipe)
    lengths = [line.split() for line in _lines(source / "utt2num_samples")]
    shapes = recipe.names.stats_dir / "train" / "speech_shape"
    limits = duration_limits(recipe)
    files = (source / "wav.scp", labelled / "wav.scp", labelled / "text", shapes)
    read = {str(path): file_sha256(path) for path in files}
    with locked(options.data / f".{directory.name}.lock", waiting=lambda: None):  # several runs may share the data
        record = Record.read(directory)
        made_of = {"config": {}, "arguments": [str(limit) for limit in limits], "inputs": read, "parents": {}}
        if record is not None and record.is_finished and not record.changes(made_of):
            return directory
        recipe.say(f"Stage 11: {labelled.name} and {options.unlabelled_set} together ({directory})")
        record = Record.begin(directory, "data", made_of)
        import humanfriendly

        low, high = (int(limit * humanfriendly.parse_size(options.fs)) for limit in limits)
        kept = [f"{name} {length}\n" for name, length in lengths if low < int(length) < high]
        filtered = source.with_name(f"{source.name}_within_limits")
        recipe.step(
            "unlabelled_copy", ["utils/copy_data_dir.sh", "--validate_opts", "--non-print", str(source), str(filtered)]
        )
        (filtered / "utt2num_samples").write_text("".join(kept), encoding="utf-8")
        names = {line.split()[0] for line in kept}
        scp = [line for line in _lines(source / "wav.scp") if line.split()[0] in names]
        (filtered / "wav.scp").write_text("".join(f"{line}\n" for line in scp), encoding="utf-8")
        recipe.step("unlabelled_filter", ["utils/fix_data_dir.sh", str(filtered)])
        join = [
            "utils/combine_data.sh",
            "--extra-files",
            "utt2num_samples",
            str(directory),
            str(labelled),
            str(filtered),
        ]
        recipe.step("unlabelled_join", join)
        with atomic(directory / "speech_shape") as temporary:
            temporary.write_text(shapes.read_text(encoding="utf-8") + "".join(kept), encoding="utf-8")
        complete_text(labelled / "text", directory / "wav.scp", directory / "text")
        record.finish(["speech_shape", "wav.scp", "text"])
    return directory


def _lines(path: Path) -> list[str]:
    return [line for _, line in read_lines(path)]


def command(recipe: "Recipe", told: Path) -> list[str]:
    """Returns the call of EncRL."""
    options, names, exp_dir = recipe.options, recipe.names, recipe.encrl_exp
    train = options.data / encrl_set(recipe)
    shape = train / "speech_shape" if options.unlabelled_set else None
    students = [f"{name}={options.student_config(name)}" for name in read_config(told)["students"]]
    cached = cache_teacher(recipe, told, train.name) if options.teacher_cache else []
    words = ["--teacher", names.teacher_name, "--students", *students, *cached, *options.encrl_args.split()]
    return launch(recipe, "espnet_ext.encrl.train", exp_dir, told, train, names.stats_dir, words, shape)


def finetune_command(
    recipe: "Recipe", model: "Model", told: Path, start: Path | None, needs_teacher: bool, train: Path, stats_dir: Path
) -> list[str]:
    """Returns the call of a training of one model by criteria.

    Args:
        recipe: the run.
        model: that is trained.
        told: its configuration.
        start: the checkpoint that it starts from.
        needs_teacher: whether a criterion compares with the teacher.
        train: directory of the training set.
        stats_dir: of its statistics.
    """
    words = ["--init_param", str(start)] if start else []
    if needs_teacher:
        words += ["--teacher", recipe.names.teacher_name]
        words += cache_teacher(recipe, told, train.name) if recipe.options.teacher_cache else []
    words += model.args.split()
    return launch(recipe, "espnet_ext.encrl.finetune", model.exp_dir, told, train, stats_dir, words)


def launch(
    recipe: "Recipe",
    module: str,
    exp_dir: Path,
    told: Path,
    train: Path,
    stats_dir: Path,
    words: list[str],
    shape: Path | None = None,
) -> list[str]:
    """Returns the call of ESPnet's launcher for a task that asr.sh cannot call; the options are asr.sh's.

    Args:
        recipe: the run.
        module: of the task.
        exp_dir: experiment directory.
        told: its configuration.
        train: directory of the training set.
        stats_dir: of the statistics.
        words: further options, which win.
        shape: lengths of the training set's audio; default: among the statistics.
    """
    options, names = recipe.options, recipe.names
    valid = options.data / options.valid_set
    kind = "kaldi_ark" if "ark" in options.audio_format else "sound"
    normalize = []
    if options.feats_normalize == "global_mvn":
        stats = stats_dir / "train" / "feats_stats.npz"
        normalize = ["--normalize", "global_mvn", "--normalize_conf", f"stats_file={stats}"]
    cuda = shlex.join(recipe.commands["cuda_cmd"])
    log = exp_dir / "train.log"
    job = exp_dir.name if "queue" in cuda else str(log)  # as in asr.sh: Grid Engine takes no slash
    python = shlex.split(options.python)
    return [
        *python, "-m", "espnet2.bin.launch", "--cmd", f"{cuda} --name {job}", "--log", str(log),
        "--ngpu", str(options.ngpu), "--num_nodes", str(options.num_nodes),
        "--init_file_prefix", f"{exp_dir}/.dist_init_", "--multiprocessing_distributed", "true", "--",
        *python, "-m", module, "--config", str(told), "--use_preprocessor", "true", "--resume", "true",
        "--output_dir", str(exp_dir),
        "--bpemodel", str(names.token_dir / "bpe.model") if names.token_type == "bpe" else "none",
        "--token_type", names.token_type, "--token_list", str(names.token_dir / "tokens.txt"),
        "--non_linguistic_symbols", options.nlsyms_txt, "--cleaner", options.cleaner, "--g2p", options.g2p,
        "--frontend_conf", f"fs={options.fs}", *normalize,
        *data_words("train", train, kind, shape or stats_dir / "train" / "speech_shape", train / "text"),
        *data_words("valid", valid, kind, stats_dir / "valid" / "speech_shape", valid / "text"),
        "--fold_length", "80000", *words,
    ]  # fmt: skip


def data_words(part: str, directory: Path, kind: str, shape: Path | None, text: Path | None) -> list[str]:
    """Returns the options of ESPnet that name a set.

    Args:
        part: train or valid.
        directory: with wav.scp.
        kind: how ESPnet reads the audio: sound or kaldi_ark.
        shape: list of the lengths; None where they are to be collected.
        text: transcripts, see `complete_text`; None: there are none.
    """
    option = f"--{part}_data_path_and_name_and_type"
    texts = [option, f"{text},text,text"] if text else []
    shapes = [f"--{part}_shape_file", str(shape)] if shape else []
    return [option, f"{directory}/wav.scp,speech,{kind}", *texts, *shapes]
