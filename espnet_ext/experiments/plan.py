"""Turns the rows of tables into runs of a recipe: each run once, after those whose models it needs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from espnet_ext.conf_dirs import REPOSITORY
from espnet_ext.config import check_keys, read_config
from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.experiments.matrix import Row, Table
from espnet_ext.recipe.lineage import checkpoint_digest
from espnet_ext.recipe.names import Model
from espnet_ext.recipe.options import Options
from espnet_ext.recipe.recipe import Recipe
from espnet_ext.recipe.train import Training, refused, trainings
from espnet_ext.recipe.words import espnet_file, read_asr_names, recipe_words
from espnet_ext.record import Record


@dataclass(frozen=True)
class Corpus:
    """A recipe directory and what its `conf/experiments.yaml` says, or the repository's where it has none.

    Attributes:
        directory: the recipe, e.g. egs2/mini_digits/encrl1.
        variants: by name, options of `run.sh` and parameters, e.g. {paper: {options: {conf_dir: conf/paper}}}.
        parameters: values for the templates in the options of rows, e.g. {kd_epochs: 9}; a variant may have its own.
    """

    directory: Path
    variants: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Any]

    @classmethod
    def read(cls, directory: Path) -> "Corpus":
        """Reads `conf/experiments.yaml`.

        Raises:
            UserError: No such recipe, or no such file in it.
        """
        if not (directory / "run.sh").is_file():
            raise UserError(f"--corpus: {directory}/run.sh does not exist; give the name of a directory in egs2")
        name = Path("conf", "experiments.yaml")
        path = next((root / name for root in (directory, REPOSITORY) if (root / name).is_file()), directory / name)
        config = read_config(path)
        check_keys(config, ("variants", "parameters"), path)
        for name, variant in (config.get("variants") or {}).items():
            check_keys(variant, ("options", "parameters"), f"{path}: {name}")
        return cls(directory, config.get("variants") or {}, config.get("parameters") or {})

    def variant(self, name: str) -> tuple[dict[str, str], dict[str, Any]]:
        """Returns the options and the parameters of a variant.

        Raises:
            UserError: There is no such variant.
        """
        if name not in self.variants:
            raise UserError(f"--variants: {self.directory.name} has no '{name}'; {did_you_mean(name, self.variants)}")
        variant = self.variants[name]
        options = {key: str(value) for key, value in (variant.get("options") or {}).items()}
        return options, {**self.parameters, **(variant.get("parameters") or {})}


@dataclass
class Run:
    """One call of `run.sh`, stages 11 to 13. The current directory is the recipe's.

    Attributes:
        corpus: where it runs.
        labels: rows that it serves, "table: label".
        options: of `run.sh`.
        after: runs whose models it needs.
        prune: options of `encrl derive pruned` to be called first, or none.
    """

    corpus: Corpus
    labels: list[str]
    options: dict[str, str]
    after: list["Run"] = field(default_factory=list)
    prune: list[str] = field(default_factory=list)

    @cached_property
    def recipe(self) -> Recipe:
        """The run itself."""
        words = [*recipe_words(Path("run.sh")), *self.arguments]
        try:
            return Recipe(Options.parse(words, read_asr_names(espnet_file("asr.sh"))))
        except UserError as error:
            raise UserError(f"{self.labels[0]}: {error}") from error

    @property
    def arguments(self) -> list[str]:
        """The options as words of a command line."""
        return [word for name, value in self.options.items() for word in (f"--{name}", value)]

    @property
    def models(self) -> list[Model]:
        """The models that the run trains or decodes, the teacher first."""
        return self.recipe.models

    def model(self, name: str) -> Model:
        """Returns the model of a name; of several with the same name, as with two sources, the last."""
        return [model for model in self.models if model.name == name][-1]

    def decode_dir(self, model: Model) -> Path:
        """Returns where a model is decoded."""
        return model.exp_dir / self.recipe.names.inference_tag

    @property
    def key(self) -> str:
        """A short name of the run that stays the same."""
        return hashlib.sha256("\0".join(self.arguments).encode()).hexdigest()[:10]

    def open_directories(self) -> set[str]:
        """Returns the experiment directories that the run still has to write; two runs must not share one."""
        todo = [training.exp_dir for training in trainings(self.recipe) if self._is_open(training)]
        return {str(path) for path in todo} | {str(model.exp_dir) for model in self.models if not self.is_scored(model)}

    def _is_open(self, training: Training) -> bool:
        record = Record.read(training.exp_dir)
        if record is None or not record.is_finished:
            return True
        now = training.made_of({}, {})
        return any(record.made_of[part] != now[part] for part in ("config", "arguments"))

    def check(self) -> None:
        """Raises a `UserError` where a configuration has changed so that a training cannot go on."""
        for training in trainings(self.recipe):
            refused(self.recipe, training, training.made_of({}, {}), ("config", "arguments"))

    def is_scored(self, model: Model) -> bool:
        """Whether a model, as it is now, is decoded and scored on every test set."""
        record = Record.read(self.decode_dir(model))
        if record is None or not record.is_finished or not model.checkpoint.is_file():
            return False
        same = record.made_of["decoding"]["model"] == checkpoint_digest(model.checkpoint)
        return same and set(self.recipe.options.decoded_sets) <= record.made_of["scoring"]["text"].keys()

    @property
    def is_done(self) -> bool:
        """Whether all of its models are scored, as they are configured now."""
        return not self.open_directories()


class Plan:
    """The runs of some tables for one variant and seed.

    Args:
        corpus: the recipe.
        tables: what to run.
        variant: name of a variant of the corpus.
        seed: of all trainings.
        extra: further options of `run.sh`.
    """

    def __init__(self, corpus: Corpus, tables: Sequence[Table], variant: str, seed: int, extra: Mapping[str, str]):
        self.corpus, self.variant, self.seed = corpus, variant, seed
        # Rows override what their tables or the user give in general, except for where the experiments are.
        self.base, self.parameters = corpus.variant(variant)
        self.base |= {"expdir": f"exp/{variant}_seed{seed}", "seed": str(seed), "results": ""} | dict(extra)
        self._runs: dict[str, Run] = {}
        self._of_row: dict[tuple[str, str], Run] = {}
        for table in tables:
            for row in table.rows:
                self._add(table, row, ())

    @property
    def runs(self) -> list[Run]:
        """Each run once, those that others need before them."""
        return list(self._runs.values())

    @property
    def preparation(self) -> dict[str, str]:
        """Options of the call that prepares data, tokens and statistics."""
        return {key: value for key, value in self.base.items() if key != "results"}

    def decode_dir(self, table: Table, row: Row) -> str:
        """Returns the directory of a row's decoding results, relative to the recipe directory."""
        run = self._of_row[table.name, row.label]
        return str(run.decode_dir(run.model(row.model)))

    def run(self, table: Table, row: Row) -> Run:
        """Returns the run that a row needs."""
        return self._of_row[table.name, row.label]

    def _add(self, table: Table, row: Row, seen: tuple[str, ...]) -> Run:
        if row.label in seen:
            raise UserError(f"{table.name}: {' -> '.join([*seen, row.label])}: rows cannot be teachers of each other")
        if (table.name, row.label) in self._of_row:
            return self._of_row[table.name, row.label]
        options = self.base | {key: self._fill(value, table, row) for key, value in row.options.items()}
        options["students"] = row.students or "none"
        after, prune = [], []
        if row.teacher or row.prune:
            base = table.row(row.teacher) if row.teacher else Row("the teacher", model="teacher")
            after.append(self._add(table, base, (*seen, row.label)))
            source = after[0].model(base.model)
            options["teacher"] = f"{source.exp_dir}/{source.file}"
            if row.prune:
                output, prune = self._prune(row, options["teacher"])
                options["teacher"] = output
        run = Run(self.corpus, [], options, after, prune)
        run = self._runs.setdefault(run.key, run)
        run.labels.append(f"{table.name}: {row.label}")
        self._of_row[table.name, row.label] = run
        return run

    def _prune(self, row: Row, source: str) -> tuple[str, list[str]]:
        modules = str(row.prune.get("modules", "feed_forward self_attn conv")).split()
        amount = str(row.prune["amount"])
        output = f"{self.base['expdir']}/pruned_{amount}_{'_'.join(modules)}"
        command = ["--source", source, "--amount", amount, "--output_dir", output, "--modules", *modules]
        return output, [*command, "--weights_only", str(self.parameters.get("prune_weights_only", True)).lower()]

    def _fill(self, value: str, table: Table, row: Row) -> str:
        known = {"conf": self.base.get("conf_dir", "conf"), **self.parameters}
        try:
            return value.format(**known)
        except KeyError as error:
            raise UserError(
                f"{table.name}: {row.label}: '{value}' needs the parameter {error}; "
                f"give it in {self.corpus.directory / 'conf' / 'experiments.yaml'}"
            ) from error
