"""Of which audio a teacher cache is: a digest of the samples of each utterance.

The digests are compared by content, but a file is read again only where it is not the one that was read before, by the
entry in wav.scp and by `espnet_ext.teachers.cache_files.file_state`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from espnet2.fileio.read_text import read_2columns_text
from espnet2.train.dataset import ESPnetDataset
from torch import Tensor

from espnet_ext.data.sets import DecodingSet
from espnet_ext.teachers.cache_files import UNKNOWN, file_state

AUDIO = "utt2audio"
_ARCHIVE = re.compile(r"(.+):\d+(\[[\d:,]*\])?")


@dataclass(frozen=True)
class HeardAudio:
    """The audio of an utterance as it was when the teacher heard it.

    Attributes:
        digest: of the samples as ESPnet's loader gives them, so that another container of the same samples is the same.
        state: `file_state` of the file before it was read; `UNKNOWN` for what is no file.
        source: the entry of wav.scp.
    """

    digest: str
    state: str
    source: str

    @classmethod
    def of(cls, signal: Tensor, state: str, source: str) -> "HeardAudio":
        """Describes samples, (samples,) float."""
        samples = signal.float().contiguous().numpy()
        return cls(hashlib.blake2b(samples.tobytes(), digest_size=16).hexdigest(), state, source)


class FileStates:
    """Looks at each file once: an archive holds many utterances."""

    def __init__(self):
        self._states: dict[str, str] = {}

    def __getitem__(self, source: str) -> str:
        """Returns `file_state` of what an entry of wav.scp names: a file, or `archive:offset`."""
        archive = _ARCHIVE.fullmatch(source)
        file = archive[1] if archive else source
        if file not in self._states:
            self._states[file] = file_state(file)
        return self._states[file]


def reader(scp: Path, kind: str) -> Callable[[str], Tensor]:
    """Returns what reads the utterances of a wav.scp through ESPnet's loader; `kind` is "sound" or "kaldi_ark"."""
    return DecodingSet(scp.parent, ESPnetDataset([(str(scp), "speech", kind)]), {}, kind).read


def write_audio(path: Path, audio: Mapping[str, HeardAudio]) -> None:
    """Writes a line for each utterance: its name, digest, state and source (last, because it may hold blanks)."""
    lines = (f"{name} {heard.digest} {heard.state} {heard.source}\n" for name, heard in audio.items())
    path.write_text("".join(lines), encoding="utf-8")


def read_audio(path: Path) -> dict[str, HeardAudio]:
    """Reads what `write_audio` wrote; what cannot be read is left out, so that it counts as other audio."""
    if not path.is_file():
        return {}
    entries = read_2columns_text(path)
    parts = {name: value.split(" ", 2) for name, value in entries.items()}
    return {name: HeardAudio(*values) for name, values in parts.items() if len(values) == 3}


def changed_audio(
    cached: Mapping[str, HeardAudio], sources: Mapping[str, str], read: Callable[[str], Tensor]
) -> tuple[list[str], dict[str, HeardAudio]]:
    """Compares audio with what the teacher heard.

    Args:
        cached: of each utterance, from the cache.
        sources: entries of wav.scp, by utterance.
        read: gives the samples of an utterance, (samples,); called from several threads.

    Returns:
        The utterances whose samples are others, and those with unchanged samples as their files are now.
    """
    states = FileStates()

    def hear(name: str) -> HeardAudio:
        return HeardAudio.of(read(name), states[sources[name]], sources[name])

    same, doubtful = {}, []
    for name, source in sources.items():
        before, state = cached.get(name), states[source]
        if before is None:
            continue
        if state != UNKNOWN and (before.state, before.source) == (state, source):
            same[name] = before
        else:
            doubtful.append(name)
    with ThreadPoolExecutor() as pool:
        heard = dict(zip(doubtful, pool.map(hear, doubtful), strict=True))
    same |= {name: now for name, now in heard.items() if now.digest == cached[name].digest}
    return [name for name in sources if name not in same], same
