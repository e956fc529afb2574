"""Stage 13 of asr.sh for a model's sets in one process: the same files, by ESPnet's tokenizers and sclite.

asr.sh starts ESPnet six times a set. Where sclite is not there or fails on a set, jiwer scores; the table says so.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from espnet_ext.data.sclite import fold_case, id_problem, text_problem
from espnet_ext.data.text import read_speakers, read_text
from espnet_ext.errors import UserError
from espnet_ext.score.by_jiwer import check_same_utterances, score_by_jiwer
from espnet_ext.score.results import SCLITE_FILE, identifier, read_sclite

KINDS = {"char": "cer", "word": "wer", "bpe": "ter"}


@dataclass(frozen=True)
class Texts:
    """How references and hypotheses are cut into what is counted, in the words of asr.sh.

    Attributes:
        bpemodel: a file: error rates of its tokens too.
        nlsyms_txt: list of non-linguistic symbols, which do not count.
        cleaner: of the references.
        hyp_cleaner: of the hypotheses.
        score_opts: options for sclite.
    """

    bpemodel: Path = Path("none")
    nlsyms_txt: str = "none"
    cleaner: str = "none"
    hyp_cleaner: str = "none"
    score_opts: str = ""


def score_sets(decode_dir: Path, data_dir: Path, names: list[str], texts: Texts) -> Iterator[str]:
    """Scores every set: <decode_dir>/<set>/score_wer, score_cer, and score_ter with a BPE model.

    Yields:
        Lines for the user.

    Raises:
        UserError: a set was not decoded, or of other utterances.
    """
    for name in names:
        data, decoded = data_dir / name, decode_dir / name
        for path in decoded.glob("score_*/result*"):
            path.unlink()
        failure = "sclite is not on PATH"
        if shutil.which("sclite"):
            failure = yield from _by_sclite(texts, data, decoded)
        if failure:
            for path in decoded.glob(f"score_*/{SCLITE_FILE}"):
                path.unlink()
            yield f"{name}: {failure}: scoring by jiwer, marked in the table"
            yield score_by_jiwer(data / "text", decoded)


def sclite_obstacle(references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str]) -> str | None:
    """Returns the first utterance that sclite would stumble over or miscount, and why; None where it counts all."""
    identifiers: dict[str, str] = {}
    for name in references:
        for kind, text in (("reference", references[name]), ("hypothesis", hypotheses[name])):
            if reason := text_problem(text):
                return f"{kind} of {name}: {reason}"
        known = identifier(name, speakers)
        if reason := id_problem(known):
            return f"{known}: {reason}"
        before = identifiers.setdefault(fold_case(known), name)
        if before != name:
            return f"{known}: the same identifier for sclite as that of {before}"
    return None


def _by_sclite(texts: Texts, data: Path, decoded: Path) -> Iterator[str]:
    """Scores one set; returns why that failed, "" where it did not."""
    references, hypotheses = read_text(data / "text"), read_text(decoded / "text")
    check_same_utterances(references, hypotheses, data / "text", decoded / "text")
    if obstacle := sclite_obstacle(references, hypotheses, read_speakers(data / "text", references)):
        return f"not by sclite: {obstacle}"
    speakers = [line.split() for line in (data / "utt2spk").read_text(encoding="utf-8").split("\n") if line]
    for kind, short in KINDS.items():
        if kind == "bpe" and not texts.bpemodel.is_file():
            continue
        folder = decoded / f"score_{short}"
        folder.mkdir(parents=True, exist_ok=True)
        for text, cleaner, name in (
            (data / "text", texts.cleaner, "ref"),
            (decoded / "text", texts.hyp_cleaner, "hyp"),
        ):
            words = _tokenize(texts, text, cleaner, kind, folder / f"{name}.words")
            if len(words) != len(speakers):
                raise UserError(
                    f"{text} has {len(words)} utterances, {data / 'utt2spk'} {len(speakers)}; decode this set again"
                )
            lines = [
                f"{said}\t({speaker}-{utterance})\n" for said, (utterance, speaker) in zip(words, speakers, strict=True)
            ]
            (folder / f"{name}.trn").write_text("".join(lines), encoding="utf-8")
        command = ["sclite", *texts.score_opts.split(), "-r", str(folder / "ref.trn"), "trn"]
        command += ["-h", str(folder / "hyp.trn"), "trn", "-i", "rm", "-o", "all", "stdout"]
        with (folder / SCLITE_FILE).open("wb") as output:
            status = subprocess.run(command, stdout=output, check=False).returncode
        if status:
            return f"sclite fails (exit status {status})"
        try:
            yield f"{decoded.name} {short}: {read_sclite(folder / SCLITE_FILE).wer:.2f} %"
        except UserError as error:
            return f"sclite fails: {error}"
    return ""


def _tokenize(texts: Texts, text: Path, cleaner: str, kind: str, temporary: Path) -> list[str]:
    """Returns the tokens of every line, by what asr.sh calls."""
    from espnet2.bin import tokenize_text

    words = ["-f", "2-", "--input", str(text), "--output", str(temporary), "--cleaner", cleaner, "--token_type", kind]
    if kind == "bpe":
        words += ["--bpemodel", str(texts.bpemodel)]
    else:
        words += ["--non_linguistic_symbols", texts.nlsyms_txt, "--remove_non_linguistic_symbols", "true"]
    tokenize_text.main(words)
    found = temporary.read_text(encoding="utf-8").split("\n")[:-1]
    temporary.unlink()
    return found
