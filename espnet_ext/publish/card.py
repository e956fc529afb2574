"""The model card: what a model is, how good it is, what it cost, what it cannot do, and how to use it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from espnet_ext.autoload import ENCODERS
from espnet_ext.errors import UserError
from espnet_ext.publish.snippets import CITATION, ESPNET, ONNX, PAPER, SHERPA
from espnet_ext.report.escape import markdown, markdown_code
from espnet_ext.report.markdown import bullets, layout
from espnet_ext.report.notes import notes
from espnet_ext.report.results import Results
from espnet_ext.report.size import sample_rate
from espnet_ext.report.system import System
from espnet_ext.report.table import cost_table, error_table, main_table
from espnet_ext.score.results import KINDS

NO_LICENSE = "FILL IN"
_TASK = "automatic-speech-recognition"


@dataclass(frozen=True)
class Facts:
    """What nothing but its owner knows of a model.

    Attributes:
        repo: `user/name`.
        license: as the hub names it, e.g. `cc-by-4.0`; None while it is not chosen.
        language: code of the speech's, e.g. `en`; None where not known.
        datasets: what it was trained on: names on the hub, or words.
        base_model: the teacher on the hub, `user/name`; None if it is not there.
        project_url: where the code that made it is; None to name no place.
    """

    repo: str
    license: str | None = None
    language: str | None = None
    datasets: tuple[str, ...] = ()
    base_model: str | None = None
    project_url: str | None = None

    def __post_init__(self):
        """Checks what the hub would refuse, before any work.

        Raises:
            UserError: names the option.
        """
        if self.repo.count("/") != 1 or not is_hub_name(self.repo):
            raise UserError(f"--repo {self.repo}: give user/name")
        # The lists themselves are the hub's; it checks them when the card arrives.
        if self.license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", self.license):
            raise UserError(
                f"--license {self.license!r}: give the name that the hub uses, e.g. cc-by-4.0, apache-2.0 or other"
            )
        if self.language is not None and not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*|multilingual", self.language):
            raise UserError(f"--language {self.language!r}: give the code of a language, e.g. en, or multilingual")
        if self.base_model is not None and not is_hub_name(self.base_model):
            raise UserError(f"--base_model {self.base_model!r}: give the teacher's name on the hub, user/name")
        if self.project_url is not None and not re.fullmatch(r"https?://[^\s<>()\[\]`|\\]+", self.project_url):
            raise UserError(f"--project_url {self.project_url!r}: give an address that begins with https://")


def is_hub_name(name: str) -> bool:
    """Tells whether a name can be one of the hub's: `name` or `user/name`."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def card_data(results: Results, student: System, facts: Facts) -> ModelCardData:
    """Returns the card's metadata."""
    run = student.runs[0]
    name_on_hub = facts.repo.split("/")[1]
    words = facts.datasets[0] if facts.datasets else name_on_hub
    datasets = [name for name in facts.datasets if is_hub_name(name)]
    dataset = datasets[0] if datasets else name_on_hub  # here the hub takes no words
    scores = [
        # Without the split the sets would be merged into one.
        EvalResult(_TASK, dataset, f"{words} {name}", kind, round(score.wer, 2), dataset_split=name)
        for name in results.test_sets
        for kind in KINDS
        if (score := run.scores[name][kind]) is not None
    ]
    return ModelCardData(
        language=facts.language,
        license=facts.license or NO_LICENSE,
        library_name="espnet",
        pipeline_tag=_TASK,
        tags=["espnet", "audio", _TASK, "ctc", "knowledge-distillation"],
        datasets=datasets or None,
        metrics=[kind for kind in KINDS if any(score.metric_type == kind for score in scores)] or None,
        base_model=facts.base_model,
        model_name=run.exp_dir.name,
        eval_results=scores or None,
    )


def make_card(
    results: Results, student: System, facts: Facts, config: Mapping[str, Any], files: list[str], teacher: Path | None
) -> str:
    """Returns README.md of the repository.

    Args:
        results: the student and what it is compared with.
        student: the row of the model.
        facts: of the owner.
        config: of its training.
        files: paths in the repository.
        teacher: its experiment directory; None for a model without one.

    Raises:
        UserError: the hub's library does not read the metadata as they were meant.
    """
    made_with = f"[espnet_ext]({facts.project_url})" if facts.project_url else "espnet_ext"
    size = f" of {student.parameters / 1e6:.2f} million parameters" if student.parameters else ""
    origin = "trained without a teacher"
    if teacher is not None:
        origin = f"made from a larger one: the teacher was {markdown_code(teacher.name)}"
    parts = [
        f"# {markdown(facts.repo.split('/')[1])}",
        f"A CTC speech recogniser{size}, {origin}. "
        f"Trained with [ESPnet](https://github.com/espnet/espnet) and {made_with}, after {PAPER}.",
        "## Results",
        layout(main_table(results)),
        markdown(results.decoding),
        bullets(notes(results)),
    ]
    for name in results.test_sets:
        parts += [f"### {markdown(name)}: percent of words, by kind of error", layout(error_table(results, name))]
    parts += ["## Training cost", layout(cost_table(results)), "## Limitations"]
    parts.append(bullets(limitations(results, facts, sample_rate(config), teacher is not None)))
    parts += [f"## Use\n\n{_use(facts.repo, config, files)}", f"## Citation\n\n{CITATION}"]
    data = card_data(results, student, facts)
    card = ModelCard("\n\n".join([f"---\n{data.to_yaml()}\n---", *parts]) + "\n")
    if card.data.to_dict() != data.to_dict():
        raise UserError(f"the metadata of the model card are read otherwise than they were written:\n{data.to_yaml()}")
    return str(card)


def limitations(results: Results, facts: Facts, rate: int, has_teacher: bool) -> list[str]:
    """Returns what a user of the model should not expect, as lines of plain text.

    Args:
        results: what was measured.
        facts: of the owner.
        rate: of the audio, Hz.
        has_teacher: it was made from another model.
    """
    trained = f" It was trained on {', '.join(facts.datasets)}." if facts.datasets else ""
    lines = [
        f"It was tested on {', '.join(results.test_sets)} only.{trained} Other languages, accents, microphones and "
        "noise can give many more errors.",
        "It writes words in the spelling of its training transcripts. What these lack, it cannot write: often "
        "capitals, punctuation and digits.",
        "It does not tell speech from other sound. Noise or music can come out as words.",
        f"It takes audio of one channel at {rate} Hz, whole utterances at a time. It does not stream.",
    ]
    if has_teacher:
        lines.append("It learnt from another model and can repeat that model's mistakes.")
    if facts.license:
        lines.append(f"The licence is {facts.license}. The data it was trained on may have terms of their own.")
    return lines


def _use(repo: str, config: Mapping[str, Any], files: list[str]) -> str:
    needed = ", where espnet_ext is installed too" if config["encoder"] in ENCODERS else ", nothing else is needed"
    use = ESPNET.format(repo=repo, needed=needed, sample_rate=sample_rate(config))
    onnx = next((f"model{kind}.onnx" for kind in (".int8", "") if f"onnx/model{kind}.onnx" in files), None)
    if onnx:
        use += ONNX.format(repo=repo, file=onnx, sample_rate=sample_rate(config))
    if any(file.startswith("onnx/sherpa_onnx/") for file in files):
        use += SHERPA
    return use.rstrip("\n")
