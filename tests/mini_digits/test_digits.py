"""The embedded corpus is reproducible to the byte, complete or absent, and its noise is what was asked for."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from digits import SPLITS, VARIANTS, Options, make_split, speakers
from espeak import Espeak, Prosody
from espnet_ext.directories import make_beside
from espnet_ext.errors import UserError
from make_digits import main
from noise import mix, pink_noise, white_noise
from split import MANIFEST
from utterance import WORDS, to_16k


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak()


def contents(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_speak_does_not_depend_on_what_was_said_before(espeak: Espeak):
    # klatt voices add random noise, f1 has a pitch flutter: both keep state inside the library
    for voice in ("en-us+f1", "en+klatt3"):
        first = espeak.speak("nine eight", voice, Prosody(rate=150))
        espeak.speak("something else", "en-029+m7", Prosody(pitch=80, pitch_range=10, rate=300))
        assert np.array_equal(first, espeak.speak("nine eight", voice, Prosody(rate=150)))
        assert len(espeak.speak("nine eight", voice, Prosody(rate=300))) < 0.8 * len(first)


@pytest.mark.parametrize(("voice", "message"), [("xx-nowhere", "no voice 'xx-nowhere'"), ("en+nobody", "'nobody'")])
def test_unknown_voice_is_named(espeak: Espeak, voice: str, message: str):
    with pytest.raises(UserError, match=message):
        espeak.speak("one", voice)


def test_resampling_keeps_a_tone():
    seconds = np.arange(22050) / 22050
    resampled = to_16k(np.round(20000 * np.sin(2 * np.pi * 440 * seconds)).astype(np.int16), 22050)
    assert len(resampled) == 16000
    expected = 20000 / 32768 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(resampled - expected).max() < 1e-3


def test_no_voice_is_in_two_splits_and_all_speak(espeak: Espeak):
    variants = [variant for split in SPLITS for variant in VARIANTS[split].split()]
    assert len(variants) == len(set(variants))
    names = [name for split in SPLITS for name, _ in speakers(split)]
    assert len(names) == len(set(names)) == len(variants)
    for split in SPLITS:
        spoken = [espeak.speak("one two three", voice) for _, voice in speakers(split)]
        assert all(np.abs(samples.astype(int)).max() > 1000 and len(samples) > 10000 for samples in spoken)
        assert len({samples.tobytes() for samples in spoken}) == len(spoken)


@pytest.mark.slow
def test_same_options_same_bytes_for_any_number_of_processes(tmp_path: Path):
    options = Options(num_utts=16, seed=3)
    for nj in (1, 2):
        make_split(tmp_path / str(nj), "train", options, nj)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")

    # a smaller split is the beginning of a bigger one; another seed is another corpus
    make_split(tmp_path / "few", "train", Options(num_utts=5, seed=3))
    make_split(tmp_path / "other", "train", Options(num_utts=5, seed=4))
    many, few, other = (contents(tmp_path / name / "train") for name in ("1", "few", "other"))
    audio = [name for name in few if name.endswith(".flac")]
    assert len(audio) == 5
    assert all(few[name] == many[name] != other[name] for name in audio)


def test_files_are_what_the_manifest_and_transcripts_say(tmp_path: Path):
    statistics = make_split(tmp_path, "test", Options(num_utts=14))
    split_dir = tmp_path / "test"
    transcripts = dict(
        line.split(maxsplit=1)
        for path in split_dir.glob("*/*.trans.txt")
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    audio = {path.stem: path for path in split_dir.glob("*/*.flac")}
    assert audio.keys() == transcripts.keys()
    assert len(audio) == statistics.num_utts == 14
    assert all(1 <= len(text.split()) <= 7 and set(text.split()) <= set(WORDS) for text in transcripts.values())
    infos = [soundfile.info(path) for path in audio.values()]
    assert {(info.samplerate, info.channels, info.subtype) for info in infos} == {(16000, 1, "PCM_16")}
    assert sum(info.frames for info in infos) / 16000 == pytest.approx(statistics.seconds, abs=0.01)
    assert {path.parent.name for path in audio.values()} == {name for name, _ in speakers("test")}
    assert json.loads((split_dir / MANIFEST).read_text())["made_from"]["num_utts"] == 14


def test_complete_split_is_kept_and_another_is_made_again(tmp_path: Path):
    said: list[str] = []
    make_split(tmp_path, "valid", Options(num_utts=4), log=said.append)
    flac = sorted((tmp_path / "valid").glob("*/*.flac"))
    before = flac[0].stat().st_mtime_ns
    make_beside(tmp_path / "valid")  # what an interrupted call leaves

    said.clear()
    make_split(tmp_path, "valid", Options(num_utts=4), log=said.append)
    assert said == [f"{tmp_path}/valid: already made, kept"]
    assert flac[0].stat().st_mtime_ns == before

    said.clear()
    make_split(tmp_path, "valid", Options(num_utts=4, snr_db=(20.0, 30.0)), log=said.append)
    assert "made from other options" in said[0]
    assert flac[0].stat().st_mtime_ns != before
    assert [path.name for path in tmp_path.iterdir()] == ["valid"]

    flac[1].unlink()
    said.clear()
    make_split(tmp_path, "valid", Options(num_utts=4, snr_db=(20.0, 30.0)), log=said.append)
    assert "incomplete" in said[0]
    assert flac[1].exists()


def zero_runs(samples: np.ndarray) -> list[tuple[int, int]]:
    """Returns (first sample, samples) of every stretch of at least 0.1 s of digital silence."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], samples == 0, [0]]).astype(int)))
    runs = zip(changes[::2].tolist(), (changes[1::2] - changes[::2]).tolist(), strict=True)
    return [(start, length) for start, length in runs if length >= 1600]


@pytest.mark.slow
def test_recordings_have_pauses_levels_and_digital_silence(tmp_path: Path):
    make_split(tmp_path, "train", Options(num_utts=120, snr_db=(5.0, 20.0)), nj=2)
    audio = [soundfile.read(path, dtype="int16")[0] for path in (tmp_path / "train").glob("*/*.flac")]
    begins, ends, between = [], [], []
    for samples in audio:
        for start, length in zero_runs(samples):
            kind = begins if start == 0 else ends if start + length == len(samples) else between
            kind.append(length / 16000)
    for seconds in (begins, ends):
        assert len(seconds) > 12 and max(seconds) > 1 and max(seconds) <= 2.01
    assert len(between) > 3 and max(between) > 0.3
    assert sum(not zero_runs(samples) for samples in audio) > 30  # and many have none
    levels = [20 * np.log10(np.abs(samples).max() / 32768) for samples in audio]
    assert min(levels) < -24 and max(levels) > -3


def test_a_corpus_of_before_is_made_again(tmp_path: Path):
    """A split that was made with other pauses and levels is not the one that was asked for."""
    make_split(tmp_path, "valid", Options(num_utts=2))
    path = tmp_path / "valid" / MANIFEST
    manifest = json.loads(path.read_text())
    for change in ({}, {"ranges": {"pause_sec": [0.1, 0.35]}}):
        made_from = {key: manifest["made_from"][key] for key in ("num_utts", "snr_db", "seed", "espeak_ng")}
        path.write_text(json.dumps({**manifest, "made_from": {**made_from, **change}}))
        said: list[str] = []
        make_split(tmp_path, "valid", Options(num_utts=2), log=said.append)
        assert "made from other options" in said[0]
        assert json.loads(path.read_text()) == manifest


def test_foreign_files_are_not_replaced(tmp_path: Path):
    precious = tmp_path / "train" / "recordings.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(UserError, match="not replaced"):
        make_split(tmp_path, "train", Options(num_utts=2))
    assert precious.read_text() == "mine"


def test_failure_leaves_nothing_that_looks_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(VARIANTS, "valid", VARIANTS["valid"] + " no-such-variant-file")
    with pytest.raises(UserError, match="no-such-variant-file"):
        make_split(tmp_path, "valid", Options(num_utts=7))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_mix_has_the_asked_snr_and_does_not_clip(snr_db: float):
    rng = np.random.default_rng(0)
    spoken = np.zeros(20000, bool)
    spoken[3000:9000] = spoken[12000:19000] = True  # a pause does not make the speech quieter
    speech = np.where(spoken, np.sin(np.arange(20000) * 0.1), 0.0)
    for level_db in (-30.0, 0.0):
        for noise in (white_noise(20000, rng), pink_noise(20000, rng)):
            mixture = mix(speech, spoken, noise, snr_db, level_db)
            assert len(mixture) == 20000
            assert np.abs(mixture).max() <= 0.99 + 1e-9
            # the noise is known up to its gain, which the part before the speech gives exactly
            rest = mixture - noise * (mixture[:3000] @ noise[:3000]) / (noise[:3000] @ noise[:3000])
            scaled_noise = mixture - rest
            measured = 10 * np.log10(np.mean(rest[spoken] ** 2) / np.mean(scaled_noise[spoken] ** 2))
            assert measured == pytest.approx(snr_db, abs=1e-6)
            if level_db == -30.0:
                assert 20 * np.log10(np.std(rest[spoken])) == pytest.approx(-30.0, abs=0.01)


def test_mix_without_noise_has_digital_silence_in_pauses():
    speech = np.sin(np.arange(9000) * 0.1)
    spoken = np.arange(9000) < 4000
    mixture = mix(np.where(spoken, speech, 0.0), spoken, np.zeros(9000), 10.0, -20.0)
    assert not mixture[4000:].any() and 20 * np.log10(np.std(mixture[:4000])) == pytest.approx(-20.0, abs=0.01)


def test_pink_noise_falls_3_db_per_octave():
    power = np.abs(np.fft.rfft(pink_noise(1 << 16, np.random.default_rng(0)))) ** 2
    octaves = [10 * np.log10(power[1 << k : 2 << k].mean()) for k in range(8, 15)]
    assert np.diff(octaves) == pytest.approx(-3.01, abs=0.8)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--snr_db=15,0", "--snr_db '15,0'"),
        ("--snr_db=loud", "--snr_db 'loud'"),
        ("--num_valid=0", "--num_valid 0"),
        ("--nj=0", "--nj 0"),
        ("--seed=-1", "--seed -1"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, option: str, message: str):
    with pytest.raises(UserError, match=message):
        main(["--out_dir", str(tmp_path / "out"), option])
    assert not (tmp_path / "out").exists()
