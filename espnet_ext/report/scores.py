"""Word error counts of a decoded test set: sclite's `result.txt`, or the fallback scorer's `result_jiwer.json`."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet_ext.errors import UserError

JIWER_FILE = "result_jiwer.json"
_COUNT_ROW = re.compile(
    r"^\s*\|\s*Sum\s*\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\|", re.M
)


@dataclass(frozen=True)
class Score:
    """Counts over one test set. `words` counts the reference; `tool` is `sclite` or `jiwer`."""

    tool: str
    sentences: int
    words: int
    correct: int
    substitutions: int
    deletions: int
    insertions: int
    sentence_errors: int

    @property
    def wer(self) -> float:
        """Word error rate in percent: (substitutions + deletions + insertions) / reference words."""
        return self.percent(self.substitutions + self.deletions + self.insertions)

    def percent(self, words: int) -> float:
        """Returns a number of words as a percentage of the reference words."""
        return 100 * words / self.words

    def rows(self) -> list[float]:
        """Returns sclite's row in percent: Corr, Sub, Del, Ins, Err, S.Err."""
        words = [self.correct, self.substitutions, self.deletions, self.insertions]
        return [*map(self.percent, words), self.wer, 100 * self.sentence_errors / self.sentences]

    def to_json(self) -> str:
        """Returns the counts, with the error rate for the reader, as JSON."""
        return json.dumps(asdict(self) | {"error_rate_percent": round(self.wer, 4)}, indent=2) + "\n"


def read_sclite(path: Path) -> Score:
    """Reads the counts (`Sum` row of the raw table) of sclite's output; its percentages have only one decimal.

    Raises:
        UserError: The file has no such table, e.g. because sclite failed.
    """
    match = _COUNT_ROW.search(path.read_text(encoding="utf-8", errors="replace"))
    if match is None or int(match[2]) == 0:
        raise UserError(f"{path}: no table of sclite's counts in it; delete it and run stage 13 again")
    sentences, words, correct, sub, dele, ins, _, sentence_errors = map(int, match.groups())
    return Score("sclite", sentences, words, correct, sub, dele, ins, sentence_errors)


def read_jiwer(path: Path) -> Score:
    """Reads what `espnet_ext.bin.score` wrote.

    Raises:
        UserError: It is not that.
    """
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))
        del counts["error_rate_percent"]
        return Score(**counts)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not written by espnet_ext.bin.score; delete it and score again") from error


def find_score(decode_dir: Path, test_set: str) -> Score | None:
    """Returns the score of a test set, sclite's where there are both, None when it was not scored yet.

    Args:
        decode_dir: `exp/<model>/<inference_tag>`.
        test_set: Name of the set; ESPnet keeps the scores of the validation set below `org/`.
    """
    for folder in (decode_dir / test_set, decode_dir / "org" / test_set):
        if (folder / "score_wer" / "result.txt").is_file():
            return read_sclite(folder / "score_wer" / "result.txt")
        if (folder / "score_wer" / JIWER_FILE).is_file():
            return read_jiwer(folder / "score_wer" / JIWER_FILE)
    return None
