"""One run of a recipe: its stages, in the recipe's directory."""

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import yaml

from espnet_ext.data.failures import explain
from espnet_ext.errors import UserError
from espnet_ext.recipe import checks, data, decode, publish, results, train
from espnet_ext.recipe.digests import AudioDigests
from espnet_ext.recipe.display import Terminal
from espnet_ext.recipe.labels import TrainingSet
from espnet_ext.recipe.lineage import find_encrl
from espnet_ext.recipe.names import Model, Names
from espnet_ext.recipe.options import Options
from espnet_ext.recipe.processes import cluster_commands, locked, run_logged, within
from espnet_ext.recipe.words import espnet_file, read_asr_names, recipe_words


class Recipe:
    """Makes small models of a large one: `Recipe.from_args("egs2/mini_an4/encrl1", students="e2").run(stage=10)`.

    Args:
        options: of the run. The current directory is the recipe's.

    Attributes:
        directory: of the recipe, which the paths of its models start from.
        names: directories of its experiments.
        encrl_exp: the EncRL training that its students start from.
        models: its models, the teacher first.
        terminal: what shows the run.
        pseudo_labelled: what students are trained on with pseudo-labels, as soon as stage 11 has it.
    """

    def __init__(self, options: Options):
        self.options = options
        self.directory = Path.cwd()
        self.names = Names(options)
        self.encrl_exp = find_encrl(self.names)
        self.models = self.names.models(self.encrl_exp)
        self.terminal = Terminal()
        self.pseudo_labelled: TrainingSet | None = None
        self.say = self.terminal.say
        self.log_dir = Path(options.expdir, "log")
        self.audio = AudioDigests(self.log_dir / "audio_digests.json")
        self.commands = cluster_commands(espnet_file("cmd.sh"))

    @classmethod
    def from_args(cls, directory: str | os.PathLike[str], **options: Any) -> "Recipe":
        """Opens a recipe from anywhere, such as a notebook.

        Args:
            directory: of the recipe, e.g. `egs2/librispeech_100/encrl1`.
            **options: those of its `run.sh`, laid over what that sets: `students=["e6", "e4"]` or `"e6 e4"`, `ngpu=0`.

        Raises:
            UserError: no recipe, an unknown option, or a value that cannot be.
        """
        if not Path(directory, "run.sh").is_file():
            raise UserError(f"{Path(directory).absolute()} is no recipe; give egs2/<corpus>/encrl1")
        with chdir(directory):
            words = recipe_words(Path("run.sh"))
            for name, value in options.items():
                text = str(value).lower() if isinstance(value, bool) else value
                words += [f"--{name}", " ".join(map(str, text)) if isinstance(text, list | tuple) else str(text)]
            return cls(Options.parse(words, read_asr_names(espnet_file("asr.sh"))))

    @property
    def students(self) -> list[Model]:
        """The models but the teacher."""
        return [model for model in self.models if model.name != "teacher"]

    @property
    def needs_encrl(self) -> bool:
        """Whether a student starts from EncRL."""
        return bool(self.options.students) and "encrl" in self.options.student_source

    # ------------------------------------------------------------------ stages

    def run(self, stage: int | None = None, stop_stage: int | None = None) -> None:
        """Does the stages that the options ask for, in the directory and environment of the recipe.

        What is finished is kept; after an interrupt the same call goes on.

        Args:
            stage: first one, this time; default: that of the options.
            stop_stage: last one, this time; default: that of the options.

        Raises:
            UserError: something cannot be done.
        """
        options = self.options
        before = options.stage, options.stop_stage
        options.stage = options.stage if stage is None else stage
        options.stop_stage = options.stop_stage if stop_stage is None else stop_stage
        try:
            with within(self.directory):
                options.check()
                self.run_stages()
        finally:
            options.stage, options.stop_stage = before

    def run_stages(self) -> None:
        """Does the same where directory and environment are the recipe's, as `run.sh` leaves them."""
        options = self.options
        checks.check(self)
        if options.covers(1, 9):
            self.prepare_data()
            if options.covers(5) and options.covers(11):
                checks.check_tokens(self)
        # Stages 1-5 write what the others, of any run, read (maybe where this user may not write).
        lock = Path(options.dumpdir, ".lock")
        with locked(
            lock,
            shared=True,
            waiting=lambda: self.say(f"Another run prepares {Path(options.dumpdir).absolute()}; waiting for it"),
        ):
            if options.covers(10):
                self.collect_statistics()
            if options.covers(11):
                self.train()
            if options.covers(12, 13):
                self.decode_and_score()
            if options.covers(13) and options.results:
                results.report(self)
            if options.covers(14):
                self.pack_and_export()
            if options.covers(15) and not options.skip_upload_hf:
                self.upload()
        self.say("Finished")

    def prepare_data(self) -> None:
        """Stages 1-9: data directories, formatted audio, tokens."""
        data.prepare(self)

    def collect_statistics(self) -> None:
        """Stage 10: statistics of the training set, for teacher and students."""
        data.collect_statistics(self)

    def train(self) -> None:
        """Stage 11: teacher, EncRL of all students, finetuning of each."""
        train.train(self)

    def decode_and_score(self) -> None:
        """Stages 12-13: text and error rates of every model on every test set."""
        decode.decode_and_score(self)

    def pack_and_export(self) -> None:
        """Stage 14: a zip of each student, ONNX files."""
        publish.pack_and_export(self)

    def upload(self) -> None:
        """Stage 15: each student to the hub."""
        publish.upload(self)

    # ------------------------------------------------------------------ commands

    def step(self, name: str, command: Sequence[str], threads: int = 1, job_log: Path | None = None) -> str:
        """Runs a command; its output goes to `<expdir>/log/<name>.log`, the terminal shows why it failed.

        Args:
            name: of the step.
            command: words.
            threads: of each process on the CPU.
            job_log: where the job that the command submits says what it does.

        Returns:
            The output.

        Raises:
            UserError: it failed.
        """
        file = self.log_dir / f"{name}.log"
        status = run_logged(command, None if self.options.verbose else file, {"OMP_NUM_THREADS": str(threads)})
        if status == 0:
            return "" if self.options.verbose else file.read_text(encoding="utf-8", errors="replace")
        said = ""
        for log in [job_log, None if self.options.verbose else file]:
            if log is not None and log.is_file():
                said += log.read_text(encoding="utf-8", errors="replace")[-50_000:]
        lines = said.splitlines()
        errors = list(dict.fromkeys(re.findall(r"^(?:\S+\.py: )?error: (.*)", said, re.M)))
        raised = dict.fromkeys(re.findall(r"^\S+\.UserError: (.*)", said, re.M))  # in a command of ESPnet
        known = " ".join(raised) or explain(said)
        if not known:  # a log beside the reason would only hide it
            self.say("\n".join([f"{name} failed; the end of its log:", *lines[-30:]]))
        meaning = " ".join(errors) or known
        reason = f": {meaning}" if meaning else ""
        where = "" if self.options.verbose else f"; whole log: {file.absolute()}"
        raise UserError(f"{name} failed{reason} (exit status {status}{where})")

    def show(self, name: str, command: Sequence[str]) -> None:
        """Runs a command whose output the terminal shows.

        Raises:
            UserError: it failed.
        """
        if status := run_logged(command, None):
            raise UserError(f"{name} failed (exit status {status}); the reason is above")

    def asr(self, first: int, last: int, *words: str) -> list[str]:
        """Returns the call of asr.sh for some stages."""
        options, names = self.options, self.names
        given = {
            "stage": first, "stop_stage": last, "ngpu": options.ngpu, "num_nodes": options.num_nodes, "nj": options.nj,
            "inference_nj": options.inference_nj, "gpu_inference": str(options.gpu_inference).lower(),
            "dumpdir": options.dumpdir, "expdir": options.expdir, "python": options.python,
            "train_set": options.train_set, "valid_set": options.valid_set, "test_sets": " ".join(options.test_sets),
            "lang": names.lang, "token_type": names.token_type, "nbpe": names.nbpe, "bpemode": names.bpemode,
            "feats_type": options.feats_type, "feats_normalize": options.feats_normalize,
            "audio_format": options.audio_format, "fs": options.fs,
            "speed_perturb_factors": options.speed_perturb_factors, "nlsyms_txt": options.nlsyms_txt,
            "cleaner": options.cleaner, "g2p": options.g2p, "asr_stats_dir": names.stats_dir,
            "inference_config": options.located(options.inference_config or f"{options.conf_dir}/decode.yaml"),
            "inference_args": options.inference_args, "inference_tag": names.inference_tag,
        }  # fmt: skip
        flat = [
            str(word)
            for name, value in ({"use_lm": "false"} | options.asr | given).items()
            for word in (f"--{name}", value)
        ]
        return ["./asr.sh", *flat, *words]

    def submit(self, kind: str, gpus: int, log: Path, *words: str) -> list[str]:
        """Returns the call of a command of cmd.sh that runs a verb.

        Args:
            kind: train_cmd, cuda_cmd or decode_cmd.
            gpus: how many it takes.
            log: what the job says.
            words: the verb and its options.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        return [*self.commands[kind], "--gpu", str(gpus), str(log), *self.verb(*words)]

    def verb(self, *words: str) -> list[str]:
        """Returns the call of a verb of `espnet_ext.cli` with its options."""
        return [*shlex.split(self.options.python), "-m", "espnet_ext", *map(str, words)]

    def threads_of_each(self, threads: int) -> int:
        """Returns the threads of each model where all together may have `threads`, at most all cores."""
        return max(1, min(threads, len(os.sched_getaffinity(0))) // self.options.model_nj)

    # ------------------------------------------------------------------ what it is

    def listing(self) -> str:
        """Returns the models of the run as YAML (--list_models true)."""
        options, names = self.options, self.names
        models = [
            {"name": model.name, "source": model.source, "exp_dir": str(model.exp_dir), "file": model.file}
            | {"decode_dir": str(model.exp_dir / names.inference_tag), "configs": list(model.configs)}
            for model in self.models
        ]
        encrl = None
        if self.needs_encrl:
            configs = list(options.encrl_config)
            encrl = {"exp_dir": str(self.encrl_exp), "configs": configs, "students": list(options.students)}
        content = {"models": models, "encrl": encrl, "inference_config": options.inference_config}
        return yaml.safe_dump(content | {"test_sets": list(options.test_sets)}, sort_keys=False, width=10000)
