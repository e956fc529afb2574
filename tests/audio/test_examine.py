"""What an examination reads of a long recording."""

import io

import numpy as np
import pytest
import soundfile

from espnet_ext.audio.examine import examine
from espnet_ext.audio.extent import Extent
from espnet_ext.audio.view import FileView, StreamView
from tests.recordings import PYAV, RATE, SNDFILE, tone, write


class Counted(io.FileIO):
    """A file that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("kind, most", [("wav", 300), ("aiff", 300), ("caf", 300), ("flac", 300_000), ("ogg", 300_000)])
def test_of_a_long_recording_little_is_read(kind, most, tmp_path):
    signal = 0.1 * np.random.default_rng(0).standard_normal(20 * RATE)
    form, subtype = SNDFILE[kind]
    with soundfile.SoundFile(tmp_path / "a", "w", RATE, 1, subtype, format=form) as out:
        for _ in range(15):
            out.write(signal)
    with Counted(tmp_path / "a") as file:
        assert examine(FileView(file)).lost == "" and file.count < most
        if kind != "ogg":
            assert examine(FileView(file)).samples == 300 * RATE


def test_of_mp3_that_counts_its_frames_the_first_is_read(tmp_path):
    with Counted(write(tmp_path / "a.mp3", tone(60.0))) as file:
        assert examine(FileView(file)).samples == pytest.approx(60 * RATE, rel=0.01)
        assert file.count < 70_000


@pytest.mark.parametrize("kind", sorted(set(SNDFILE) - {"mp3"}))
def test_a_stream_of_which_the_middle_is_gone_is_no_damage(kind, tmp_path):
    """Long enough that neither the kept beginning nor the kept end holds all."""
    signal = 0.1 * np.random.default_rng(0).standard_normal((90 * RATE, 1))
    data = write(tmp_path / f"a.{kind}", signal[: 9 * RATE] if kind == "ogg" else signal, kind=kind).read_bytes()
    view = StreamView(io.BytesIO(data[4:]), data[:4])
    view.drain()
    assert view.size == len(data) and view.at(0, 100) == data[:100] and view.at(len(data) - 9, 99) == data[-9:]
    extent = examine(view)
    assert (extent.lost, extent.joined) == ("", False)


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"RIFF....WAVE", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"NIST_1A\n   x"]
)
def test_the_beginning_of_a_header_is_no_crash(data):
    assert isinstance(examine(FileView(io.BytesIO(data))), Extent)


@pytest.mark.parametrize("kind", [*SNDFILE, *PYAV])
def test_noise_in_a_header_is_no_crash(kind, tmp_path):
    """A fuzz of fixed seed: whatever the header says, there is an answer."""
    whole = write(tmp_path / f"a.{kind}", tone(0.5), kind=kind).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        data = bytearray(whole)
        for place in rng.integers(4, 120, size=4):
            data[place] = rng.integers(256)
        assert isinstance(examine(FileView(io.BytesIO(data))), Extent)
