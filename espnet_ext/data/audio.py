"""Headers of recordings, and the damage that a header does not show."""

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

_FLOAT_SUBTYPES = ("FLOAT", "DOUBLE")
_READ_FRAMES = 1 << 20
_SPHERE_MAGIC = "NIST_1A"
_SPHERE_HEADER_BYTES = 1024


@dataclass(frozen=True)
class Audio:
    """Header of a recording: samples per second, number of samples of a channel, number of channels."""

    rate: int
    num_samples: int
    channels: int = 1

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.num_samples / self.rate


class BadAudioError(Exception):
    """The recording cannot be used; the message says why."""


def read_audio_header(entry: str) -> Audio:
    """Reads the header of a recording, and checks that samples are there.

    Args:
        entry: Right side of wav.scp: a path, or a command that ends in `|` and writes audio to stdout.

    Raises:
        BadAudioError: Missing, unreadable, empty, truncated, or not finite.
    """
    import soundfile

    if entry.endswith("|"):
        ran = subprocess.run(entry[:-1], shell=True, capture_output=True, check=False)
        if ran.returncode != 0 or not ran.stdout:
            reason = ran.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise BadAudioError(f"the command '{entry[:-1].strip()}' failed ({reason[0]}); run it by hand")
        source: io.BytesIO | str = io.BytesIO(ran.stdout)
    else:
        if not Path(entry).is_file():
            raise BadAudioError(f"audio file {entry} does not exist; restore it, or prepare the data again")
        if Path(entry).stat().st_size == 0:
            raise BadAudioError(f"audio file {entry} is empty (0 bytes); copy or download it again")
        source = entry
    try:
        with soundfile.SoundFile(source) as file:
            audio = Audio(file.samplerate, file.frames, file.channels)
            if audio.num_samples == 0:
                raise BadAudioError(f"audio {entry} has no samples; remove the utterance or restore its recording")
            if file.subtype in _FLOAT_SUBTYPES:
                _check_finite(file, entry)
            elif file.format == "FLAC":
                file.seek(audio.num_samples - 1)
                if len(file.read(1)) != 1:
                    raise BadAudioError(f"audio file {entry} is truncated; copy or download it again")
            elif file.format == "NIST" and isinstance(source, str):
                _check_sphere_length(source, audio)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if isinstance(source, str) and "shorten" in _sphere_header(source).get("sample_coding", ""):
            raise BadAudioError(
                f"audio file {entry} is compressed with shorten, which neither libsndfile nor sox reads; unpack it "
                "with the original sph2pipe: sph2pipe -p -f sph IN OUT"
            ) from error
        raise BadAudioError(f"audio {entry} cannot be read ({error}); copy, download or convert it again") from error
    return audio


def _check_finite(file: object, entry: str) -> None:
    import numpy as np

    for block in file.blocks(blocksize=_READ_FRAMES):  # type: ignore[attr-defined]
        if not np.isfinite(block).all():
            raise BadAudioError(f"audio {entry} holds NaN or infinite samples; write it anew as 16-bit PCM")


def _sphere_header(path: str) -> dict[str, str]:
    """Returns the fields of a NIST SPHERE header; no field for another format."""
    with open(path, "rb") as file:
        lines = file.read(_SPHERE_HEADER_BYTES).decode(errors="replace").splitlines()
    if not lines or lines[0] != _SPHERE_MAGIC:
        return {}
    fields = (line.split(maxsplit=2) for line in lines[2:])  # <name> -<type> <value>
    return {field[0]: field[2].strip() for field in fields if len(field) == 3}


def _check_sphere_length(path: str, audio: Audio) -> None:
    """Finds an interrupted copy: libsndfile gives the samples that are there, not those that the header promises."""
    promised = _sphere_header(path).get("sample_count", "")
    if promised.isdigit() and audio.num_samples < int(promised):
        raise BadAudioError(
            f"audio file {path} is truncated ({audio.num_samples} of {promised} samples); copy or download it again"
        )
