"""Small recordings of every kind, whole and spoiled."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
SNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "ulaw.wav": ("WAV", "ULAW"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "wavex": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "aifc": ("AIFF", "ULAW"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "sph": ("NIST", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
# What phones and browsers record, by codec.
PYAV = {"m4a": "aac", "mp4": "aac", "webm": "libopus", "wma": "wmav2", "mka": "libopus"}
_CODECS = PYAV | {"cbr.mp3": "libmp3lame"}


def tone(seconds: float, hertz: float = 440, rate: int = RATE) -> np.ndarray:
    """Returns a tone with noise, so that compressed files are not tiny."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(round(hertz)).standard_normal(len(time))
    return 0.3 * np.sin(2 * np.pi * hertz * time) + 0.03 * noise


def pitch(samples: np.ndarray, rate: int = RATE) -> float:
    """Returns the loudest frequency, Hz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


def write(path: Path, samples: np.ndarray, rate: int = RATE, kind: str | None = None, **options: str) -> Path:
    """Writes (samples,) or (samples, channels) audio; the kind is the suffix, or a key of the tables above."""
    kind = kind or path.name.split(".", 1)[1]
    if kind in SNDFILE:
        form, subtype = SNDFILE[kind]
        soundfile.write(path, samples, rate, format=form, subtype=subtype)
        return path
    import av

    samples = samples.reshape(len(samples), -1).T.astype(np.float32)
    layout = "mono" if len(samples) == 1 else "stereo"
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(_CODECS[kind], rate=48000 if _CODECS[kind] == "libopus" else rate, layout=layout)
        stream.bit_rate = 64000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    """Keeps a share of the bytes of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def patch(path: Path, after: bytes, value: bytes, skip: int = 0) -> Path:
    """Writes bytes `skip` bytes after a mark."""
    data = bytearray(path.read_bytes())
    place = data.index(after) + len(after) + skip
    data[place : place + len(value)] = value
    path.write_bytes(data)
    return path


def without_count(mp3: bytes) -> bytes:
    """Returns an MP3 file whose first frame counts nothing."""
    assert b"Xing" in mp3 or b"Info" in mp3
    return mp3.replace(b"Xing", b"none").replace(b"Info", b"none")


ID3 = b"ID3\x04\0\0" + bytes([0, 0, 8, 0]) + bytes(8 << 7)
UNSIZED = bytes(4), b"\xff" * 4
# RIFF and data size of a WAV file that was never finished: zeros, the empty header, a pipe of ffmpeg, and mixtures.
UNSIZED_WAV = [(0, 0), (36, 0), (0xFFFFFFFF, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000)]


def unsized_wav(path: Path, samples: np.ndarray, riff: int, data: int) -> Path:
    """Writes a WAV file whose header has placeholders."""
    write(path, samples, kind="wav")
    patch(path, b"RIFF", riff.to_bytes(4, "little"))
    return patch(path, b"data", data.to_bytes(4, "little"))


# What stands in place of a recording after a clone without git-lfs, or a download that failed.
NO_RECORDINGS = {
    "pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "page": "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n",
    "answer": '{"error": "Repository not found"}',
}
