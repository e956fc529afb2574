"""Checks splits of TED-LIUM 3 in the official layout, before anything is prepared from them.

<root>/<legacy or speaker-adaptation>/<split>/stm/<talk>.stm   <talk> <channel> <speaker> <start> <end> <label> <words>
<root>/<legacy or speaker-adaptation>/<split>/sph/<talk>.sph   NIST SPHERE, 16-bit PCM
"""

from dataclasses import dataclass
from pathlib import Path

from espnet_ext.data.audio import Audio
from espnet_ext.data.check import Findings, read_headers

_IGNORED = "ignore_time_segment_in_scoring"
_COMMENT = ";;"
# As much as Kaldi's extract-segments lets a segment pass the end of its recording.
_MAX_OVERRUN_SEC = 0.5


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


def read_stm(path: Path, findings: Findings) -> list[Segment]:
    """Returns the segments of a talk, without those that are ignored in scoring; bad lines become errors."""
    segments = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if _IGNORED in line or _COMMENT in line or not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            talk, _, _, start, end, _ = line.split()[:6]
            segment = Segment(place, talk, float(start), float(end), line)
        except ValueError:
            findings.errors.append(
                f"{place}: expected '<talk> <channel> <speaker> <start> <end> <label> <words>', found '{line[:60]}'"
            )
            continue
        segments.append(segment)
    return segments


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
    headers = read_headers({talk: str(path) for talk, path in sph_files.items()}, nj, str(split_dir), findings)
    findings.seconds = sum(audio.seconds for audio in headers.values())
    findings.errors += [
        f"{path}: audio without transcript (stm/{talk}.stm); restore it, or remove the audio"
        for talk, path in sph_files.items()
        if talk not in stm_files
    ]
    segments = [segment for path in stm_files.values() for segment in read_stm(path, findings)]
    findings.num_utts = len(segments)
    talks = dict.fromkeys([*stm_files, *(segment.talk for segment in segments)])
    findings.errors += [
        f"{split_dir / 'stm'}: {talk}: transcript without audio (sph/{talk}.sph); restore it, or remove the transcript"
        for talk in talks
        if talk not in sph_files
    ]
    overruns = [message for segment in segments if (message := _check_times(segment, headers, findings))]
    if overruns:
        findings.warnings.append(f"{len(overruns)} segments end after the audio and are cut there, e.g. {overruns[0]}")
    _check_ids(segments, findings)
    return findings


def _files(split_dir: Path, kind: str, findings: Findings) -> dict[str, Path]:
    """Returns the files of split_dir/kind by talk."""
    files = {path.stem: path for path in sorted((split_dir / kind).glob(f"*.{kind}")) if path.name[0] != "."}
    if not files:
        findings.errors.append(f"{split_dir / kind}: no .{kind} file; unpack TEDLIUM_release-3.tgz of OpenSLR 51 again")
    return files


def _check_times(segment: Segment, headers: dict[str, Audio], findings: Findings) -> str | None:
    """Returns where the segment ends a little after its audio; any other defect becomes an error."""
    start_sec, end_sec = segment.start_sec, segment.end_sec
    if not 0 <= start_sec < end_sec:
        findings.errors.append(f"{segment.place}: no time between {start_sec} s and {end_sec} s; correct or remove it")
        return None
    if segment.talk not in headers:
        return None
    length_sec = headers[segment.talk].seconds
    if end_sec > length_sec + _MAX_OVERRUN_SEC or start_sec >= length_sec:
        findings.errors.append(
            f"{segment.place}: {segment.talk} from {start_sec} s to {end_sec} s runs past its audio, "
            f"{length_sec:.2f} s long; correct the times, remove the line, or restore the audio"
        )
        return None
    return f"{segment.place} ({end_sec} s of {length_sec:.2f} s)" if end_sec > length_sec else None


def _check_ids(segments: list[Segment], findings: Findings) -> None:
    first: dict[str, Segment] = {}
    for segment in segments:
        before = first.setdefault(segment.utterance, segment)
        # join_suffix.py drops a repeated line.
        if before is not segment and before.line != segment.line:
            findings.errors.append(
                f"{segment.place}: utterance id {segment.utterance} comes twice (also {before.place}); keep one"
            )
