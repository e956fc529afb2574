"""Checks splits of TED-LIUM 3 in the official layout, before anything is prepared from them.

<root>/<legacy or speaker-adaptation>/<split>/stm/<talk>.stm   <talk> <channel> <speaker> <start> <end> <label> <words>
<root>/<legacy or speaker-adaptation>/<split>/sph/<talk>.sph   NIST SPHERE, 16-bit PCM

A label is `<...>`, for sclite with blanks or without. ESPnet's prepare_data.sh takes the sixth word for it and makes
words of the rest, so it gets lines that `plain_line` wrote.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from espnet_ext.data.findings import Count, Findings
from espnet_ext.data.headers import read_headers
from espnet_ext.data.segments import MAX_OVERRUN_SEC, read_seconds
from espnet_ext.data.tables import bad_character, read_lines
from espnet_ext.errors import UserError

_IGNORED = "ignore_time_segment_in_scoring"
_COMMENT = ";;"
_BYTES = "surrogateescape"  # what is ignored in scoring may be in any encoding
_FIELDS = re.compile(r"\s*(?P<place>(?:\S+\s+){5})(?P<label><[^<>]*>)(?P<words>.*)")
# prepare_data.sh makes segments of the training set 0.1 s longer, rounded to 0.01 s.
_MAX_STM_OVERRUN_SEC = MAX_OVERRUN_SEC - 0.11


@dataclass(frozen=True)
class Segment:
    """A line of an .stm file that is used.

    Attributes:
        place: File and line, for messages.
        talk: Name of the recording.
        start_sec: Begin in the recording.
        end_sec: End in the recording.
        line: The whole line.
    """

    place: str
    talk: str
    start_sec: float
    end_sec: float
    line: str

    @property
    def utterance(self) -> str:
        """The id that ESPnet's prepare_data.sh makes: times in 1/100 s, cut, not rounded."""
        return f"{self.talk}-{int(self.start_sec * 100):07d}-{int(self.end_sec * 100):07d}"


def _is_used(line: str) -> bool:
    return bool(line.strip()) and _IGNORED not in line and _COMMENT not in line


def plain_line(line: str) -> str:
    """Returns a line of an .stm file whose label is one word: without blanks in it, and with one after it."""
    fields = _FIELDS.match(line)
    if not fields or not _is_used(line):
        return line
    blank = "" if fields["words"][:1].isspace() else " "
    return fields["place"] + re.sub(r"\s", "", fields["label"]) + blank + fields["words"]


def read_stm(path: Path, findings: Findings) -> Iterator[Segment]:
    """Yields the segments of a talk, without those that are ignored in scoring; bad lines become errors."""
    for number, line in read_lines(path, _BYTES):
        if not _is_used(line):
            continue
        place = f"{path}, line {number}"
        fields = _FIELDS.match(line)
        try:
            if not fields:
                raise ValueError(line)
            talk, _, _, start, end = fields["place"].split()
            segment = Segment(place, talk, read_seconds(start), read_seconds(end), line)
        except ValueError:
            findings.error(
                f"{place}: expected '<talk> <channel> <speaker> <start> <end> <label> <words>', a label such as "
                f"<o,f0,male> and times in seconds, found '{line[:60]}'"
            )
            continue
        if line.encode("utf-8", "replace") != line.encode("utf-8", _BYTES):
            findings.error(f"{place}: not UTF-8; convert the file with iconv")
        elif problem := bad_character(line):
            findings.error(f"{place}: {problem.replace('FILE', str(path))}")
        elif "-" in talk:
            findings.error(f"{place}: the talk '{talk}' has a hyphen, at which prepare_data.sh splits it; rename it")
        else:
            yield segment


def check_split(split_dir: Path, nj: int = 4) -> Findings:
    """Compares the .stm files of a split with its audio: names, times and ids.

    Args:
        split_dir: E.g. `TEDLIUM_release-3/legacy/dev`.
        nj: Files read at the same time.
    """
    findings = Findings()
    stm_files, sph_files = (_files(split_dir, kind, findings) for kind in ("stm", "sph"))
    if findings.errors:
        return findings
    entries = ((talk, str(path)) for talk, path in sph_files.items())
    lengths = {
        talk: audio.seconds
        for talk, _, audio in read_headers(entries, nj, str(split_dir), findings)
        if audio is not None
    }
    for talk, path in sph_files.items():
        if talk not in stm_files:
            findings.error(f"{path}: audio without transcript (stm/{talk}.stm); restore it, or remove the audio")
    overruns = Count()
    for talk, path in stm_files.items():
        if talk not in sph_files:
            findings.error(_without_audio(split_dir, talk))
        _check_talk(talk, list(read_stm(path, findings)), split_dir, sph_files, lengths, overruns, findings)
    if overruns.number:
        findings.warnings.append(
            f"{overruns.number} segments end after the audio and are cut there, e.g. {overruns.example}"
        )
    return findings


def write_plain_stm(split_dir: Path, output_dir: Path) -> None:
    """Writes the .stm files of a checked split as ESPnet's prepare_data.sh reads them right.

    Args:
        split_dir: E.g. `TEDLIUM_release-3/legacy/dev`.
        output_dir: Gets the files, by the same names; it must not exist.

    Raises:
        UserError: `output_dir` exists.
    """
    try:
        output_dir.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError(f"{output_dir} exists; remove it, or give another directory") from error
    for path in _files(split_dir, "stm", Findings()).values():
        with (output_dir / path.name).open("w", encoding="utf-8", errors=_BYTES, newline="\n") as file:
            file.writelines(plain_line(line) + "\n" for _, line in read_lines(path, _BYTES))


def _files(split_dir: Path, kind: str, findings: Findings) -> dict[str, Path]:
    """Returns the files of split_dir/kind by talk."""
    files = {path.stem: path for path in sorted((split_dir / kind).glob(f"*.{kind}")) if path.name[0] != "."}
    if not files:
        findings.error(f"{split_dir / kind}: no .{kind} file; unpack TEDLIUM_release-3.tgz of OpenSLR 51 again")
    return files


def _without_audio(split_dir: Path, talk: str) -> str:
    return (
        f"{split_dir / 'stm'}: {talk}: transcript without audio (sph/{talk}.sph); restore it, or remove the transcript"
    )


def _check_talk(
    talk: str,
    segments: list[Segment],
    split_dir: Path,
    sph_files: dict[str, Path],
    lengths: dict[str, float],
    overruns: Count,
    findings: Findings,
) -> None:
    """Checks the segments of one .stm file."""
    findings.num_utts += len(segments)
    first: dict[str, Segment] = {}
    for segment in segments:
        if segment.talk != talk:
            findings.error(
                f"{segment.place}: a line of the talk {segment.talk}; move it to {segment.talk}.stm"
                if segment.talk in sph_files
                else _without_audio(split_dir, segment.talk)
            )
            continue
        before = first.setdefault(segment.utterance, segment)
        # join_suffix.py drops a repeated line.
        if before is not segment and before.line != segment.line:
            findings.error(
                f"{segment.place}: utterance id {segment.utterance} comes twice (also {before.place}); keep one"
            )
        _check_times(segment, lengths.get(talk), overruns, findings)


def _check_times(segment: Segment, length_sec: float | None, overruns: Count, findings: Findings) -> None:
    """Counts a segment that ends a little after its audio; any other defect becomes an error."""
    start_sec, end_sec = segment.start_sec, segment.end_sec
    if not 0 <= start_sec < end_sec:
        findings.error(f"{segment.place}: no time between {start_sec} s and {end_sec} s; correct or remove it")
    elif length_sec is None:
        return
    elif end_sec > length_sec + _MAX_STM_OVERRUN_SEC or start_sec >= length_sec:
        findings.error(
            f"{segment.place}: {segment.talk} from {start_sec} s to {end_sec} s runs past its audio, "
            f"{length_sec:.2f} s long; correct the times, remove the line, or restore the audio"
        )
    elif end_sec > length_sec:
        overruns.add(f"{segment.place} ({end_sec} s of {length_sec:.2f} s)")
