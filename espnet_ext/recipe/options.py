"""Every option of a recipe: its default, type and help. Needs the standard library only: --help works at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from espnet_ext.conf_dirs import locate, require_config, require_directory
from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.teachers.source import HELP

Words = tuple[str, ...]
SOURCES = ("encrl", "scratch", "teacher")
LAST_STAGE = 15
_SWITCH = re.compile(r"use_|skip_(?!stages)")  # options of asr.sh that are true or false
# In paths: ESPnet splits its options at commas, and its scripts give words to a shell without quotes.
_SPLIT = re.compile(r"""[\s,'"()|&;<>$`*?\[\]{}\\#]""")
DECODERS = ("greedy", "beam", "lexicon", "espnet")
# Options of asr.sh that the recipe sets itself, for each model.
MANAGED = (
    "asr_task asr_tag asr_exp asr_config asr_args asr_stats_dir pretrained_model ignore_init_mismatch use_lightning "
    "download_model lm_args num_splits_asr num_ref num_inf use_k2 use_streaming use_maskctc"
).split()


def _option(default: Any, help: str, group: str = "") -> Any:
    return field(default=default, metadata={"help": help, "group": group})


@dataclass
class Options:
    """The options of one run. Words are separated by blanks on the command line; true and false are written out."""

    stage: int = _option(1, "First stage to run.", "General configuration")
    stop_stage: int = _option(10000, "Last stage to run.")
    ngpu: int = _option(1, "Number of GPUs of each training; 0 trains on the CPU.")
    num_nodes: int = _option(1, "Number of machines of each training.")
    gpu_inference: bool = _option(False, "Decode on a GPU, and check the teacher there.")
    nj: int = _option(
        32, "Number of parallel jobs; also the CPU threads of trainings with --ngpu 0 (at most all cores)."
    )
    inference_nj: int = _option(0, "Number of jobs or CPU threads in decoding (default: that of --nj).")
    model_nj: int = _option(
        1, "Number of models trained, decoded or scored at once; they share --nj, and with run.pl the GPUs."
    )
    dumpdir: str = _option("dump", "Directory of the formatted data.")
    expdir: str = _option("exp", "Directory of the experiments.")
    python: str = _option("python3", "Python that runs ESPnet's commands.")
    seed: str = _option(
        "", "Seed of all trainings (default: that of each config). Each seed needs an --expdir of its own."
    )
    on_change: str = _option(
        "",
        "What to do with an experiment that no longer matches data, configuration or parents: redo, keep or fail "
        "(default: fail for trainings, redo for decoding and scores).",
    )
    list_models: bool = _option(False, "Print the models of the run and their directories as YAML, and stop.")
    verbose: bool = _option(
        False, "Show the output of every step on the terminal instead of writing it to <expdir>/log."
    )

    conf_dir: str = _option(
        "conf",
        "Directory of the configurations below. What it lacks is taken from conf, of the recipe or of the repository.",
        'Models. A config may be several files, e.g. "conf/encrl.yaml conf/criteria/clip.yaml": later ones overwrite.',
    )
    teacher: str = _option(
        "", f"Large model that students learn from, as family:location. Without it one is trained. {HELP}."
    )
    teacher_config: Words = _option((), "Config of the teacher trained here (default: <conf_dir>/teacher.yaml).")
    teacher_args: str = _option(
        "", 'Options for the training of the teacher, e.g. "--max_epoch 10". They overwrite --teacher_config.'
    )
    students: Words = _option(
        ("e6", "e4", "e2"),
        "Names of the students. <conf_dir>/<name>.yaml describes each, or its section in <conf_dir>/students.yaml. "
        "none: the teacher alone.",
    )
    teacher_cache: bool = _option(
        False, "Compute the teacher's outputs once, to disk (<teacher experiment>/cache), instead of in every epoch."
    )
    teacher_cache_dtype: str = _option("int16", "Type of the cached values: float32, int16 or int8.")
    student_source: Words = _option(
        ("encrl",),
        "How students start, one or more of: encrl (step 1 of the paper), scratch (random), teacher (layers of the "
        "teacher, no EncRL).",
    )
    layer_selection: str = _option(
        "last", "Layers taken from the teacher with --student_source teacher: last, first, even."
    )

    finetune: bool = _option(
        True,
        "Train the students with CTC after EncRL; false leaves them as EncRL or the teacher's layers make them.",
        "Training of the students",
    )
    encrl_config: Words = _option((), "Config of EncRL (default: <conf_dir>/encrl.yaml).")
    encrl_args: str = _option("", 'Options for EncRL, e.g. "--max_epoch 10". They overwrite --encrl_config.')
    encrl_checkpoint: str = _option(
        "", "File of the EncRL experiment that students start from (default: the best of each student)."
    )
    finetune_config: Words = _option((), "Config of CTC finetuning (default: <conf_dir>/finetune.yaml).")
    finetune_args: str = _option(
        "", 'Options for CTC finetuning, e.g. "--max_epoch 3". They overwrite --finetune_config.'
    )
    scratch_config: Words = _option((), "Config of training from scratch (default: <conf_dir>/scratch.yaml).")
    scratch_args: str = _option(
        "", 'Options for training from scratch, e.g. "--max_epoch 10". They overwrite --scratch_config.'
    )

    train_set: str = _option("", "Name of the training set.", "Data, tokens and features (see asr.sh)")
    valid_set: str = _option("", "Name of the validation set.")
    test_sets: Words = _option((), "Names of the test sets, separated by blanks.")
    unlabelled_set: str = _option(
        "", "Name of a set without transcripts (data/<name>, no file text) that joins the training set in EncRL."
    )
    pseudo_label_sets: Words = _option(
        (),
        "Names of sets that the teacher transcribes, for finetuning and training from scratch. They join the training "
        "set; the training set or the validation set itself may be among them.",
    )
    pseudo_label_config: Words = _option(
        (), "Config of the form and the filter of pseudo-labels (default: <conf_dir>/pseudo_labels.yaml)."
    )
    pseudo_label_args: str = _option(
        "", 'Options for encrl label, e.g. "--min_confidence 0.8". They overwrite --pseudo_label_config.'
    )
    lang: str = _option("noinfo", "Language of the corpus, in names of directories.")
    token_type: str = _option(
        "bpe",
        "Kind of tokens: bpe, char or word, made of the transcripts in stage 5; or teacher: those of --teacher, whose "
        "CTC output the students can then match.",
    )
    nbpe: int = _option(30, "Number of BPE tokens, with --token_type bpe.")
    bpemode: str = _option("unigram", "Model of sentencepiece with --token_type bpe: unigram or bpe.")
    feats_type: str = _option("raw", "What the models read; EncRL takes raw audio only.")
    feats_normalize: str = _option(
        "global_mvn",
        "Normalisation of features: global_mvn (statistics of the training set) or utterance_mvn.",
    )
    audio_format: str = _option("flac", "Format of the audio that stage 3 writes: wav, flac, wav.ark or flac.ark.")
    fs: str = _option("16k", "Sampling rate of the formatted audio in Hz, e.g. 16000 or 16k.")
    speed_perturb_factors: str = _option(
        "", 'Speeds at which the training set is repeated, e.g. "0.9 1.0 1.1" (default: as recorded).'
    )
    nlsyms_txt: str = _option("none", "File of non-linguistic symbols, one a line; none where there are none.")
    cleaner: str = _option(
        "none", "ESPnet's text cleaner for transcripts, e.g. tacotron; none leaves them as they are."
    )
    g2p: str = _option("none", "ESPnet's method to make phonemes of words, for tokens that are phonemes.")

    decoder: str = _option(
        "greedy",
        "Decoder: greedy (best CTC path), beam, lexicon (beam over the training set's words) or espnet.",
        "Decoding, packing and upload",
    )
    inference_config: str = _option(
        "",
        "Config of encrl decode with --decoder beam or lexicon, of ESPnet with --decoder espnet (default of ESPnet's: "
        "<conf_dir>/decode.yaml).",
    )
    inference_args: str = _option(
        "",
        'Options for decoding, e.g. "--beam_size 20": those of encrl decode, or of espnet2.bin.asr_inference with '
        "--decoder espnet.",
    )
    inference_tag: str = _option(
        "", "Name of the directory of the decoding results in each experiment (default: of decoder and model)."
    )
    inference_asr_model: str = _option("valid.cer_ctc.ave.pth", "Model file that is decoded and packed.")
    results: str = _option(
        "RESULTS.md",
        "Table of all finished experiments in --expdir; the run's own is <results>_run.md, CSV and plots go beside "
        "them. Empty: none.",
    )
    skip_export: bool = _option(
        True, "false: stage 14 writes ONNX files, a folder for sherpa-onnx, and a page that runs students in a browser."
    )
    export_args: str = _option("", 'Options for encrl export in stage 14, e.g. "--max_wer_loss 0.2".')
    skip_upload_hf: bool = _option(True, "false: stage 15 uploads the students to the Hugging Face Hub.")
    hf_repo: str = _option("", "Repository on the hub, user/name: stage 15 uploads a student e6 to user/name_e6.")
    hf_space: str = _option("", "Static Space on the hub, user/name, that stage 15 uploads the page of stage 14 to.")
    hf_license: str = _option("", "License of the uploaded models, as the hub names it, e.g. cc-by-4.0.")
    hf_args: str = _option("", 'Options for encrl publish in stage 15, e.g. "--dry_run true" or "--create_repo true".')

    asr: dict[str, str] = field(default_factory=dict)  # options that only asr.sh knows

    @classmethod
    def parse(cls, words: Sequence[str], asr_names: Sequence[str]) -> "Options":
        """Reads `--name value ...`, the recipe's own before the user's: later ones win.

        Args:
            words: of the command line.
            asr_names: names of the options of asr.sh (`words.read_asr_names`).

        Raises:
            UserError: an unknown option, or a value that cannot be.
        """
        options, own = cls(), {item.name: item for item in fields(cls) if item.name != "asr"}
        for place in range(0, len(words), 2):
            word = words[place]
            if not word.startswith("--") or "=" in word:
                said = "unexpected argument" if not word.startswith("--") else "got"
                raise UserError(f"options are of the form --name value; {said} '{word}'")
            name = word.removeprefix("--").replace("-", "_")
            if place + 1 == len(words):
                raise UserError(f"option {word} needs a value")
            value = words[place + 1]
            if name in own:
                setattr(options, name, _typed(name, value, own[name].type))
            elif name in MANAGED:
                raise UserError(f"--{name} is set by the recipe for each model; see --help for what to use instead")
            elif name in asr_names:
                options.asr[name] = value
            else:
                raise UserError(f"unknown option --{name}; {_near(name, [*own, *asr_names])} (see --help)")
        options.check()
        return options

    def check(self) -> None:
        """Completes defaults that depend on others.

        Raises:
            UserError: options that do not fit together.
        """
        for name in ("train_set", "valid_set", "test_sets", "students"):
            if not getattr(self, name):
                raise UserError(f"--{name} is empty")
        self.students = () if self.students == ("none",) else self.students
        if "teacher" in self.students:
            raise UserError("--students: teacher is the name of the teacher; give this student another one")
        if twice := next((name for name in self.students if self.students.count(name) > 1), None):
            raise UserError(f"--students: {twice} is named twice")
        for name, given, valid in (
            ("student_source", self.student_source, SOURCES),
            ("decoder", (self.decoder,), DECODERS),
            ("layer_selection", (self.layer_selection,), ("last", "first", "even")),
            ("on_change", (self.on_change or "fail",), ("redo", "keep", "fail")),
            ("teacher_cache_dtype", (self.teacher_cache_dtype,), ("float32", "int16", "int8")),
            ("bpemode", (self.bpemode,), ("unigram", "bpe")),
            ("token_type", (self.token_type,), ("bpe", "char", "word", "teacher")),
            *((name, (word,), ("true", "false")) for name, word in self.asr.items() if _SWITCH.match(name)),
        ):
            if wrong := [word for word in given if word not in valid]:
                raise UserError(f"--{name}: '{wrong[0]}' is not {', '.join(valid[:-1])} or {valid[-1]}")
        if self.token_type == "teacher" and not self.teacher:
            raise UserError(
                "--token_type teacher needs --teacher: a teacher that is trained here has the recipe's tokens"
            )
        if self.stage > LAST_STAGE:
            raise UserError(f"--stage {self.stage}: the last stage is {LAST_STAGE}, so nothing would be done")
        if self.stage > self.stop_stage:
            raise UserError(f"--stage {self.stage} is after --stop_stage {self.stop_stage}: nothing would be done")
        if self.stage > 5 and self.stop_stage < 10 and not self.has_language_model:
            raise UserError(
                "stages 6-9 make a language model: give --use_lm true or --use_ngram true; nothing would be done"
            )
        for name, path in (("dumpdir", self.dumpdir), ("expdir", self.expdir)):
            if not path or (found := _SPLIT.search(path)):
                raise UserError(
                    f"--{name} '{path}': {f'ESPnet takes {found[0]!r} in it for its own syntax' if path else 'empty'}; "
                    "give another directory"
                )
        if self.model_nj < 1 or self.nj < 1:
            raise UserError("--model_nj and --nj take a number of at least 1")
        if self.seed and not self.seed.isdigit():
            raise UserError(f"--seed takes a number, not '{self.seed}'")
        if not re.fullmatch(r"[1-9][0-9]*(\.[0-9]+)?k?", self.fs):
            raise UserError(f"--fs takes a sampling rate in Hz, e.g. 16000 or 16k, not '{self.fs}'")
        if self.decoder == "greedy" and self.inference_config:
            raise UserError("--inference_config needs --decoder beam, lexicon or espnet")
        if self.feats_type != "raw":
            raise UserError(f"--feats_type {self.feats_type}: EncRL computes features from audio; use raw")
        require_directory(self.conf_dir)
        for name in ("teacher", "encrl", "finetune", "scratch", "pseudo_label"):
            for path in getattr(self, f"{name}_config"):
                require_config(f"--{name}_config", path, self.conf_dir)
            if not getattr(self, f"{name}_config"):
                file = "pseudo_labels" if name == "pseudo_label" else name
                setattr(self, f"{name}_config", (f"{self.conf_dir}/{file}.yaml",))
        self._check_labels()
        self.inference_nj = self.inference_nj or self.nj
        if self.decoder == "espnet":
            self.inference_config = self.inference_config or f"{self.conf_dir}/decode.yaml"
        if self.inference_config:
            require_config("--inference_config", self.inference_config, self.conf_dir)

    def _check_labels(self) -> None:
        """Checks which sets the teacher transcribes; tokens are made of its text where there is no other."""
        if wrong := next((name for name in self.pseudo_label_sets if name in self.test_sets), None):
            raise UserError(
                f"--pseudo_label_sets: {wrong} is one of --test_sets; scored by the teacher's own text, it measures "
                "nothing: leave it out of one of them"
            )
        if self.labels_itself and not self.teacher:
            raise UserError(
                f"--pseudo_label_sets: {self.labels_itself[0]} cannot train the teacher that transcribes it; give a "
                "--teacher that is there"
            )
        if self.train_set in self.labels_itself:
            for name in ("bpe_train_text", "lm_train_text"):
                if self.asr.get(name, f"data/{self.train_set}/text") == f"data/{self.train_set}/text":
                    self.asr[name] = str(self.data / (self.train_set + self.sp) / "text")

    @property
    def labels_itself(self) -> list[str]:
        """Training and validation set, where the teacher transcribes them."""
        return [name for name in (self.train_set, self.valid_set) if name in self.pseudo_label_sets]

    @property
    def labels_more(self) -> list[str]:
        """Sets that join the training set with the text of the teacher."""
        return [name for name in dict.fromkeys(self.pseudo_label_sets) if name not in self.labels_itself]

    def located(self, path: str) -> str:
        """Returns the file, or `FILE#SECTION`, that the path of a configuration stands for."""
        return locate(path, self.conf_dir)

    def student_config(self, name: str) -> str:
        """Returns the file, or `FILE#SECTION`, that describes a student."""
        return locate(f"{self.conf_dir}/{name}.yaml", self.conf_dir, student=True)

    def covers(self, first: int, last: int | None = None) -> bool:
        """Whether the run touches stages `first` to `last`."""
        return self.stage <= (first if last is None else last) and self.stop_stage >= first

    @property
    def sp(self) -> str:
        """What asr.sh appends to names of sets and experiments with speed perturbation."""
        return "_sp" if self.speed_perturb_factors else ""

    @property
    def has_language_model(self) -> bool:
        """Whether stages 6-9 have something to do."""
        return "true" in (self.asr.get("use_lm"), self.asr.get("use_ngram"))

    @property
    def needs_teacher(self) -> bool:
        """Whether anything is made of the teacher; students from scratch are not, unless it writes their labels."""
        return not self.students or self.student_source != ("scratch",) or bool(self.pseudo_label_sets)

    @property
    def data(self) -> Path:
        """Directory of the formatted sets."""
        return Path(self.dumpdir, self.feats_type)

    @property
    def decoded_sets(self) -> list[str]:
        """The test sets, as asr.sh names their directories."""
        return [f"org/{name}" if name == self.valid_set else name for name in dict.fromkeys(self.test_sets)]


def _typed(name: str, value: str, kind: Any) -> Any:
    if kind is int:
        if not re.fullmatch(r"[0-9]+", value):
            raise UserError(f"--{name} takes a number, not '{value}'")
        return int(value)
    if kind is bool:
        if value not in ("true", "false"):
            raise UserError(f"--{name} takes true or false, not '{value}'")
        return value == "true"
    return tuple(value.split()) if kind is Words else value


def _near(name: str, valid: Sequence[str]) -> str:
    said = did_you_mean(name, valid)
    return f"did you mean --{said.split(chr(39))[1]}?" if said.startswith("did") else "there is none like it"
