"""Kaldi's files of `utterance-id word word ...` lines, as one dictionary."""

from pathlib import Path

from espnet_ext.data.tables import read_lines
from espnet_ext.errors import UserError
from espnet_ext.files import atomic


def read_text(path: Path) -> dict[str, str]:
    """Reads `utterance-id word word ...` lines; an utterance may have no words. Blanks are made single.

    Raises:
        UserError: No such file, or an utterance occurs twice.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; prepare the data (stages 1-5) or decode this set (stage 12)")
    texts: dict[str, str] = {}
    for number, line in read_lines(path):
        words = line.split()
        if not words:
            continue
        if words[0] in texts:
            raise UserError(f"{path}:{number}: utterance {words[0]} occurs twice; decode this set again (stage 12)")
        texts[words[0]] = " ".join(words[1:])
    return texts


def read_speakers(ref: Path, references: dict[str, str]) -> dict[str, str]:
    """Returns the speaker of every utterance by `utt2spk` beside the reference text, nothing where that is not there.

    Raises:
        UserError: It lacks an utterance.
    """
    path = ref.with_name("utt2spk")
    if not path.is_file():
        return {}
    speakers = read_text(path)
    missing = next((name for name in references if not speakers.get(name)), None)
    if missing is not None:
        raise UserError(f"{path}: no speaker of utterance {missing}; prepare the data again (stages 1-5)")
    return speakers


def complete_text(text: Path | None, scp: Path, output: Path) -> None:
    """Writes transcripts of all utterances of a list, as ESPnet's loader needs them.

    Those without a transcript get a line with their name alone. Stage 4 of asr.sh leaves out utterances whose
    transcript is empty, so such a line means nothing else.

    Args:
        text: transcripts of some of the utterances; None: of none.
        scp: the list, wav.scp.
        output: the file to write.
    """
    known = {} if text is None else read_text(text)
    with atomic(output) as temporary, temporary.open("w", encoding="utf-8") as file:
        for _, line in read_lines(scp):
            name = line.split()[0]
            file.write(f"{name} {known.get(name, '')}".rstrip() + "\n")
