"""Checks the file segments of a data directory: `<utterance> <recording> <start> <end>`, times in seconds."""

import math
import re
from pathlib import Path

from espnet_ext.audio.extent import INAUDIBLE_SEC
from espnet_ext.data.findings import Count, Findings
from espnet_ext.data.tables import read_sorted_rows

# As much as Kaldi's extract-segments lets a segment pass the end of its recording.
MAX_OVERRUN_SEC = 0.5
# What awk, perl and Python read alike; `nan`, `inf` and `1_0` are numbers for Python alone.
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


def read_seconds(text: str) -> float:
    """Reads a time.

    Raises:
        ValueError: It is no finite number.
    """
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text)


def check_segments(path: Path, lengths: dict[str, float], findings: Findings) -> None:
    """Compares segments with their recordings.

    Args:
        path: The file.
        lengths: Seconds of each recording of wav.scp; infinite where not known.
        findings: Receives what is wrong, and the number of utterances.
    """
    unused = set(lengths)
    overruns = Count()
    for utterance, value in read_sorted_rows(path, findings):
        findings.num_utts += 1
        fields = value.split()
        unused -= {*fields[:1]}
        problem = _problem(fields, lengths)
        if problem:
            findings.error(f"{path}: {utterance}: {problem}")
        elif read_seconds(fields[2]) > lengths[fields[0]]:
            overruns.add(f"{utterance} ({fields[2]} s of {lengths[fields[0]]:.2f} s)")
    if overruns.number:
        findings.warnings.append(
            f"{path}: {overruns.number} segments end after the audio and are cut there, e.g. {overruns.example}"
        )
    for recording in sorted(unused):
        findings.error(
            f"{path}: recording {recording} of wav.scp has no segment, which stage 3 refuses; remove it from wav.scp"
        )


def _problem(fields: list[str], lengths: dict[str, float]) -> str | None:
    """Returns what is wrong with the recording and the times of a segment, and the remedy."""
    try:
        recording, start, end = fields
        start_sec, end_sec = read_seconds(start), read_seconds(end)
    except ValueError:
        return f"expected '<recording> <start> <end>', times in seconds, found '{' '.join(fields)}'"
    if recording not in lengths:
        return f"its recording {recording} is not in wav.scp; add it"
    length_sec = lengths[recording]
    known = f"{length_sec:.2f} s long" if math.isfinite(length_sec) else "of unknown length"
    if end_sec == -1:
        return f"-1 for the end of {recording} ({known}) is refused by stage 3; write its seconds"
    if start_sec < 0 or min(end_sec, length_sec) - start_sec < INAUDIBLE_SEC:  # of which stage 3 may make no sample
        return f"no audio between {start} s and {end} s of {recording} ({known}); correct the times"
    if end_sec > length_sec + MAX_OVERRUN_SEC:
        return (
            f"from {start} s to {end} s runs past the end of {recording} ({known}); correct the times, or restore "
            "the audio"
        )
    return None
