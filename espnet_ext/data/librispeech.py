"""Checks splits of LibriSpeech in the official layout, before anything is prepared from them.

<root>/SPEAKERS.TXT                                      <reader> | <sex> | ...
<root>/<split>/<reader>/<chapter>/<reader>-<chapter>.trans.txt   <utterance id> <WORDS>
<root>/<split>/<reader>/<chapter>/<utterance id>.flac
"""

from collections.abc import Iterator
from pathlib import Path

from espnet_ext.data.findings import Findings
from espnet_ext.data.tables import read_table
from espnet_ext.errors import UserError


def read_speakers(root: Path) -> set[str]:
    """Returns the readers whose sex SPEAKERS.TXT gives, which the data preparation of ESPnet asks for.

    Raises:
        UserError: The file is missing.
    """
    path = root / "SPEAKERS.TXT"
    if not path.is_file():
        raise UserError(f"{path} does not exist; it is in every archive of OpenSLR 12, unpack one there")
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        rows = [line.split("|") for line in lines]
    return {row[0].strip() for row in rows if len(row) > 1 and row[1].strip() in ("M", "F")}


def check_splits(split_dirs: list[Path]) -> Iterator[tuple[Path, Findings]]:
    """Compares the transcripts of splits with their audio files, and their ids with one another.

    Yields:
        Each split, and what was found.

    Raises:
        UserError: SPEAKERS.TXT is missing.
    """
    seen: dict[str, Path] = {}
    for split in split_dirs:
        yield split, check_split(split, read_speakers(split.parent), seen)


def check_split(split_dir: Path, speakers: set[str], seen: dict[str, Path]) -> Findings:
    """Compares the transcripts of a split with its audio files.

    Args:
        split_dir: E.g. `LibriSpeech/dev-clean`.
        speakers: Readers of SPEAKERS.TXT.
        seen: Transcript file with ids of each `<reader>-<chapter>`, of the splits checked before; gets this split's.
    """
    findings = Findings()
    if not split_dir.is_dir():
        findings.error(f"{split_dir} does not exist; unpack its archive of OpenSLR 12 there")
        return findings
    for reader_dir in _directories(split_dir, findings):
        if reader_dir.name not in speakers:
            findings.error(f"{split_dir.parent / 'SPEAKERS.TXT'}: no reader {reader_dir.name}; restore the file")
        for chapter_dir in _directories(reader_dir, findings):
            _check_chapter(chapter_dir, seen, findings)
    if not findings.num_utts and not findings.errors:
        findings.error(f"{split_dir}: no utterance; unpack its archive of OpenSLR 12 again")
    return findings


def _directories(directory: Path, findings: Findings) -> list[Path]:
    """Returns the subdirectories, whose names are numbers."""
    inside = [path for path in sorted(directory.iterdir()) if path.is_dir()]
    for path in inside:
        if not path.name.isdecimal():
            findings.error(f"{path}: unexpected directory; move it away")
    return [path for path in inside if path.name.isdecimal()]


def _check_chapter(chapter_dir: Path, seen: dict[str, Path], findings: Findings) -> None:
    transcripts = chapter_dir / f"{chapter_dir.parent.name}-{chapter_dir.name}.trans.txt"
    if not transcripts.is_file():
        findings.error(f"{transcripts} does not exist; unpack the archive again, or remove {chapter_dir}")
        return
    text = read_table(transcripts, findings)
    audio = {path.stem for path in chapter_dir.glob("*.flac")}
    findings.num_utts += len(text)
    for utterance in text:
        if utterance not in audio:
            findings.error(
                f"{transcripts}: {utterance}: transcript without audio ({utterance}.flac); restore it, or remove "
                "the line"
            )
    for utterance in sorted(audio - text.keys()):
        findings.error(
            f"{chapter_dir / utterance}.flac: audio without transcript; add its line to {transcripts.name}, or "
            "remove it"
        )
    # Only files with ids of the same chapter can have ids in common; they are read again, not kept.
    for chapter in {utterance.rpartition("-")[0] for utterance in text}:
        before = seen.setdefault(chapter, transcripts)
        if before != transcripts:
            for utterance in read_table(before, Findings()).keys() & text.keys():
                findings.error(f"{transcripts}: utterance id {utterance} comes twice (also in {before}); keep one")
