"""The teacher cache: same loss as a live teacher, resumed, readable by Kaldi's tools, refused where it does not fit."""

import json
import multiprocessing
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch

from espnet_ext.cli import cache as cache_verb
from espnet_ext.encrl.task import EncRLTask
from espnet_ext.errors import UserError
from espnet_ext.teachers.cache import MANIFEST, check_cache
from espnet_ext.teachers.cache_shard import start_worker, work
from espnet_ext.teachers.cache_writer import plan
from espnet_ext.teachers.load import load_teacher
from espnet_ext.teachers.processes import in_processes
from tests.tiny import TOKENS, model_conf, save_experiment

CRITERIA = [
    {"loss": "clip", "on": "encoder"},
    {"loss": "kld", "on": "log_probs"},
    {"loss": "mse", "on": "layer:1/2"},
]
OUTPUTS = ["encoder", "layer:1/2", "log_probs"]  # that they compare
SECONDS = {"u1": 1.0, "u2": 0.6, "u3": 0.8, "u4": 0.6}


@pytest.fixture(scope="module")
def teacher_exp(tmp_path_factory):
    return save_experiment(tmp_path_factory.mktemp("exp") / "teacher", **model_conf(2))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "train"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, seconds in SECONDS.items():
        soundfile.write(folder / f"{name}.wav", rng.standard_normal(int(16000 * seconds)) / 10, 16000, "FLOAT")
    (folder / "wav.scp").write_text("".join(f"{name} {folder / name}.wav\n" for name in SECONDS))
    (folder / "utt2num_samples").write_text("".join(f"{name} {int(16000 * s)}\n" for name, s in SECONDS.items()))
    return folder


def cache(teacher_exp, data_dir, output: Path, *options: str) -> Path:
    config = output.parent / "encrl.yaml"
    config.write_text(json.dumps({"criteria": CRITERIA}))
    cmd = ["--teacher", teacher_exp, "--data_dir", data_dir, "--output_dir", output, "--config", config]
    cache_verb.main([*map(str, cmd), "--shard_size", "2", *options])
    return output


def batch(data_dir, cache_dir: Path | None = None) -> dict:
    """Returns the batch that ESPnet's loader makes."""
    from espnet2.train.collate_fn import CommonCollateFn
    from espnet2.train.dataset import ESPnetDataset

    files = [(str(data_dir / "wav.scp"), "speech", "sound")]
    if cache_dir:
        files += [(str(path), path.stem, "kaldi_ark") for path in sorted(cache_dir.glob("*.scp"))]
    data = ESPnetDataset(files)
    _, tensors = CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)([data[name] for name in SECONDS])
    return tensors


def build(teacher_exp):
    args = vars(EncRLTask.get_parser().parse_args([]))
    args |= {"token_list": TOKENS, "teacher": str(teacher_exp), "students": {"e1": model_conf(1)}, "criteria": CRITERIA}
    torch.manual_seed(0)
    return EncRLTask.build_model(Namespace(**args)).eval()


# Quantised values: two bytes over the range of a matrix, one over that of a column.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("int16", 1e-3), ("int8", 3e-2)])
def test_cached_and_live_training_give_the_same_loss(teacher_exp, data_dir, tmp_path, dtype, tolerance):
    directory = cache(teacher_exp, data_dir, tmp_path / "cache", "--dtype", dtype)
    model = build(teacher_exp)
    # Utterance by utterance: in a batch, ESPnet's convolutions let the live teacher see a little of the padding.
    live, cached = batch(data_dir), batch(data_dir, directory)
    model.teacher.model.encoder.forward, whole = None, model.teacher.model.encoder.forward  # the encoder does not run
    _, stats, _ = model(**cached)
    model.teacher.model.encoder.forward = whole
    _, expected, _ = model(**live)
    assert stats.keys() == expected.keys()
    for key, value in stats.items():
        torch.testing.assert_close(value, expected[key], atol=tolerance, rtol=tolerance, msg=key)


def test_kaldi_reads_it_and_bytes_are_saved(teacher_exp, data_dir, tmp_path):
    sizes = {}
    for dtype in ("float32", "int16", "int8"):
        directory = cache(teacher_exp, data_dir, tmp_path / dtype, "--dtype", dtype)
        manifest = json.loads((directory / MANIFEST).read_text())
        sizes[dtype] = manifest["num_bytes"]
        arrays = kaldiio.load_scp(str(directory / "teacher_encoder.scp"))
        assert sorted(arrays) == sorted(SECONDS) and manifest["utterances"] == len(SECONDS)
        assert manifest["seconds"] > 0
    assert sizes["float32"] > 1.7 * sizes["int16"] > 1.7 * 1.3 * sizes["int8"]
    teacher = load_teacher(str(teacher_exp))
    signal = torch.from_numpy(soundfile.read(data_dir / "u2.wav", dtype="float32")[0])
    with torch.no_grad():
        expected, _ = teacher.model.encode(signal[None], torch.tensor([len(signal)]))
    exact = kaldiio.load_scp(str(tmp_path / "float32/teacher_encoder.scp"))["u2"]
    np.testing.assert_allclose(exact, expected[0].numpy(), atol=1e-5)


def test_a_stopped_cache_goes_on_and_equals_an_uninterrupted_one(teacher_exp, data_dir, tmp_path, capfd):
    whole = cache(teacher_exp, data_dir, tmp_path / "whole", "--dtype", "float32")
    broken = data_dir / "u3.wav"
    audio = broken.read_bytes()
    broken.write_bytes(b"cut off")
    with pytest.raises(UserError, match="the audio of u3 cannot be read"):
        cache(teacher_exp, data_dir, tmp_path / "stopped", "--dtype", "float32")
    stopped = tmp_path / "stopped"
    assert not (stopped / MANIFEST).exists()
    assert (stopped / "shards/teacher_encoder.0.scp").exists()
    broken.write_bytes(audio)
    cache(teacher_exp, data_dir, stopped, "--dtype", "float32")
    assert "2/4" in capfd.readouterr().err  # the first shard is not computed again
    ours, theirs = (kaldiio.load_scp(str(d / "teacher_encoder.scp")) for d in (stopped, whole))
    assert all(np.array_equal(ours[name], theirs[name]) for name in SECONDS)
    assert not list(stopped.rglob("*.part")) and not (stopped / "shards").exists()
    cache(teacher_exp, data_dir, stopped, "--dtype", "float32")
    assert "already complete" in capfd.readouterr().out


def test_two_processes_write_the_same(teacher_exp, data_dir, tmp_path):
    one, two = (cache(teacher_exp, data_dir, tmp_path / str(n), "--nj", str(n), "--dtype", "float32") for n in (1, 2))
    ours, theirs = (kaldiio.load_scp(str(d / "teacher_layer_1_2.scp")) for d in (one, two))
    assert all(np.array_equal(ours[name], theirs[name]) for name in SECONDS)
    assert multiprocessing.active_children() == []


def test_two_calls_at_once_write_one_cache(teacher_exp, data_dir, tmp_path):
    (tmp_path / "encrl.yaml").write_text(json.dumps({"criteria": CRITERIA}))
    command = [sys.executable, "-m", "espnet_ext", "cache", "--teacher", teacher_exp, "--data_dir", data_dir]
    command += ["--output_dir", tmp_path / "cache", "--config", tmp_path / "encrl.yaml", "--shard_size", "2"]
    calls = [subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [call.communicate()[0] for call in calls]
    assert [call.returncode for call in calls] == [0, 0]
    assert sum("already complete" in output for output in outputs) == 1
    assert sorted(kaldiio.load_scp(str(tmp_path / "cache/teacher_encoder.scp"))) == sorted(SECONDS)


def test_a_process_that_cannot_start_is_an_error(teacher_exp, data_dir, tmp_path):
    options = {"batch_sec": 1.0, "max_padding": 0.0, "ngpu": 0, "audio_format": "wav"}
    job = plan(str(teacher_exp), data_dir, tmp_path / "cache", OUTPUTS, "int16", 2, **options)
    with pytest.raises(UserError, match="could not start or was killed"):
        list(in_processes(start_worker, replace(job, teacher=str(tmp_path / "gone")), work, [0, 1], 2, "a cache"))


def test_a_cache_that_holds_more_serves_and_one_begun_otherwise_is_refused(teacher_exp, data_dir, tmp_path, capfd):
    directory = cache(teacher_exp, data_dir, tmp_path / "cache")
    fewer = ["--teacher", teacher_exp, "--data_dir", data_dir, "--output_dir", directory, "--shard_size", "3"]
    cache_verb.main(list(map(str, fewer)))  # without the layer, in other shards
    assert "already complete" in capfd.readouterr().out
    with pytest.raises(UserError, match="another teacher, dtype or data"):
        cache_verb.main([*map(str, fewer), "--dtype", "int8"])
    (directory / "shards").mkdir()
    (directory / MANIFEST).rename(directory / "shards" / MANIFEST)
    with pytest.raises(UserError, match="was begun for another .* --shard_size; delete it"):
        cache_verb.main(list(map(str, fewer)))


def test_a_cache_that_does_not_fit_is_refused(teacher_exp, data_dir, tmp_path):
    directory = cache(teacher_exp, data_dir, tmp_path / "cache")
    scp, speech = directory / "teacher_encoder.scp", data_dir / "wav.scp"
    check_cache(scp, str(teacher_exp), OUTPUTS, speech)
    other = save_experiment(tmp_path / "other", seed=1, **model_conf(2))
    with pytest.raises(UserError, match="made of other weights"):
        check_cache(scp, str(other), OUTPUTS, speech)
    (tmp_path / "more.scp").write_text(speech.read_text() + "u9 u9.wav\n")
    with pytest.raises(UserError, match="lacks 1 utterances of the training, e.g. u9"):
        check_cache(scp, str(teacher_exp), OUTPUTS, tmp_path / "more.scp")
    with pytest.raises(UserError, match="does not hold teacher_layer_1_1"):
        check_cache(scp, str(teacher_exp), ["layer:1/1"], speech)
    with pytest.raises(UserError, match="holds a cache of another teacher"):
        cache(other, data_dir, directory)
    (directory / MANIFEST).unlink()
    with pytest.raises(UserError, match="no finished teacher cache"):
        check_cache(scp, str(teacher_exp), OUTPUTS, speech)


def test_an_utterance_without_a_frame_is_named_before_work(teacher_exp, data_dir, tmp_path):
    short = tmp_path / "short"
    short.mkdir()
    (short / "wav.scp").write_text((data_dir / "wav.scp").read_text())
    lengths = (data_dir / "utt2num_samples").read_text()
    (short / "utt2num_samples").write_text(lengths.replace("u2 9600", "u2 800"))
    with pytest.raises(UserError, match=r"u2 \(800 samples\) is too short for one frame"):
        cache(teacher_exp, short, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("**/*.ark*"))


def test_too_little_disk_is_said_before_work(teacher_exp, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: Namespace(free=2**20))
    with pytest.raises(UserError, match="GiB free, the cache needs"):
        cache(teacher_exp, data_dir, tmp_path / "cache")
