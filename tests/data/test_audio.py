"""The check of a recording: what ESPnet would not read whole is an error, with file, reason and remedy."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.data.audio import BadAudioError, read_audio_header
from tests.recordings import (
    ID3,
    NO_RECORDINGS,
    PYAV,
    RATE,
    SNDFILE,
    UNSIZED_WAV,
    cut,
    patch,
    tone,
    unsized_wav,
    without_count,
    write,
)


@pytest.mark.parametrize("kind", SNDFILE)
def test_a_whole_recording_passes(kind, tmp_path):
    """Channels and rates differ, so that none is a constant; libsndfile writes IMA ADPCM in whole blocks."""
    stereo = np.stack([tone(2.0, rate=48000)] * 2, axis=1)
    for samples, rate, channels in ((tone(3.0), RATE, 1), (stereo, 48000, 2)):
        audio = read_audio_header(str(write(tmp_path / f"a.{kind}", samples, rate)))
        assert (audio.rate, audio.channels) == (rate, channels)
        assert len(samples) <= audio.num_samples <= len(samples) + (2000 if kind == "adpcm.wav" else 0)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.97])
@pytest.mark.parametrize("kind", [*SNDFILE, *PYAV])
def test_a_truncated_recording_is_found(kind, share, tmp_path):
    path = cut(write(tmp_path / f"a.{kind}", tone(4.0), kind=kind), share)
    with pytest.raises(BadAudioError, match=rf"audio file .*a\.{kind} is truncated.*again"):
        read_audio_header(str(path))


def test_a_truncated_recording_of_a_command_is_found(tmp_path):
    for kind in ("wav", "flac", "mp3", "ogg"):
        path = cut(write(tmp_path / f"a.{kind}", tone(2.0)))
        with pytest.raises(BadAudioError, match="is truncated"):
            read_audio_header(f"cat {path} |")


@pytest.mark.parametrize("lost_bytes", [1, 44, 300])
def test_a_header_that_is_a_few_bytes_too_long_loses_nothing(lost_bytes, tmp_path):
    for kind in ("wav", "aiff", "au", "sph", "w64", "rf64"):
        path = write(tmp_path / f"a.{kind}", tone(1.0))
        path.write_bytes(path.read_bytes()[:-lost_bytes])
        assert RATE - 151 <= read_audio_header(str(path)).num_samples <= RATE, kind


@pytest.mark.parametrize("kind", [*sorted(set(SNDFILE) - {"adpcm.wav"}), "m4a", "webm", "wma"])
@pytest.mark.parametrize("second", ["same", "as long", "shorter"])
def test_joined_recordings_are_found(kind, second, tmp_path):
    first = write(tmp_path / f"a.{kind}", tone(3.0), kind=kind).read_bytes()
    other = write(tmp_path / f"b.{kind}", tone(3.0 if second == "as long" else 1.0, 880), kind=kind).read_bytes()
    path = tmp_path / f"c.{kind}"
    path.write_bytes(first + (first if second == "same" else other))
    with pytest.raises(BadAudioError, match=rf"c\.{kind} is several \w+ files joined.*ffmpeg"):
        read_audio_header(str(path))


def test_long_joined_flac_and_ogg_are_found_wherever_the_seam_is(tmp_path):
    """Of equal length too, where the last frame says nothing."""
    rng = np.random.default_rng(0)
    for kind in ("flac", "ogg"):
        parts = [write(tmp_path / f"{i}.{kind}", 0.1 * rng.standard_normal(20 * RATE)).read_bytes() for i in range(5)]
        for count in (2, 3, 4, 5):
            (tmp_path / f"c.{kind}").write_bytes(b"".join(parts[:count]))
            with pytest.raises(BadAudioError, match="is several"):
                read_audio_header(str(tmp_path / f"c.{kind}"))
        assert read_audio_header(str(tmp_path / f"0.{kind}")).num_samples == 20 * RATE


def test_audio_that_looks_like_the_header_of_a_flac_frame_is_no_second_file(tmp_path):
    """White noise at full scale is stored as it is, sample by sample."""
    noise = np.random.default_rng(0).integers(-32768, 32768, 20 * RATE).astype(">i2")
    header = bytes.fromhex("fff8c50800")  # of a first frame, as in the file below
    path = tmp_path / "a.flac"
    soundfile.write(path, noise.astype("i2"), RATE, subtype="PCM_16")
    assert path.read_bytes().count(header) == 1
    raw = bytearray(noise.tobytes())
    raw[-4000:-3994] = path.read_bytes()[path.read_bytes().index(header) :][:6]  # with its CRC
    soundfile.write(path, np.frombuffer(bytes(raw), ">i2").astype("i2"), RATE, subtype="PCM_16")
    assert path.read_bytes().count(header) == 2
    assert read_audio_header(str(path)).num_samples == 20 * RATE


def test_flac_with_silence_and_much_before_the_samples_passes(tmp_path):
    signal = np.concatenate([np.zeros(60 * RATE), tone(5.0), np.zeros(60 * RATE)])
    path = write(tmp_path / "a.flac", signal)
    data = path.read_bytes()
    padding = b"\x01" + (100000).to_bytes(3, "big") + bytes(100000)
    path.write_bytes(data[:42] + padding + data[42:])
    assert read_audio_header(str(path)).num_samples == len(signal)
    path.write_bytes(ID3 + data)
    assert read_audio_header(str(path)).num_samples == len(signal)


@pytest.mark.parametrize("riff, data", UNSIZED_WAV)
def test_a_wav_file_without_sizes_passes_where_libsndfile_reads_it(riff, data, tmp_path):
    path = unsized_wav(tmp_path / "a.wav", tone(1.0), riff, data)
    if data:
        assert read_audio_header(str(path)).num_samples == RATE
    else:
        with pytest.raises(BadAudioError, match=r"a\.wav .*finds 0 of at least 16000 samples.*--ignore-length"):
            read_audio_header(str(path))


def test_other_files_without_sizes(tmp_path):
    path = patch(write(tmp_path / "a.au", tone(1.0)), b".snd", b"\xff" * 4, skip=4)
    assert read_audio_header(str(path)).num_samples == RATE
    path = write(tmp_path / "a.aiff", tone(1.0))
    assert read_audio_header(str(patch(path, b"SSND", bytes(4)))).num_samples == RATE
    path = write(tmp_path / "a.flac", tone(1.0))
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(BadAudioError, match=r"a\.flac has a header without its length.*ffmpeg"):
        read_audio_header(str(path))


def test_mp3_of_which_libsndfile_reads_a_part_is_found(tmp_path):
    """Without a count of its frames libsndfile guesses the length from the first frame."""
    data = without_count(write(tmp_path / "a.mp3", tone(4.0)).read_bytes())
    for content in (data, ID3 + data):
        (tmp_path / "a.mp3").write_bytes(content)
        with pytest.raises(BadAudioError, match=r"a\.mp3 .*finds \d+ of at least \d+ samples.*ffmpeg"):
            read_audio_header(str(tmp_path / "a.mp3"))


def test_mp3_with_tags_at_the_ends_passes(tmp_path):
    data = write(tmp_path / "a.mp3", tone(4.0)).read_bytes()
    ape = b"APETAGEX" + (2000).to_bytes(4, "little") + bytes(2020)
    for tail in (b"TAG" + bytes(125), ape, bytes(4000)):
        (tmp_path / "a.mp3").write_bytes(ID3 + data + tail)
        assert read_audio_header(str(tmp_path / "a.mp3")).num_samples == 4 * RATE


@pytest.mark.parametrize("form", ["WAV", "AIFF", "CAF", "W64", "AU"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_found(form, value, tmp_path):
    samples = np.stack([tone(1.0)] * 2, axis=1)
    samples[9000, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE, format=form, subtype="FLOAT")
    with pytest.raises(BadAudioError, match=r"a\.wav holds NaN or infinite samples"):
        read_audio_header(str(tmp_path / "a.wav"))


@pytest.mark.parametrize("kind", PYAV)
def test_what_libsndfile_does_not_read_is_to_be_converted(kind, tmp_path):
    path = write(tmp_path / f"a.{kind}", tone(1.0))
    with pytest.raises(BadAudioError, match=rf"a\.{kind} cannot be read with libsndfile.*ffmpeg"):
        read_audio_header(str(path))


def test_a_broken_wav_of_no_samples_and_a_directory(tmp_path):
    write(tmp_path / "a.wav", np.zeros(0))
    for path, reason in ((tmp_path / "a.wav", "no samples"), (tmp_path, "does not exist"), (Path("-"), "not exist")):
        with pytest.raises(BadAudioError, match=reason):
            read_audio_header(str(path))


def test_neither_torch_nor_espnet_is_needed(tmp_path):
    path = write(tmp_path / "a.flac", tone(1.0))
    code = (
        "import sys\nfrom espnet_ext.data.audio import read_audio_header\n"
        "assert read_audio_header(sys.argv[1]).channels == 1\nassert not {'torch', 'espnet2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("kind", ["ogg", "opus"])
def test_a_damaged_page_from_or_to_which_the_length_is_counted_is_found(kind, place, tmp_path):
    """Decoders pass over it, and find as many samples as are left."""
    path = write(tmp_path / f"a.{kind}", tone(30.0))
    data = bytearray(path.read_bytes())
    pages = [match.start() for match in re.finditer(rb"OggS", data)]
    sound = [page for page in pages if data[page + 6 : page + 14] != bytes(8)]
    begin = (sound[0] if place == "first" else sound[-1]) + 400
    assert begin + 100 < len(data)
    data[begin : begin + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(
        BadAudioError, match=rf"a\.{kind} is truncated.*the page at byte {begin - 400} does not have its sum"
    ):
        read_audio_header(str(path))


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "m4a"])
@pytest.mark.parametrize("text", NO_RECORDINGS)
def test_a_text_in_place_of_a_recording_is_no_silence(kind, text, tmp_path):
    path = tmp_path / f"a.{kind}"
    path.write_text(NO_RECORDINGS[text])
    message = "git lfs pull" if text == "pointer" else "cannot be read|holds no sound|cut off or damaged"
    with pytest.raises(BadAudioError, match=rf"a\.{kind} .*({message})"):
        read_audio_header(str(path))


@pytest.mark.parametrize("rate", [1, 500, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(rate, tmp_path):
    path = patch(write(tmp_path / "a.wav", tone(1.0)), b"fmt ", rate.to_bytes(4, "little"), skip=8)
    with pytest.raises(BadAudioError, match=rf"a\.wav says that it has {rate} Hz, so its header is damaged"):
        read_audio_header(str(path))
