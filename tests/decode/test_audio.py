"""Reading for transcription: every sample of any recording, or an error."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.decode.audio import duration_sec, find_audio, read_blocks
from espnet_ext.errors import UserError
from tests.recordings import (
    ID3,
    NO_RECORDINGS,
    PYAV,
    RATE,
    SNDFILE,
    UNSIZED_WAV,
    cut,
    patch,
    pitch,
    tone,
    unsized_wav,
    without_count,
    write,
)

# What reads through a second recording; decoders add up to 0.2 s at the seam.
READ_ON = ["flac", "ogg", "opus", "mp3"]


def read(path: Path, rate: int = RATE) -> np.ndarray:
    """Returns all samples, from blocks of 2 s of which half a second overlaps."""
    block, overlap = 2 * rate, rate // 2
    parts = [np.asarray(part)[overlap if first else 0 :] for first, part in read_blocks(path, rate, block, overlap)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


@pytest.mark.parametrize("kind", [*SNDFILE, *PYAV])
def test_every_kind_is_read_whole(kind, tmp_path):
    path = write(tmp_path / f"a.{kind}", tone(5.0), kind=kind)
    samples = read(path)
    assert abs(len(samples) - 5 * RATE) <= 0.1 * RATE and samples.dtype == np.float32
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.4, abs=0.1)
    assert duration_sec(path) == pytest.approx(5.0, abs=0.2)


@pytest.mark.parametrize("rate, channels", [(8000, 1), (44100, 2), (16000, 2)])
def test_other_rates_and_channels_are_converted(rate, channels, tmp_path):
    time = np.arange(int(3.3 * rate)) / rate
    sine = 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "a.flac", np.stack([sine] * channels, axis=1), rate)
    ((first, samples),) = read_blocks(tmp_path / "a.flac", RATE, RATE * 10, RATE)
    samples = np.asarray(samples)
    assert first == 0 and abs(len(samples) - int(3.3 * RATE)) <= 2
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(samples)) / RATE)
    assert np.abs(samples - expected)[1000:-1000].max() < 0.01


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("kind", [*SNDFILE, *PYAV])
def test_what_is_cut_off_is_refused(kind, share, tmp_path):
    path = cut(write(tmp_path / f"a.{kind}", tone(4.0), kind=kind), share)
    with pytest.raises(UserError, match=rf"a\.{kind}.*(missing|follow).*again"):
        read(path)


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov"])
def test_mp4_with_its_index_in_front_is_read_and_a_cut_one_refused(movflags, tmp_path):
    path = write(tmp_path / "a.mp4", tone(4.0), movflags=movflags)
    assert abs(len(read(path)) - 4 * RATE) < 0.1 * RATE
    with pytest.raises(UserError, match=r"cut off.*bytes are missing"):
        read(cut(path))


@pytest.mark.parametrize("kind", READ_ON)
@pytest.mark.parametrize("second", ["same", "other"])
def test_joined_files_are_read_to_the_end(kind, second, tmp_path):
    first = write(tmp_path / f"a.{kind}", tone(3.0)).read_bytes()
    other = write(tmp_path / f"b.{kind}", tone(2.0, 880)).read_bytes()
    path = tmp_path / f"c.{kind}"
    path.write_bytes(first + (first if second == "same" else other))
    samples = read(path)
    expected, hertz = (6.0, 440) if second == "same" else (5.0, 880)
    assert expected * RATE <= len(samples) + 1 <= (expected + 0.25) * RATE
    assert pitch(samples[-2 * RATE : -RATE // 4]) == pytest.approx(hertz, abs=2)
    assert pitch(samples[: 2 * RATE]) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("kind", ["wav", "rf64", "w64", "aiff", "au", "caf", "sph", "m4a", "webm"])
def test_joined_files_that_nothing_reads_to_the_end_are_refused(kind, tmp_path):
    data = write(tmp_path / f"a.{kind}", tone(1.0)).read_bytes()
    (tmp_path / f"b.{kind}").write_bytes(data + data)
    with pytest.raises(UserError, match=rf"b\.{kind} is several \w+ files joined.*sox"):
        read(tmp_path / f"b.{kind}")


def test_joined_mp3_of_any_kind_is_read_to_the_end(tmp_path):
    """Tags between the parts, and parts of which one or none counts its frames."""
    first = write(tmp_path / "a.mp3", tone(3.0)).read_bytes()
    other = write(tmp_path / "b.mp3", tone(2.0, 880)).read_bytes()
    for number, data in enumerate(
        (
            first + ID3 + other,
            ID3 + first + ID3 + other,
            without_count(first) + ID3 + without_count(other),
            without_count(first) + other,
            first + b"TAG" + bytes(125) + other,
        )
    ):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(data)
        samples = read(path)
        assert 4.9 * RATE <= len(samples) <= 5.4 * RATE, number
        assert pitch(samples[-RATE : -RATE // 4]) == pytest.approx(880, abs=2), number


def test_mp3_without_a_count_of_its_frames_is_read_to_the_end(tmp_path):
    """libsndfile takes the length from the size of the first frame, which of a variable bit rate is any."""
    data = without_count(write(tmp_path / "a.mp3", tone(4.0)).read_bytes())
    for name, content in (("plain", data), ("tagged", ID3 + data), ("tagged at the end", data + b"TAG" + bytes(125))):
        path = tmp_path / f"{name}.mp3"
        path.write_bytes(content)
        assert 4 * RATE <= len(read(path)) <= 4.3 * RATE, name


def test_mp3_of_constant_bit_rate_without_a_count_is_read_to_the_end(tmp_path):
    for seconds in (1.0, 9.0):
        path = write(tmp_path / "a.cbr.mp3", tone(seconds, rate=44100), 44100, write_xing="0")
        assert seconds * RATE <= len(read(path)) <= (seconds + 0.2) * RATE


def test_mixed_rates_in_one_file_are_refused(tmp_path):
    first = write(tmp_path / "a.mp3", tone(1.0)).read_bytes()
    other = write(tmp_path / "b.mp3", tone(1.0, rate=44100), rate=44100).read_bytes()
    (tmp_path / "c.mp3").write_bytes(first + other)
    with pytest.raises(UserError, match=r"c\.mp3 changes its sampling rate"):
        read(tmp_path / "c.mp3")


@pytest.mark.parametrize("riff, data", UNSIZED_WAV)
def test_samples_are_read_where_the_header_never_got_its_sizes(riff, data, tmp_path):
    signal = tone(1.5)
    samples = read(unsized_wav(tmp_path / "a.wav", signal, riff, data))
    assert len(samples) == len(signal) and np.abs(samples - signal).max() < 1e-3


def test_samples_are_read_where_other_headers_never_got_their_sizes(tmp_path):
    signal = tone(1.5)
    flac = write(tmp_path / "a.flac", signal)
    data = bytearray(flac.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    flac.write_bytes(data)
    paths = [flac, patch(write(tmp_path / "a.au", signal), b".snd", b"\xff" * 4, skip=4)]
    for value in (bytes(8), b"\xff" * 8):
        paths.append(patch(write(tmp_path / f"{value[0]}.caf", signal), b"data", value))
    for value in (bytes(4), b"\xff" * 4):
        path = write(tmp_path / f"{value[0]}.aiff", signal)
        paths.append(patch(patch(path, b"FORM", value), b"SSND", value))
    for path in paths:
        samples = read(path)
        assert len(samples) == len(signal) and np.abs(samples - signal).max() < 1e-3, path.name


def test_a_wav_file_of_no_samples_is_empty_and_no_error(tmp_path):
    write(tmp_path / "a.wav", np.zeros(0))
    assert len(read(tmp_path / "a.wav")) == 0
    path = tmp_path / "chunk.wav"
    path.write_bytes((tmp_path / "a.wav").read_bytes()[:44] + b"LIST" + (4).to_bytes(4, "little") + b"INFO")
    patch(path, b"data", bytes(4))
    assert len(read(patch(path, b"RIFF", (path.stat().st_size - 8).to_bytes(4, "little")))) == 0


@pytest.mark.parametrize("extra", [8, 44, 100])
def test_a_header_that_is_a_few_bytes_too_long_loses_nothing(extra, tmp_path):
    signal = tone(1.0)
    wav = write(tmp_path / "a.wav", signal)
    patch(patch(wav, b"data", (32000 + extra).to_bytes(4, "little")), b"RIFF", (32036 + extra).to_bytes(4, "little"))
    aiff = patch(write(tmp_path / "a.aiff", signal), b"SSND", (32008 + extra).to_bytes(4, "big"))
    au = patch(write(tmp_path / "a.au", signal), b".snd", (32000 + extra).to_bytes(4, "big"), skip=4)
    for path in (wav, aiff, au):
        assert len(read(path)) == RATE, path.name


def test_a_header_that_is_much_too_short_is_refused(tmp_path):
    path = write(tmp_path / "a.wav", tone(5.0))
    patch(patch(path, b"data", (32000).to_bytes(4, "little")), b"RIFF", (32036).to_bytes(4, "little"))
    with pytest.raises(UserError, match="it counts 1.00 s, and 128000 unknown bytes follow"):
        read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["WAV", "AIFF", "CAF", "W64", "AU"])
def test_samples_that_are_no_numbers_are_refused(form, value, tmp_path):
    signal = np.stack([tone(6.0)] * 2, axis=1)
    signal[70000, 1] = value
    soundfile.write(tmp_path / "a.wav", signal, RATE, format=form, subtype="FLOAT")
    with pytest.raises(UserError, match=r"a\.wav holds NaN or infinite samples.*16-bit PCM"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "mp3", *PYAV])
def test_what_is_damaged_in_the_middle_is_refused(kind, tmp_path):
    path = write(tmp_path / f"a.{kind}", tone(20.0))
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(9000) + data[middle + 9000 :])
    with pytest.raises(UserError, match=rf"a\.{kind}.*damaged"):
        read(path)


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a"])
def test_channels_of_opposite_phase_do_not_cancel(kind, tmp_path):
    signal = tone(6.0)
    samples = read(write(tmp_path / f"a.{kind}", np.stack([signal, -0.8 * signal], axis=1)))
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert np.std(samples) == pytest.approx(np.std(signal), rel=0.05)
    if kind != "m4a":
        assert np.abs(samples - signal).max() < 1e-3


def test_channels_of_opposite_phase_from_somewhere_on_do_not_cancel(tmp_path):
    signal = tone(12.0)
    other = signal * np.where(np.arange(len(signal)) < 6 * RATE, 1, -1)
    samples = read(write(tmp_path / "a.wav", np.stack([signal, other], axis=1)))
    assert np.std(samples[:RATE]) == pytest.approx(np.std(signal), rel=0.02)
    assert np.std(samples[9 * RATE :]) == pytest.approx(np.std(signal), rel=0.02)


def test_channels_that_do_not_cancel_are_averaged(tmp_path):
    rng = np.random.default_rng(0)
    for channels in (2, 6):
        signal = 0.1 * rng.standard_normal((2 * RATE, channels))
        assert np.abs(read(write(tmp_path / "a.wav", signal)) - signal.mean(axis=1)).max() < 1e-3
    signal = np.stack([tone(2.0), np.zeros(2 * RATE)], axis=1)
    assert np.abs(read(write(tmp_path / "a.wav", signal)) - signal.mean(axis=1)).max() < 1e-3


COUNT = (
    "import sys\nfrom pathlib import Path\nfrom espnet_ext.decode.audio import read_blocks\n"
    "print(sum(len(b) for _, b in read_blocks(Path(sys.argv[1]), 16000, 10**9, 0)))\n"
    "assert 'torch' not in sys.modules and 'espnet2' not in sys.modules\n"
)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "opus", "mp3", "aiff", "sph", "caf", "m4a", "webm", "wma"])
def test_a_pipe_is_read_without_torch(kind, tmp_path):
    data = write(tmp_path / f"a.{kind}", tone(2.0)).read_bytes()
    ran = subprocess.run([sys.executable, "-c", COUNT, "-"], input=data, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    assert abs(int(ran.stdout) - 2 * RATE) <= 0.1 * RATE


def test_standard_input_from_a_file_is_read(tmp_path):
    with write(tmp_path / "a.mp3", tone(2.0)).open("rb") as file:
        assert subprocess.run([sys.executable, "-c", COUNT, "-"], stdin=file, capture_output=True).stdout == b"32000\n"


def test_a_pipe_without_sizes_is_read_and_a_cut_one_refused(tmp_path):
    whole = write(tmp_path / "whole.wav", tone(2.0)).read_bytes()
    unsized = [unsized_wav(tmp_path / "a.wav", tone(2.0), *sizes).read_bytes() for sizes in UNSIZED_WAV]
    for data in unsized:
        ran = subprocess.run([sys.executable, "-c", COUNT, "-"], input=data, capture_output=True)
        assert ran.stdout == b"32000\n", ran.stderr.decode()
    mp3 = write(tmp_path / "a.mp3", tone(2.0)).read_bytes()
    ogg = write(tmp_path / "a.ogg", tone(2.0)).read_bytes()
    for data in (whole[:40000], mp3[: len(mp3) // 2], ogg[: len(ogg) // 2], whole + whole, b"no audio", b""):
        ran = subprocess.run([sys.executable, "-c", COUNT, "-"], input=data, capture_output=True)
        assert ran.returncode == 1 and b"UserError: standard input" in ran.stderr, ran.stderr.decode()


def test_blocks_of_a_pipe_come_while_it_is_written(tmp_path):
    data = unsized_wav(tmp_path / "a.wav", tone(20.0), 0xFFFFFFFF, 0xFFFFFFFF).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    heard = threading.Event()

    def record() -> None:
        with (tmp_path / "pipe").open("wb") as pipe:
            pipe.write(data[: len(data) // 2])
            pipe.flush()
            assert heard.wait(20)
            pipe.write(data[len(data) // 2 :])

    (recorder := threading.Thread(target=record, daemon=True)).start()
    blocks = read_blocks(tmp_path / "pipe", RATE, RATE, 0)
    count = len(next(blocks)[1])
    heard.set()
    count += sum(len(block) for _, block in blocks)
    recorder.join()
    assert count == 20 * RATE


def test_find_audio_knows_what_phones_record_and_pipes(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.m4a", "b.webm", "c.wma", "c.wav", "d.mp4", "d.wav", "notes.txt"):
        (folder / name).touch()
    os.mkfifo(tmp_path / "pipe")
    found = find_audio([folder, tmp_path / "pipe", Path("-")])
    assert sorted(map(str, found.values())) == ["a.m4a", "b.webm", "c.wav", "c.wma", "d.wav", "pipe", "stdin"]
    assert capsys.readouterr().err == f"warning: {folder}/d.mp4 is left out: audio of its name is beside it\n"


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "m4a"])
@pytest.mark.parametrize("text", NO_RECORDINGS)
def test_a_text_in_place_of_a_recording_is_no_silence(kind, text, tmp_path):
    path = tmp_path / f"a.{kind}"
    path.write_text(NO_RECORDINGS[text])
    message = "git lfs pull" if text == "pointer" else "cannot be read|holds no sound|cut off or damaged"
    with pytest.raises(UserError, match=rf"a\.{kind} .*({message})"):
        list(read_blocks(path, RATE, RATE, 0))


@pytest.mark.parametrize("rate", [1, 500, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(rate, tmp_path):
    path = patch(write(tmp_path / "a.wav", tone(1.0)), b"fmt ", rate.to_bytes(4, "little"), skip=8)
    with pytest.raises(UserError, match=rf"a\.wav says that it has {rate} Hz, so its header is damaged"):
        list(read_blocks(path, RATE, RATE, 0))
