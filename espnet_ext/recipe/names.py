"""Names of experiments: what is made differently has another name, and no name is longer than a table can bear."""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from espnet_ext.conf_dirs import config_name
from espnet_ext.recipe.options import Options
from espnet_ext.teachers.source import ESPNET, Source

MAX_NAME = 64  # of a directory; what is longer ends in a hash of the whole


@dataclass(frozen=True)
class Model:
    """One model of a run.

    Attributes:
        name: `teacher` or the student's name.
        source: teacher, encrl or scratch: where its weights come from.
        exp_dir: its experiment directory.
        file: its checkpoint in there.
        configs: configurations of a training of its own; none where another training makes it.
        args: arguments that overwrite them.
        differs: by option, what is not as by default; for tables.
    """

    name: str
    source: str
    exp_dir: Path
    file: str
    configs: tuple[str, ...]
    args: str
    differs: dict[str, str]

    @property
    def title(self) -> str:
        """What the display shows."""
        return "teacher" if self.name == "teacher" else f"{self.name} {self.source}"

    @property
    def checkpoint(self) -> Path:
        """The model that is decoded."""
        return self.exp_dir / self.file


class Names:
    """Directories of a run's experiments; the present directory is the recipe's.

    Args:
        options: of the run.
    """

    def __init__(self, options: Options):
        self.options = options
        self.expdir = Path(options.expdir)
        self.long: dict[Path, Path] = {}  # by directory, what earlier versions called it
        tokens = options.token_type + (str(options.nbpe) if options.token_type == "bpe" else "")
        # What asr.sh calls the directory of the tokens by.
        self.lang = options.lang
        if options.token_type == "teacher":
            tokens += hashlib.sha256(options.teacher.encode()).hexdigest()[:6]
            self.lang = ("" if options.lang == "noinfo" else f"{options.lang}_") + tokens
        language = "" if options.lang == "noinfo" else f"_{options.lang}"
        self.suffix = f"{options.feats_type}{language}_{tokens}"
        self.stats_dir = self.expdir / f"asr_stats_{self.suffix}{options.sp}"
        self.token_lists = Path("data", "token_list" if self.lang == "noinfo" else f"{self.lang}_token_list")

    @property
    def token_type(self) -> str:
        """Kind of the tokens: bpe, char or word. Of the teacher's it is known after stage 5."""
        kind = self.options.token_type
        return kind if kind != "teacher" else self.token_dir.name.partition("_")[0]

    @property
    def nbpe(self) -> int:
        """Number of BPE tokens."""
        size = self.token_dir.name.removeprefix("bpe_unigram")
        return int(size) if self.options.token_type == "teacher" and size.isdigit() else self.options.nbpe

    @property
    def bpemode(self) -> str:
        """What asr.sh calls the directory of BPE tokens by."""
        return "unigram" if self.options.token_type == "teacher" else self.options.bpemode

    @property
    def token_dir(self) -> Path:
        """Directory of tokens.txt, and of bpe.model where there is one."""
        options, kind = self.options, self.options.token_type
        if kind == "teacher":
            found = sorted(self.token_lists.glob("*/tokens.txt"))
            return found[0].parent if found else self.token_lists / "char"
        return self.token_lists / (f"bpe_{options.bpemode}{options.nbpe}" if kind == "bpe" else kind)

    def _directory(self, name: str) -> Path:
        directory = self.expdir / bounded(name)
        if directory.name != name:
            self.long[directory] = self.expdir / name
        return directory

    @cached_property
    def teacher_tag(self) -> str:
        """What tells this teacher from another one, in the names of all that is made of it."""
        options = self.options
        if options.teacher:
            return "_from_" + re.sub(r"[^A-Za-z0-9]+", "_", options.teacher).strip("_")
        return _config_tag(options.teacher_config, "teacher") + _clean(options.teacher_args)

    @cached_property
    def teacher_exp(self) -> Path:
        """Experiment directory of the teacher."""
        options = self.options
        if options.teacher:
            return self._directory(f"asr_teacher{self.teacher_tag}")
        tag = _config_tag(options.teacher_config, "teacher")
        return self._directory(f"asr_teacher{tag}_{self.suffix}{_clean(options.teacher_args)}{options.sp}")

    @cached_property
    def has_foreign_teacher(self) -> bool:
        """Whether the teacher is no ESPnet ASR model: nothing but EncRL takes it."""
        return bool(self.options.teacher) and Source.parse(self.options.teacher).family != ESPNET

    @property
    def teacher_model(self) -> Path:
        """Checkpoint of the teacher; of a foreign one the file that tells what it is."""
        linked = "teacher.json" if self.has_foreign_teacher else "model.pth"
        return self.teacher_exp / (linked if self.options.teacher else self.options.inference_asr_model)

    @property
    def teacher_name(self) -> str:
        """What commands are told as `--teacher`."""
        return self.options.teacher if self.has_foreign_teacher else str(self.teacher_model)

    @cached_property
    def labels_tag(self) -> str:
        """What tells students of pseudo-labels from others."""
        options = self.options
        if not options.pseudo_label_sets:
            return ""
        tag = _config_tag(options.pseudo_label_config, "pseudo_labels") + _clean(options.pseudo_label_args)
        return f"_labels_{'_'.join(options.pseudo_label_sets)}{tag}"

    @cached_property
    def encrl_tag(self) -> str:
        """What tells this EncRL from another one, but for its students."""
        options = self.options
        tag = _config_tag(options.encrl_config, "encrl") + _clean(options.encrl_args)
        return f"encrl{tag}{options.unlabelled_set and '_' + options.unlabelled_set}{self.teacher_tag}"

    @property
    def family(self) -> str:
        """Of EncRL trainings that differ in their students only."""
        return f"{self.encrl_tag}_{self.suffix}{self.options.sp}"

    @cached_property
    def encrl_exp(self) -> Path:
        """Experiment directory of EncRL with exactly these students."""
        students = "_".join(self.options.students)
        return self._directory(f"{self.encrl_tag}_{students}_{self.suffix}{self.options.sp}")

    def start_dir(self, student: str, source: str, encrl_exp: Path) -> Path:
        """Returns the directory of the model.pth that a student starts from."""
        if source == "encrl":
            checkpoint = self.options.encrl_checkpoint.removesuffix(".pth")
            return encrl_exp / (student + (checkpoint and f"_{checkpoint}"))
        name = f"layers_{student}_{self.options.layer_selection}{self.teacher_tag}_{self.suffix}{self.options.sp}"
        return self._directory(name)

    def models(self, encrl_exp: Path) -> list[Model]:
        """Returns all models of the run, the teacher first unless it is a foreign one.

        Args:
            encrl_exp: EncRL training that students start from.
        """
        students = [
            self._student(name, source, encrl_exp)
            for name in self.options.students
            for source in dict.fromkeys(self.options.student_source)
        ]
        decodes_teacher = self.options.needs_teacher and not self.has_foreign_teacher
        return [*([self._teacher()] if decodes_teacher else []), *students]

    def from_scratch(self) -> list[Model]:
        """Returns the students as they would be trained from scratch, to compare with."""
        return [self._student(name, "scratch", self.encrl_exp) for name in self.options.students]

    def _teacher(self) -> Model:
        options = self.options
        configs = () if options.teacher else tuple(map(options.located, options.teacher_config))
        args = "" if options.teacher else options.teacher_args
        return Model(
            "teacher", "teacher", self.teacher_exp, self.teacher_model.name, configs, args, self._differs("teacher")
        )

    def _student(self, name: str, source: str, encrl_exp: Path) -> Model:
        options = self.options
        differs = self._differs("layers" if source == "teacher" else source)
        if not options.finetune and source != "scratch":
            return Model(name, source, self.start_dir(name, source, encrl_exp), "model.pth", (), "", differs)
        step = "scratch" if source == "scratch" else "finetune"
        config, args = getattr(options, f"{step}_config"), getattr(options, f"{step}_args")
        checkpoint = options.encrl_checkpoint.removesuffix(".pth")
        tag = {
            "scratch": "scratch" + (self.teacher_tag if self.labels_tag else ""),
            "encrl": self.encrl_tag + (checkpoint and f"_{checkpoint}"),
            "teacher": ("teacher" if options.layer_selection == "last" else f"teacher_{options.layer_selection}")
            + self.teacher_tag,
        }[source]
        tag += _config_tag(config, step) + self.labels_tag
        exp_dir = self._directory(f"asr_{name}_{tag}_{self.suffix}{_clean(args)}{options.sp}")
        configs = (options.student_config(name), *map(options.located, config))
        return Model(name, source, exp_dir, options.inference_asr_model, configs, args, differs)

    def _differs(self, kind: str) -> dict[str, str]:
        """Returns what a table may have to tell of a teacher, or of a student from scratch, encrl or layers."""
        relevant = {
            "teacher": ("teacher", "teacher_config", "teacher_args"),
            "scratch": ("scratch_config", "scratch_args"),
            "encrl": ("teacher", "teacher_config", "teacher_args", "encrl_config", "encrl_args", "encrl_checkpoint")
            + ("unlabelled_set", "finetune_config", "finetune_args"),
        }
        relevant["layers"] = (*relevant["teacher"], "layer_selection", "finetune_config", "finetune_args")
        if kind != "teacher" and self.labels_tag:
            labels = ("pseudo_label_sets", "pseudo_label_config", "pseudo_label_args")
            relevant[kind] = tuple(dict.fromkeys((*relevant["teacher"], *relevant[kind], *labels)))
        found = {}
        for name in (*relevant[kind], "conf_dir", "seed", "speed_perturb_factors", "nbpe", "token_type"):
            value: Any = getattr(self.options, name)
            if name.endswith("_config"):
                default = {"pseudo_label_config": "pseudo_labels"}.get(name, name.removesuffix("_config"))
                value = _config_tag(value, default).strip("_")
            elif isinstance(value, tuple):
                value = " ".join(value)
            if value not in ("", "conf"):
                found[name] = str(value)
        return found

    @cached_property
    def inference_tag(self) -> str:
        """Directory of the decoding results in each experiment."""
        options = self.options
        if options.inference_tag:
            return options.inference_tag
        tag = options.decoder
        if options.inference_config:
            stem = Path(options.inference_config).stem
            tag = stem if options.decoder == "espnet" else f"{options.decoder}_{stem}"
        return bounded(f"{tag}{_clean(options.inference_args)}_asr_model_{Path(options.inference_asr_model).stem}")


def bounded(name: str) -> str:
    """Returns a name that every tool can bear: short, without characters that shells or YAML read as syntax."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "", name)
    if plain == name and len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain[: MAX_NAME - 9].rstrip('_.')}_{digest}"


def _clean(args: str) -> str:
    """Returns arguments as asr.sh writes them into names."""
    return re.sub(r"[ |=/]", "", args.replace("--", "_"))


def _config_tag(configs: tuple[str, ...], default: str) -> str:
    return "".join(f"_{name}" for name in map(config_name, configs) if name != default)
