"""Recordings of a corpus: whether ESPnet will read each one whole."""

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

from espnet_ext.audio.examine import examine
from espnet_ext.audio.extent import NO_LENGTH, RATES, Extent
from espnet_ext.audio.pcm import sphere_fields
from espnet_ext.audio.view import FileView
from espnet_ext.errors import UserError
from espnet_ext.files import check_not_pointer

_FLOAT_SUBTYPES = ("FLOAT", "DOUBLE")
_READ_FRAMES = 1 << 20


@dataclass(frozen=True)
class Audio:
    """Header of a recording: samples per second, number of samples of a channel, channels."""

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
    """Reads the header of a recording, and checks that all samples it promises are there.

    It costs what `espnet_ext.audio.examine` says: headers, and of FLAC and Ogg a little more. Floating-point files are
    read as a whole, to find NaN.

    Args:
        entry: Right side of wav.scp: a path, or a command that ends in `|` and writes audio to stdout.

    Raises:
        BadAudioError: Missing, unreadable, empty, truncated, joined of several, or not finite. Also where libsndfile,
            with which ESPnet reads, finds fewer samples than there are.
    """
    if entry.endswith("|"):
        ran = subprocess.run(entry[:-1], shell=True, capture_output=True, check=False)
        if ran.returncode != 0 or not ran.stdout:
            reason = ran.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise BadAudioError(f"the command '{entry[:-1].strip()}' failed ({reason[0]}); run it by hand")
        return _read(io.BytesIO(ran.stdout), entry)
    if not Path(entry).is_file():
        raise BadAudioError(f"audio file {entry} does not exist; restore it, or prepare the data again")
    try:
        check_not_pointer(Path(entry))
        with open(entry, "rb") as file:
            return _read(file, f"file {entry}")
    except UserError as error:
        raise BadAudioError(f"audio file {error}") from error
    except OSError as error:
        raise BadAudioError(f"audio file {entry} cannot be read ({error.strerror}); copy it again") from error


def _read(source: io.BufferedReader | io.BytesIO, name: str) -> Audio:
    import soundfile

    view = FileView(source)
    if view.size == 0:
        raise BadAudioError(f"audio {name} is empty (0 bytes); copy or download it again")
    extent = examine(view)
    if extent.lost:
        raise BadAudioError(
            f"audio {name} is truncated, or its header is wrong: {extent.lost}; copy or download it again"
        )
    if extent.joined:
        raise BadAudioError(
            f"audio {name} is several {extent.kind} files joined byte by byte, of which libsndfile, with which ESPnet "
            "reads, reads only the first; convert it: ffmpeg -i IN OUT.flac, or join the parts: sox A B OUT"
        )
    source.seek(0)
    try:
        with soundfile.SoundFile(source) as file:
            audio = Audio(file.samplerate, file.frames, file.channels)
            _check_samples(file, audio, extent, name)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if "shorten" in sphere_fields(view).get("sample_coding", ""):
            raise BadAudioError(
                f"audio {name} is compressed with shorten, which neither libsndfile nor sox reads; unpack it "
                "with the original sph2pipe: sph2pipe -p -f sph IN OUT"
            ) from error
        reason = getattr(error, "error_string", error)
        raise BadAudioError(
            f"audio {name} cannot be read with libsndfile, with which ESPnet reads ({reason}); copy or download it "
            "again, or convert it: ffmpeg -i IN OUT.flac"
        ) from error
    return audio


def _check_samples(file: object, audio: Audio, extent: Extent, name: str) -> None:
    import numpy as np

    if not extent.samples <= audio.num_samples < NO_LENGTH:
        there = f"{audio.num_samples} of at least {extent.samples}" if audio.num_samples < NO_LENGTH else "no length"
        raise BadAudioError(
            f"audio {name} has a header without its length: libsndfile, with which ESPnet reads, finds {there} "
            "samples; write it anew: ffmpeg -i IN OUT.flac, or of a WAV file: sox --ignore-length IN OUT"
        )
    if audio.rate not in RATES:
        raise BadAudioError(f"audio {name} says that it has {audio.rate} Hz, so its header is damaged; copy it again")
    if audio.num_samples == 0:
        raise BadAudioError(f"audio {name} has no samples; remove the utterance or restore its recording")
    if file.subtype in _FLOAT_SUBTYPES:  # type: ignore[attr-defined]
        for block in file.blocks(blocksize=_READ_FRAMES, dtype="float32"):  # type: ignore[attr-defined]
            if not np.isfinite(block).all():
                raise BadAudioError(f"audio {name} holds NaN or infinite samples; write it anew as 16-bit PCM")
    elif file.format == "FLAC":  # type: ignore[attr-defined]
        try:
            file.seek(audio.num_samples - 1)  # type: ignore[attr-defined]
            there = len(file.read(1)) == 1  # type: ignore[attr-defined]
        except RuntimeError:  # LibsndfileError too
            there = False
        if not there:
            raise BadAudioError(f"audio {name} is truncated: its last sample is missing; copy or download it again")
