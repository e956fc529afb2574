"""A cache whose files or audio are not those any more, or that a teacher without sense would fill, is refused."""

import json
import os
import shutil
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch

from espnet_ext.errors import UserError
from espnet_ext.teachers.cache import MANIFEST, check_cache
from tests.encrl.test_model import build
from tests.teachers.test_cache import OUTPUTS, SECONDS, cache
from tests.tiny import model_conf, save_experiment

NAMES = list(SECONDS)


@pytest.fixture(scope="module")
def teacher_exp(tmp_path_factory):
    return save_experiment(tmp_path_factory.mktemp("exp") / "teacher", **model_conf(2))


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """Audio whose lengths no file tells."""
    folder = tmp_path / "train"
    folder.mkdir()
    for number, (name, seconds) in enumerate(SECONDS.items()):
        write_audio(folder / f"{name}.wav", number, seconds)
    (folder / "wav.scp").write_text("".join(f"{name} {folder / name}.wav\n" for name in NAMES))
    return folder


@pytest.fixture
def cached(teacher_exp, data_dir, tmp_path) -> Path:
    return cache(teacher_exp, data_dir, tmp_path / "cache")


def write_audio(path: Path, seed: int, seconds: float) -> None:
    rng = np.random.default_rng(seed)
    soundfile.write(path, rng.standard_normal(int(16000 * seconds)) / 10, 16000, "FLOAT")


def check(cached: Path, teacher_exp: Path, data_dir: Path) -> None:
    """Checks as a training does."""
    check_cache(cached / "teacher_encoder.scp", str(teacher_exp), OUTPUTS, data_dir / "wav.scp")


def refused(cached, teacher_exp, data_dir, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(cached, teacher_exp, data_dir)
    with pytest.raises(UserError, match=message):  # not "already complete"
        cache(teacher_exp, data_dir, cached)


def zero_block(file: Path) -> None:
    """As a disk leaves a file after a loss of power: size and time are right."""
    times = file.stat()
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(bytes(64))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("name", ["teacher_encoder.1.ark", "teacher_layer_1_2.0.ark", "teacher_layer_1_2.scp"])
@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda file: os.truncate(file, file.stat().st_size - 10), "has [0-9]+ bytes and had [0-9]+"),
        (Path.unlink, "is gone"),
        (zero_block, "holds something else than was written"),
    ],
    ids=["cut off", "deleted", "zeros"],
)
def test_a_damaged_cache_is_refused(cached, teacher_exp, data_dir, name, damage, message):
    damage(cached / name)
    refused(cached, teacher_exp, data_dir, f"cache: {name} {message}; delete .* and cache again")


def test_a_cache_that_was_moved_from_its_archives_is_refused(cached, teacher_exp, data_dir, tmp_path):
    shutil.copytree(cached, tmp_path / "copy")
    refused(tmp_path / "copy", teacher_exp, data_dir, "copy: teacher_encoder.scp lists .*was the cache moved")


def test_a_cache_that_was_touched_is_read_once_and_serves(cached, teacher_exp, data_dir, capsys):
    before = (cached / MANIFEST).read_text()
    os.utime(cached / "teacher_encoder.0.ark", ns=(0, 0))
    os.utime(data_dir / "u1.wav", ns=(0, 0))
    check(cached, teacher_exp, data_dir)
    cache(teacher_exp, data_dir, cached)
    assert "already complete" in capsys.readouterr().out
    assert (cached / MANIFEST).read_text() != before and ":0:" in (cached / "utt2audio").read_text()


def test_other_audio_of_equal_length_is_refused(cached, teacher_exp, data_dir):
    times = (data_dir / "u2.wav").stat()
    write_audio(data_dir / "u2.wav", 9, SECONDS["u2"])
    os.utime(data_dir / "u2.wav", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (data_dir / "u2.wav").stat().st_size == times.st_size
    refused(cached, teacher_exp, data_dir, "other audio: 1 utterances .*, e.g. u2; delete it")


def test_swapped_entries_of_wav_scp_are_refused(cached, teacher_exp, data_dir):
    """u2 and u4 are equally long."""
    entries = dict(line.split(" ", 1) for line in (data_dir / "wav.scp").read_text().splitlines())
    entries["u2"], entries["u4"] = entries["u4"], entries["u2"]
    (data_dir / "wav.scp").write_text("".join(f"{name} {file}\n" for name, file in entries.items()))
    refused(cached, teacher_exp, data_dir, "other audio: 2 utterances")


def test_the_same_samples_in_another_file_serve(cached, teacher_exp, data_dir, tmp_path):
    other = tmp_path / "other files"
    shutil.copytree(data_dir, other)
    signal, rate = soundfile.read(other / "u3.wav", dtype="float32")
    soundfile.write(other / "u3.caf", signal, rate, "FLOAT")
    scp = (data_dir / "wav.scp").read_text().replace(str(data_dir), str(other)).replace("u3.wav", "u3.caf")
    (other / "wav.scp").write_text(scp)
    check(cached, teacher_exp, other)


def test_audio_in_archives_is_compared_too(teacher_exp, tmp_path):
    data_dir = tmp_path / "train"
    data_dir.mkdir()
    (data_dir / "audio_format").write_text("flac.ark\n")

    def write(seed: int) -> None:
        rng = np.random.default_rng(seed)
        with kaldiio.WriteHelper(f"ark,scp:{data_dir}/a.ark,{data_dir}/wav.scp") as writer:
            for name in NAMES:
                writer(name, (16000, rng.integers(-3000, 3000, 12800).astype(np.int16)))

    write(0)
    directory = cache(teacher_exp, data_dir, tmp_path / "cache")
    arguments = (directory / "teacher_encoder.scp", str(teacher_exp), OUTPUTS, data_dir / "wav.scp")
    write(0)
    check_cache(*arguments, "kaldi_ark")
    write(1)
    with pytest.raises(UserError, match="other audio: 4 utterances"):
        check_cache(*arguments, "kaldi_ark")


def stop_in_second_shard(teacher_exp, data_dir, cached: Path) -> None:
    lengths = "".join(f"{name} {int(16000 * seconds)}\n" for name, seconds in SECONDS.items())
    (data_dir / "utt2num_samples").write_text(lengths)  # without it, all audio is read before work
    whole = (data_dir / "u3.wav").read_bytes()
    (data_dir / "u3.wav").write_bytes(b"cut off")
    with pytest.raises(UserError, match="u3 cannot be read"):
        cache(teacher_exp, data_dir, cached, "--dtype", "float32")
    (data_dir / "u3.wav").write_bytes(whole)


@pytest.mark.parametrize("change", ["archive", "audio"])
def test_an_unfinished_cache_goes_on_with_whole_shards_only(teacher_exp, data_dir, tmp_path, capsys, change):
    directory = tmp_path / "cache"
    stop_in_second_shard(teacher_exp, data_dir, directory)
    if change == "archive":
        os.truncate(directory / "teacher_encoder.0.ark", 100)
    else:
        write_audio(data_dir / "u1.wav", 9, SECONDS["u1"])
    cache(teacher_exp, data_dir, directory, "--dtype", "float32")
    assert "shard 0 is damaged or its audio is another now" in capsys.readouterr().out
    again = cache(teacher_exp, data_dir, tmp_path / "again", "--dtype", "float32")
    ours, theirs = (kaldiio.load_scp(str(d / "teacher_encoder.scp")) for d in (directory, again))
    assert all(np.array_equal(ours[name], theirs[name]) for name in NAMES)


@pytest.mark.parametrize(
    "criterion",
    [{"loss": "mse", "on": "log_probs"}, {"loss": "clip", "on": "encoder"}, {"loss": "cosine", "on": "layer:1/2"}],
)
def test_criteria_that_count_padding_take_no_cache(cached, teacher_exp, data_dir, tmp_path, criterion):
    """A batch of cached outputs is padded with zeros; a live teacher says something there."""
    criteria = [criterion | {"conf": {"masked": False}}]
    with pytest.raises(UserError, match="masked: false.*--teacher_cache false"):
        files = [(f"{cached}/{name}.scp", name, "kaldi_ark") for name in ("teacher_encoder", "teacher_layer_1_2")]
        data = [(f"{data_dir}/wav.scp", "speech", "sound"), *files]
        build(teacher_exp, criteria, train_data_path_and_name_and_type=data)
    config = tmp_path / "unmasked.yaml"
    config.write_text(json.dumps({"criteria": criteria}))
    with pytest.raises(UserError, match="masked: false.*--teacher_cache false"):
        cache(teacher_exp, data_dir, tmp_path / "none", "--config", str(config))
    assert not (tmp_path / "none").exists()


def broken_teacher(directory: Path, weight: str, value: float) -> Path:
    exp = save_experiment(directory, **model_conf(2))
    state = torch.load(exp / "valid.cer_ctc.ave.pth")
    state[weight].view(-1)[0] = value
    torch.save(state, exp / "valid.cer_ctc.ave.pth")
    return exp


# The second one's encoder output is finite, and only that is stored.
@pytest.mark.parametrize("weight", ["encoder.after_norm.weight", "ctc.ctc_lo.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_teacher_that_is_not_finite_fills_no_cache(data_dir, tmp_path, weight, value):
    teacher = broken_teacher(tmp_path / "teacher", weight, value)
    with pytest.raises(
        UserError, match="teacher .*teacher: its output is not finite .* e.g. u1, .* another checkpoint"
    ):
        cache(teacher, data_dir, tmp_path / "cache")
    assert not (tmp_path / "cache" / MANIFEST).exists()


def test_audio_that_is_not_finite_is_named_as_such(teacher_exp, data_dir, tmp_path):
    signal = np.zeros(16000, dtype=np.float32)
    signal[100] = np.nan
    soundfile.write(data_dir / "u3.wav", signal, 16000, "FLOAT")
    with pytest.raises(UserError, match="the audio of u3 holds samples that are not finite"):
        cache(teacher_exp, data_dir, tmp_path / "cache")
