"""Checks of the transcripts that criteria need, see `espnet_ext.data.text.complete_text` for utterances without."""

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.fileio.read_text import read_2columns_text

from espnet_ext.constants import BLANK_ID
from espnet_ext.encrl.criteria import Criterion
from espnet_ext.errors import UserError, did_you_mean


def check_selection(select_by: str, criteria: Iterable[Criterion]) -> None:
    """Checks that a validation gives what students are selected by.

    Raises:
        UserError: it does not.
    """
    valid = ["loss", "cer_ctc", *(criterion.name for criterion in criteria)]
    if select_by not in valid:
        raise UserError(f"select_by: a validation has no '{select_by}'; {did_you_mean(select_by, valid)}")


def check_text(args: Namespace, criteria: Iterable[Criterion]) -> None:
    """Checks the transcripts of training and validation, before anything is computed.

    Args:
        args: options of the training; without data, and where statistics are collected, nothing is checked.
        criteria: that are trained by.

    Raises:
        UserError: a criterion needs transcripts and there are none, or utterances are missing in a `text`.
    """
    criteria = list(criteria)
    for part in ("train", "valid"):
        listed = getattr(args, f"{part}_data_path_and_name_and_type", None) or ()
        files = {name: (Path(path), kind) for path, name, kind in listed}
        if not listed or args.collect_stats:
            continue
        needs = [f"criterion '{criterion.name}'" for criterion in criteria if criterion.needs_text]
        needs += ["select_by: cer_ctc"] if part == "valid" and getattr(args, "select_by", None) == "cer_ctc" else []
        option = f"--{part}_data_path_and_name_and_type"
        if "text" not in files:
            if needs:
                raise UserError(f"{needs[0]} needs transcripts: give them, too, as {option} FILE,text,text")
            continue
        (text, kind), (speech, _) = files["text"], files["speech"]
        if kind != "text":
            continue  # numbers of tokens, which ESPnet's loader checks
        texts, names = read_2columns_text(text), list(read_2columns_text(speech))
        if missing := [name for name in names if name not in texts]:
            raise UserError(
                f"{text} lacks {len(missing)} utterances of {speech}, e.g. {missing[0]}; an utterance without "
                "transcript has a line with its name alone"
            )
        if needs and not any(texts[name] for name in names):
            raise UserError(f"{needs[0]} needs transcripts, and {text} has none: each line is a name alone")


def check_ctc(name: str, student: ESPnetASRModel, criteria: Iterable[Criterion]) -> None:
    """Checks that the loss on transcripts is what ESPnet's finetuning of the student would compute.

    Raises:
        UserError: the student is configured with another kind of CTC, or without what makes two views of its audio.
    """
    criteria = list(criteria)
    if student.specaug is None and (views := [criterion.name for criterion in criteria if criterion.needs_views]):
        raise UserError(
            f"student {name}: criterion '{views[0]}' compares two draws of SpecAugment, and there is none; set specaug"
        )
    if not any(criterion.needs_text for criterion in criteria):
        return
    if student.ctc.ctc_type != "builtin" or student.ctc.dropout_rate:
        raise UserError(
            f"student {name}: criteria on text are plain CTC; leave ctc_type and dropout_rate out of ctc_conf"
        )
    if student.blank_id != BLANK_ID:
        raise UserError(f"student {name}: its blank is token {student.blank_id}, and CTC needs it first in the list")
