"""Sets that teachers of each kind transcribe: kept, dropped, resumed, redone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_ext.cli import label as label_verb
from espnet_ext.data.check import Use, check_data_dir
from espnet_ext.data.text import read_text
from espnet_ext.errors import UserError
from espnet_ext.labels.form import Form
from espnet_ext.teachers import Teacher
from tests.teachers.foreign import convert_whisper, save, save_openai_whisper, save_transformers_whisper
from tests.tiny import TOKENS, model_conf, save_experiment

SECONDS = {"b-utt3": 1.0, "a-utt1": 0.9, "a-utt2": 0.7, "b-utt4": 0.5, "c-utt5": 0.4, "c-utt6": 0.02}
ALL = ("--min_confidence", "0", "--min_character_rate", "0", "--max_character_rate", "1e9", "--max_repetitions", "1000")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    """A formatted set without text, of noise."""
    directory = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines: dict[str, list[str]] = {"wav.scp": [], "utt2spk": [], "utt2num_samples": []}
    for name, seconds in sorted(SECONDS.items()):
        samples = int(16000 * seconds)
        soundfile.write(directory / f"{name}.wav", 0.1 * rng.standard_normal(samples), 16000)
        lines["wav.scp"].append(f"{name} {directory}/{name}.wav")
        lines["utt2spk"].append(f"{name} {name[0]}")
        lines["utt2num_samples"].append(f"{name} {samples}")
    for file, rows in lines.items():
        (directory / file).write_text("\n".join(rows) + "\n")
    (directory / "audio_format").write_text("wav\n")
    return directory


@pytest.fixture(scope="module")
def espnet(tmp_path_factory) -> str:
    return talkative(tmp_path_factory.mktemp("espnet") / "exp")


def talkative(exp_dir: Path, seed: int = 0, tokens: list[str] = TOKENS) -> str:
    """Writes a model that says many letters of noise, where an untrained one says the same all the time."""
    checkpoint = save_experiment(exp_dir, seed, tokens, **model_conf(2)) / "valid.cer_ctc.ave.pth"
    noise = 0.1 * torch.randn(1, 48000, generator=torch.Generator().manual_seed(0))
    frames = Teacher.from_pretrained(str(exp_dir))(noise, torch.tensor([48000]), []).encoder[0]  # (T, D)
    state, mean = torch.load(checkpoint), frames.mean(dim=0)
    weight = state["ctc.ctc_lo.weight"]
    weight *= 2 / ((frames - mean) @ weight.T).std()
    state["ctc.ctc_lo.bias"] = -weight @ mean
    state["ctc.ctc_lo.bias"][[1, len(tokens) - 1]] = -100.0  # <unk>, <sos/eos>
    torch.save(state, checkpoint)
    return str(exp_dir)


def label(teacher: str, data_dir: Path, output_dir: Path, *more: str) -> Path:
    words = ["--teacher", teacher, "--data_dir", str(data_dir), "--output_dir", str(output_dir), *more]
    label_verb.main([*words, "--shard_size", "2"])
    return output_dir


def heard(teacher: str, data_dir: Path) -> dict[str, tuple[str, float | None]]:
    """Returns what the teacher's own method says, utterance by utterance."""
    model, found = Teacher.from_pretrained(teacher), {"c-utt6": ("", None)}  # too short for all of them
    for name in sorted(SECONDS.keys() - found.keys()):
        signal, _ = soundfile.read(data_dir / f"{name}.wav", dtype="float32")
        (transcript,) = model.transcribe([torch.from_numpy(signal)], 16000)
        found[name] = transcript.text, transcript.confidence
    return found


@pytest.mark.parametrize("kind", ["espnet", "transformers", "openai", "ctranslate2"])
def test_the_set_has_what_the_teacher_says(kind, espnet, data_dir, tmp_path):
    if kind != "espnet":
        pytest.importorskip("transformers")
        pytest.importorskip("whisper")
    if kind == "transformers":
        teacher = f"transformers:{save(tmp_path / 'model', 'wav2vec2_layer')}"
    elif kind == "openai":
        teacher = f"whisper:{save_openai_whisper(tmp_path / 'tiny.pt')},language=en,beam=1"
    elif kind == "ctranslate2":
        source = save_transformers_whisper(tmp_path / "source")
        teacher = f"whisper:{convert_whisper(source, tmp_path / 'converted')},language=en,beam=1"
    else:
        teacher = espnet
    directory = label(teacher, data_dir, tmp_path / "labels", *ALL, "--min_sec", "0.1")
    expected, form = heard(teacher, data_dir), Form()
    spoken = {name: form(text) for name, (text, _) in expected.items() if form(text) and SECONDS[name] > 0.1}
    assert read_text(directory / "text") == spoken and len(spoken) >= 3
    scores = {name: float(score) for name, score in read_text(directory / "utt2score").items()}
    assert scores == pytest.approx({name: expected[name][1] for name in spoken}, abs=1e-4)
    reasons = dict(line.split("\t")[:2] for line in (directory / "dropped.tsv").read_text().splitlines())
    assert reasons == dict.fromkeys(SECONDS.keys() - spoken.keys(), "no text") | {"c-utt6": "short"}
    assert check_data_dir(directory, 16000, 1, Use()).errors == []
    assert (directory / "spk2utt").read_text().startswith("a a-utt1 a-utt2\n")
    assert not (data_dir / "text").exists()


def test_what_is_dropped_is_counted(espnet, data_dir, tmp_path, capsys):
    whole = label(espnet, data_dir, tmp_path / "whole", *ALL)
    texts, like = read_text(whole / "text"), tmp_path / "text"
    # A letter that some of the texts have is not in the corpus, which writes capitals.
    letter = next(one for one in "abcd" if 0 < sum(one in text for text in texts.values()) < len(texts))
    like.write_text(f"x {'abcd '.replace(letter, '').upper()}\n")
    known = {name for name, text in texts.items() if letter not in text}
    capsys.readouterr()
    directory = label(espnet, data_dir, tmp_path / "some", *ALL, "--like", str(like))
    assert read_text(directory / "text") == {name: texts[name].upper() for name in known}
    said, table = capsys.readouterr().out, (directory / "labels.md").read_text()
    assert f"{len(known)} of 6 utterances kept" in said and "no text 1 (some passes)" in said
    assert f"| unknown characters | none | {len(texts) - len(known)} | 0.00 |" in table and table in said
    dropped = [line.split("\t") for line in (directory / "dropped.tsv").read_text().splitlines()]
    assert ["unknown characters", letter.upper()] in [row[1:3] for row in dropped]


def test_where_nothing_is_kept_the_counts_are_named(espnet, data_dir, tmp_path):
    message = r"no text of .* is kept: 0 of 6 .*; left out: no text 1 .*, confidence 5 \(at least 1 passes\); lower"
    with pytest.raises(UserError, match=message):
        label(espnet, data_dir, tmp_path / "labels", *ALL, "--min_confidence", "1")
    assert not (tmp_path / "labels").exists()


def shards(output_dir: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in output_dir.with_name(f"{output_dir.name}.heard").glob("*.json")}


def test_other_thresholds_need_no_second_hearing(espnet, data_dir, tmp_path, capsys):
    directory = label(espnet, data_dir, tmp_path / "labels", *ALL)
    before, text = shards(directory), (directory / "text").stat().st_mtime_ns
    label(espnet, data_dir, directory, *ALL)
    assert "already labelled; 5 of 6 utterances kept" in capsys.readouterr().out
    assert (directory / "text").stat().st_mtime_ns == text
    scores = {name: float(score) for name, score in read_text(directory / "utt2score").items()}
    least = sum(scores.values()) / len(scores)
    label(espnet, data_dir, directory, *ALL, "--min_confidence", str(least))
    sure = {name for name, score in scores.items() if score >= least}
    assert read_text(directory / "text").keys() == sure < scores.keys() and shards(directory) == before
    label(espnet, data_dir, directory, *ALL, "--min_agreement", "0.0001")  # this hears twice
    assert len(shards(directory)) == 2 * len(before)
    label(espnet, data_dir, directory, *ALL)
    assert len(shards(directory)) == 2 * len(before)


def test_the_second_text_is_of_faster_audio(espnet, data_dir, tmp_path):
    directory = label(espnet, data_dir, tmp_path / "labels", *ALL, "--min_agreement", "0.0001")
    model, found = Teacher.from_pretrained(espnet), {}
    for path in shards(directory):
        found |= {name: entry[0]["second"] for name, entry in json.loads(path.read_text())["utterances"].items()}
    for name in SECONDS.keys() - {"c-utt6"}:
        signal, _ = soundfile.read(data_dir / f"{name}.wav", dtype="float32")
        assert found[name] == model.transcribe([torch.from_numpy(signal)], 17600)[0].text


def test_other_audio_and_another_teacher_are_heard_anew(espnet, data_dir, tmp_path):
    own = tmp_path / "data"
    own.mkdir()
    for path in data_dir.iterdir():
        (own / path.name).write_bytes(path.read_bytes().replace(str(data_dir).encode(), str(own).encode()))
    directory = label(espnet, own, tmp_path / "labels", *ALL)
    first, before = read_text(directory / "text"), shards(directory)
    os.utime(own / "a-utt1.wav")  # the same samples
    label(espnet, own, directory, *ALL)
    assert shards(directory) == before
    signal, _ = soundfile.read(own / "b-utt3.wav")
    soundfile.write(own / "a-utt1.wav", signal[: int(0.9 * 16000)], 16000)
    label(espnet, own, directory, *ALL)
    (new,) = shards(directory).keys() - before.keys()
    assert list(json.loads(new.read_text())["utterances"]) == ["a-utt1"]
    changed = {name for name, text in read_text(directory / "text").items() if text != first[name]}
    assert changed == {"a-utt1"}
    label(talkative(tmp_path / "other", seed=1), own, directory, *ALL)
    assert len(shards(directory)) == len(before) + 1 + 3


def test_a_killed_call_goes_on(espnet, data_dir, tmp_path):
    """Killed with its processes after the first shard, it hears the others only."""
    directory, logs = tmp_path / "labels", tmp_path / "log"
    words = ["--teacher", espnet, "--data_dir", data_dir, "--output_dir", directory, *ALL, "--shard_size", "1"]
    command = [sys.executable, "-m", "espnet_ext", "label", *map(str, words), "--nj", "2"]
    with logs.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    while not shards(directory) and process.poll() is None:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = shards(directory)
    if len(before) == len(SECONDS):
        pytest.skip("it was faster")
    assert before, logs.read_text()
    label(espnet, data_dir, directory, *ALL)
    after = shards(directory)
    assert before.items() < after.items() and len(read_text(directory / "text")) == 5
    names = [name for path in after for name in json.loads(path.read_text())["utterances"]]
    assert sorted(names) == sorted(SECONDS)


def test_what_cannot_be_labelled_is_said(espnet, data_dir, tmp_path):
    with pytest.raises(UserError, match="wav.scp does not exist or is empty; prepare the data"):
        label(espnet, tmp_path / "none", tmp_path / "labels")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letters.txt").write_text("dear")
    with pytest.raises(UserError, match="mine holds something else than pseudo-labels; give another --output_dir"):
        label(espnet, data_dir, tmp_path / "mine")
    (tmp_path / "own.yaml").write_text("min_confidenc: 0.5\n")
    with pytest.raises(UserError, match="min_confidenc"):
        label(espnet, data_dir, tmp_path / "labels", "--config", str(tmp_path / "own.yaml"))
    (tmp_path / "labels.heard").mkdir()
    (tmp_path / "labels.heard/a.json").write_text("[]")
    with pytest.raises(UserError, match="a.json is no shard of pseudo-labels"):
        label(espnet, data_dir, tmp_path / "labels")


def test_a_teacher_without_text_is_refused(data_dir, tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(UserError, match="makes no text: it has no decoder, and no CTC output"):
        label(f"transformers:{save(tmp_path / 'model', 'wavlm_encoder')}", data_dir, tmp_path / "labels")
