"""Reads the headers of many recordings at the same time, in memory that does not grow with their number."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import batched

from espnet_ext.data.audio import Audio, BadAudioError, read_audio_header
from espnet_ext.data.findings import Findings

_BATCH = 1024


def read_headers(
    entries: Iterable[tuple[str, str]], nj: int, listed_in: str, findings: Findings
) -> Iterator[tuple[str, str, Audio | None]]:
    """Yields the header of every recording, None of those that cannot be used, which become errors.

    Args:
        entries: Id, and path or command (see `read_audio_header`).
        nj: Files read at the same time.
        listed_in: File or directory that errors name.
        findings: Receives the errors, and the length of the audio.
    """
    with ThreadPoolExecutor(nj) as pool:
        for batch in batched(entries, _BATCH):
            for (key, entry), result in zip(batch, pool.map(_read, (entry for _, entry in batch)), strict=True):
                problem = _problem(entry, result)
                if problem:
                    findings.error(f"{listed_in}: {key}: {problem}")
                    yield key, entry, None
                else:
                    findings.seconds += result.seconds
                    yield key, entry, result


def _read(entry: str) -> Audio | BadAudioError:
    try:
        return read_audio_header(entry)
    except BadAudioError as error:
        return error


def _problem(entry: str, result: Audio | BadAudioError) -> str | None:
    """Returns why a recording cannot be used.

    More than one channel would pass until decoding: training takes one that ESPnet draws in every update.
    """
    if isinstance(result, BadAudioError):
        return str(result)
    if result.channels == 1:
        return None
    command = f"{entry[:-1].strip()} | sox -t wav - " if entry.endswith("|") else f"sox {entry} "
    return (
        f"{result.channels} channels, the recipe takes one; write a file of one channel, or in wav.scp instead of the "
        f"path '{command}-t wav - remix - |', which averages them ('remix 1' takes the first)"
    )
