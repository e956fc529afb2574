"""Turns the rows of tables into runs of a recipe: each run once, after those whose models it needs."""

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from espnet_ext.config import check_keys, read_config
from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.experiments.matrix import Row, Table
from espnet_ext.report.scores import find_score_file


@dataclass(frozen=True)
class Corpus:
    """A recipe directory and what its `conf/experiments.yaml` says.

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
        """Reads the recipe's `conf/experiments.yaml`.

        Raises:
            UserError: No such recipe, or no such file in it.
        """
        if not (directory / "run.sh").is_file():
            raise UserError(f"--corpus: {directory}/run.sh does not exist; give the name of a directory in egs2")
        path = directory / "conf" / "experiments.yaml"
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


@dataclass(frozen=True)
class Model:
    """A trained model of a run, paths relative to the recipe directory."""

    name: str
    exp_dir: str
    file: str
    decode_dir: str


@dataclass
class Run:
    """One call of `run.sh`, stages 11 to 13.

    Attributes:
        corpus: where it runs.
        labels: rows that it serves, "table: label".
        options: of `run.sh`.
        after: runs whose models it needs.
        prune: options of `espnet_ext.bin.prune` to be called first, or none.
        is_outdated: its configurations have changed since, so that it goes on although everything is scored.
    """

    corpus: Corpus
    labels: list[str]
    options: dict[str, str]
    after: list["Run"] = field(default_factory=list)
    prune: list[str] = field(default_factory=list)
    is_outdated: bool = False

    @cached_property
    def listing(self) -> dict[str, Any]:
        """What `run.sh --list_models true` says of the run."""
        command = ["./run.sh", *self.arguments, "--list_models", "true"]
        result = subprocess.run(command, cwd=self.corpus.directory, capture_output=True, text=True, check=False)
        if result.returncode:
            raise UserError(f"{self.labels[0]}: {(result.stderr.strip() or result.stdout).splitlines()[-1]}")
        return yaml.safe_load(result.stdout[result.stdout.index("models:") :])

    @property
    def arguments(self) -> list[str]:
        """The options as words of a command line."""
        return [word for name, value in self.options.items() for word in (f"--{name}", value)]

    @property
    def models(self) -> list[Model]:
        """The models that the run trains or decodes, the teacher first."""
        keys = ("name", "exp_dir", "file", "decode_dir")
        return [Model(*(entry[key] for key in keys)) for entry in self.listing["models"]]

    def model(self, name: str) -> Model:
        """Returns the model of a name; of several with the same name, as with two sources, the last."""
        return [model for model in self.models if model.name == name][-1]

    @property
    def key(self) -> str:
        """A short name of the run that stays the same."""
        return hashlib.sha256("\0".join(self.arguments).encode()).hexdigest()[:10]

    def open_directories(self) -> set[str]:
        """Returns the experiment directories that the run still has to write; two runs must not share one."""
        is_open = {model.exp_dir for model in self.models if self.is_outdated or not self.is_scored(model)}
        if encrl := self.listing["encrl"]:
            trained = (self.corpus.directory / encrl["exp_dir"] / ".trained").is_file()
            is_open |= {encrl["exp_dir"]} if self.is_outdated or not trained else set()
        return is_open

    def compare_configurations(self) -> None:
        """Finds out whether a finished run `is_outdated`.

        Raises:
            UserError: a configuration has changed so that the training cannot go on.
        """
        from espnet_ext.prepare import Job, changed_options, merged_config

        root = self.corpus.directory
        override = {"seed": int(self.options["seed"])} if self.options.get("seed") else {}
        for entry in [*self.listing["models"], *filter(None, [self.listing["encrl"]])]:
            if not entry["configs"]:
                continue
            students = dict(student.split("=", 1) for student in entry.get("students", ()))
            job = Job(
                root / entry["exp_dir"],
                tuple(str(root / config) for config in entry["configs"]),
                tuple(f"{name}={root / config}" for name, config in students.items()),
            )
            if changed_options(job, merged_config(job) | override):
                self.is_outdated = True

    def is_scored(self, model: Model) -> bool:
        """Whether a model is decoded and scored on every test set, after its last change."""
        checkpoint = self.corpus.directory / model.exp_dir / model.file
        if not checkpoint.is_file():
            return False
        made_of = [checkpoint]
        if self.listing["inference_config"]:
            made_of.append(self.corpus.directory / self.listing["inference_config"])
        changed = max(path.stat().st_mtime for path in made_of)
        scores = [find_score_file(self.corpus.directory / model.decode_dir, name) for name in self.listing["test_sets"]]
        return all(score is not None and score.stat().st_mtime >= changed for score in scores)

    @property
    def is_done(self) -> bool:
        """Whether all of its models are scored, as they are configured now."""
        return not self.is_outdated and all(self.is_scored(model) for model in self.models)


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
        return self._of_row[table.name, row.label].model(row.model).decode_dir

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
