"""Error counts of a decoded test set: sclite's `result.txt`, or the fallback scorer's `result_jiwer.json`."""

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from espnet_ext.data.sclite import fold_case
from espnet_ext.errors import UserError

SCLITE_FILE, JIWER_FILE = "result.txt", "result_jiwer.json"
KINDS = ("wer", "cer")  # word and character error rate: the folders score_wer and score_cer
_COUNT_ROW = re.compile(
    r"^\s*\|\s*Sum\s*\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\|", re.M
)
# The speaker is in the heading of a block, as an identifier may hold several hyphens.
_ALIGNMENT = re.compile(
    r"^Speaker sentences\s+\d+:\s+(?P<speaker>.+?)\s+#utts: \d+\s*$"
    r"|^id: \((?P<name>.+)\)\s*\nScores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)\s*$",
    re.M,
)


class Utterance(NamedTuple):
    """Counts of one utterance; `speaker` is None where it is not known."""

    speaker: str | None
    correct: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def words(self) -> int:
        """Words (characters) of the reference."""
        return self.correct + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class Score:
    """Counts over one test set. `words` counts the reference; `tool` is `sclite` or `jiwer`.

    For a character error rate the words are characters. `utterances` holds the counts of each utterance by sclite's
    identifier `speaker-utterance` with ASCII letters in lower case, None where the file has only the sums.
    """

    tool: str
    sentences: int
    words: int
    correct: int
    substitutions: int
    deletions: int
    insertions: int
    sentence_errors: int
    utterances: dict[str, Utterance] | None = None

    @property
    def wer(self) -> float:
        """Error rate in percent: (substitutions + deletions + insertions) / reference words (characters)."""
        return self.percent(self.substitutions + self.deletions + self.insertions)

    def percent(self, words: int) -> float:
        """Returns a number of words as a percentage of the reference words."""
        return 100 * words / self.words

    def to_json(self) -> str:
        """Returns the counts, with the error rate for the reader, as JSON with a line for every utterance."""
        counts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "utterances"}
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in counts.items()]
        lines.append(f'  "error_rate_percent": {round(self.wer, 4)}')
        if self.utterances is not None:
            rows = [f"    {json.dumps(name)}: {json.dumps(counts)}" for name, counts in self.utterances.items()]
            lines.append('  "utterances": {\n' + ",\n".join(rows) + "\n  }")
        return "{\n" + ",\n".join(lines) + "\n}\n"


def identifier(name: str, speakers: dict[str, str]) -> str:
    """Returns what asr.sh calls an utterance for sclite: `speaker-utterance`, its name where speakers are not known."""
    return f"{speakers[name]}-{name}" if speakers else name


def sclite_speaker(name: str) -> str:
    """Returns the speaker of an identifier `speaker-utterance`, as sclite's `-i rm` does: up to the first hyphen.

    So the chapters of one LibriSpeech reader, which are ESPnet's speakers there, count as one speaker.
    """
    return name.partition("-")[0]


def read_sclite(path: Path) -> Score:
    """Reads sclite's output: the `Sum` row of the raw table, and the counts of every alignment (`sclite -o all`).

    The percentages of that file are not used; they have only one decimal.

    Raises:
        UserError: The file has no such table, e.g. because sclite failed, or its end is missing.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    match = _COUNT_ROW.search(text)
    if match is None or int(match[2]) == 0:
        raise UserError(f"{path}: no table of sclite's counts in it; delete it and run stage 13 again")
    sentences, words, correct, sub, dele, ins, _, sentence_errors = map(int, match.groups())

    utterances: dict[str, Utterance] = {}
    speaker = None
    for block in _ALIGNMENT.finditer(text):
        if block["name"] is None:
            speaker = fold_case(block["speaker"])
        else:
            utterances[fold_case(block["name"])] = Utterance(speaker, *map(int, block.groups()[2:]))
    score = Score("sclite", sentences, words, correct, sub, dele, ins, sentence_errors, utterances or None)
    return _checked(score, path)


def read_jiwer(path: Path) -> Score:
    """Reads what `score_by_jiwer` wrote.

    Raises:
        UserError: It is not that.
    """
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
        del counts["error_rate_percent"]
        if (utterances := counts.get("utterances")) is not None:
            counts["utterances"] = {name: Utterance(*values) for name, values in utterances.items()}
        return _checked(Score(**counts), path)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not written by this program; delete it and score again (stage 13)") from error


def _checked(score: Score, path: Path) -> Score:
    """Returns the score if its utterances sum up to its totals."""
    if score.utterances is not None:
        parts = ("words", "correct", "substitutions", "deletions", "insertions")
        sums = [sum(getattr(utterance, part) for utterance in score.utterances.values()) for part in parts]
        if (len(score.utterances), *sums) != (score.sentences, *(getattr(score, part) for part in parts)):
            raise UserError(
                f"{path}: the counts of its {len(score.utterances)} utterances do not sum up to its total of "
                f"{score.sentences} sentences, so its end is missing; delete it and run stage 13 again"
            )
    return score


def find_score_file(decode_dir: Path, test_set: str, kind: str = "wer") -> Path | None:
    """Returns the newest file with the score of a test set, sclite's or jiwer's; None when it was not scored yet.

    Args:
        decode_dir: `exp/<model>/<inference_tag>`.
        test_set: Name of the set; ESPnet keeps the scores of the validation set below `org/`.
        kind: `wer` or `cer`.
    """
    folders = (decode_dir / test_set / f"score_{kind}", decode_dir / "org" / test_set / f"score_{kind}")
    files = [folder / name for folder in folders for name in (SCLITE_FILE, JIWER_FILE) if (folder / name).is_file()]
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


def find_score(decode_dir: Path, test_set: str, kind: str = "wer") -> Score | None:
    """Returns what `find_score_file` finds."""
    file = find_score_file(decode_dir, test_set, kind)
    if file is None:
        return None
    return read_sclite(file) if file.name == SCLITE_FILE else read_jiwer(file)
