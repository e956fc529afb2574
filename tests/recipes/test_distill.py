"""EncRL from Python: what stands in docs/python.md, and that it is the training of the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_ext import Student, distill
from espnet_ext.errors import UserError
from tests.pages import code_of
from tests.recipes.tiny_conf import CRITERIA, TRAINING
from tests.teachers.foreign import save
from tests.tiny import TOKENS, model_conf, save_experiment

SETS = {"train": "dump/raw/train", "valid": "dump/raw/dev"}


def make_folder(root: Path) -> None:
    """Makes what a user of the page has: a teacher, two sets, configurations, a recording."""
    save_experiment(root / "exp/asr_teacher", token_type="char", **model_conf(3))
    rng = np.random.default_rng(0)
    for folder in SETS.values():
        (root / folder).mkdir(parents=True)
        names = [f"{folder}/u{i}.wav" for i in range(4)]
        for i, name in enumerate(names):
            soundfile.write(root / name, rng.standard_normal(8000 + 2000 * i) / 10, 16000)
        (root / folder / "wav.scp").write_text("".join(f"{Path(name).stem} {name}\n" for name in names))
        (root / folder / "text").write_text("".join(f"{Path(name).stem} a b\n" for name in names))
    (root / "conf").mkdir()
    encrl = TRAINING | {"criteria": CRITERIA, "use_matplotlib": False, "use_tensorboard": False}
    student = {key: value for key, value in model_conf(2).items() if key != "normalize"}
    for name, content in (("encrl", encrl), ("e6", student)):
        (root / f"conf/{name}.yaml").write_text(yaml.safe_dump(content))
    (root / "student.yaml").write_text(yaml.safe_dump(student))
    soundfile.write(root / "talk.wav", rng.standard_normal(44100) / 10, 44100)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    make_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[Path, str]:
    """The folder in which the code of docs/python.md has run, as it stands there, and what it said."""
    root = tmp_path_factory.mktemp("page")
    make_folder(root)
    done = subprocess.run([sys.executable, "-c", code_of("python.md")], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return root, done.stdout


@pytest.mark.slow
def test_the_page_runs(page):
    root, said = page
    assert "EncRL e6  epoch 1/1" in said and "EncRL e1  epoch 1/1" in said
    assert said.splitlines()[-1] == "exp/encrl_e1/e1"
    for directory, name, layers in (("encrl", "e6", 2), ("encrl_e1", "e1", 1)):
        record = json.loads((root / f"exp/{directory}/run.json").read_text())
        assert (record["kind"], record["state"]) == ("encrl", "finished")
        assert set(record["made_of"]["inputs"]) == {"train audio", "train text", "valid audio", "valid text"}
        config = yaml.safe_load((root / f"exp/{directory}/{name}/config.yaml").read_text())
        assert config["encoder_conf"]["num_blocks"] == layers and "teacher" not in config
        assert config["normalize"] == "global_mvn" and config["token_type"] == "char"
    assert "The training was finished at 1 epochs" in (root / "exp/encrl/train.log").read_text()


@pytest.mark.slow
def test_it_is_the_training_of_the_command(page):
    root, _ = page
    config = yaml.safe_load((root / "exp/encrl/config.yaml").read_text())
    config |= {"output_dir": "exp/command", "teacher": "exp/asr_teacher"}
    known = {key: value for key, value in config.items() if key not in ("config", "required", "version", "distributed")}
    (root / "command.yaml").write_text(yaml.safe_dump(known))
    call = [sys.executable, "-m", "espnet_ext.encrl.train", "--config", "command.yaml"]
    done = subprocess.run(call, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = (torch.load(root / f"exp/{name}/1epoch.pth") for name in ("encrl", "command"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.slow
def test_the_same_call_goes_on_or_opens_what_is_there(page, monkeypatch):
    root, _ = page
    monkeypatch.chdir(root)
    arguments = {"teacher": "exp/asr_teacher", "students": {"e6": "conf/e6.yaml"}, **SETS, "output_dir": "exp/encrl"}
    first = Path("exp/encrl/1epoch.pth").stat()
    opened = distill(**arguments)["e6"]
    assert Path("exp/encrl/1epoch.pth").stat() == first and not Path("exp/encrl/2epoch.pth").exists()
    before = opened.transcribe("talk.wav")
    assert before == Student.from_pretrained("exp/encrl/e6").transcribe("talk.wav")
    start = Path("exp/encrl/e6/model.pth").read_bytes()
    distill(**arguments, max_epoch=2, keep_nbest_models=2)
    assert (
        Path("exp/encrl/1epoch.pth").stat().st_mtime_ns == first.st_mtime_ns and Path("exp/encrl/2epoch.pth").exists()
    )
    assert Path("exp/encrl/e6/model.pth").read_bytes() != start
    Path("dump/raw/train/text").write_text(Path("dump/raw/train/text").read_text().replace("a b", "b a", 1))
    with pytest.raises(UserError, match=r"something else: inputs.train text; on_change='redo' trains it anew"):
        distill(**arguments, max_epoch=2, keep_nbest_models=2)
    kept = distill(**arguments, max_epoch=2, keep_nbest_models=2, on_change="keep")
    assert kept["e6"].source == "exp/encrl/e6"


@pytest.mark.slow
def test_a_teacher_of_another_library(folder):
    """Its tokens are none of the student's, so the encoders are compared."""
    pytest.importorskip("transformers")
    teacher = f"transformers:{save(folder / 'model', 'wav2vec2_group')}"
    Path("tokens.txt").write_text("".join(f"{token}\n" for token in TOKENS))
    given = {"students": {"e6": "conf/e6.yaml"}, **SETS, "token_list": "tokens.txt", "token_type": "char"}
    with pytest.raises(UserError, match="needs the same token list"):
        distill(teacher, **given, output_dir="exp/both")
    students = distill(teacher, **given, output_dir="exp/encrl", criteria=CRITERIA[:1])
    assert students["e6"].tokens == TOKENS
    with pytest.raises(UserError, match=r"something else: parents.teacher"):
        save(folder / "other", "wav2vec2_group", seed=1)
        distill(f"transformers:{folder}/other", **given, output_dir="exp/encrl", criteria=CRITERIA[:1])


@pytest.mark.slow
def test_tokens_of_a_teacher_of_another_library_and_few_transcripts(folder):
    """Students take its tokens unless others are given, and learn from the transcripts that there are."""
    pytest.importorskip("transformers")
    teacher = f"transformers:{save(folder / 'model', 'wav2vec2_group')}"
    Path("dump/raw/train/text").write_text("u0 AB A\n")
    Path("dump/raw/dev/text").write_text("".join(f"u{i} A B\n" for i in range(4)))
    given = {"students": {"e6": "conf/e6.yaml"}, **SETS, "criteria": [*CRITERIA, {"loss": "ctc"}]}
    students = distill(teacher, **given, output_dir="exp/encrl", select_by="cer_ctc")
    assert students["e6"].tokens == ["<blank>", "<unk>", "<space>", "A", "B", "C", "<sos/eos>"]
    assert Path("exp/encrl/valid.e6_cer_ctc.ave.pth").is_file()
    assert Path("exp/encrl/train_text").read_text() == "u0 AB A\nu1\nu2\nu3\n"
    Path("dump/raw/train/text").write_text("")
    with pytest.raises(UserError, match="criterion 'ctc' needs transcripts, and .*train_text has none"):
        distill(teacher, **given, output_dir="exp/none")


CASES = {
    "unknown option": ({"max_epocs": 3}, "unknown key 'max_epocs'; did you mean 'max_epoch'"),
    "several GPUs": ({"ngpu": 2}, "ngpu=2: distill takes 0, or 1 where there is a GPU; a recipe trains on several"),
    "on_change": ({"on_change": "maybe"}, "'maybe' is not fail, redo or keep"),
    "no teacher": ({"teacher": "exp/techer"}, "exp/techer"),
    "other family": ({"teacher": "whisper:base"}, "give token_list, token_type"),
    "no encoder": ({"students": {"e6": {"model_conf": {"ctc_weight": 1.0}}}}, "student e6 describes no model"),
    "no students": ({"students": {}}, "students is empty"),
    "no data": ({"train": "dump/raw/none"}, "dump/raw/none/wav.scp does not exist"),
    "no such tokens": ({"token_list": "tokens.txt"}, "token_list tokens.txt cannot be read"),
    "incomplete": ({"config": "conf/e6.yaml"}, "conf/e6.yaml: max_epoch, optim, .* missing"),
}


@pytest.mark.parametrize("case", CASES)
def test_mistakes_are_found_before_any_work(folder, case):
    arguments = {"teacher": "exp/asr_teacher", "students": {"e6": "conf/e6.yaml"}, **SETS, "output_dir": "exp/encrl"}
    given, message = CASES[case]
    with pytest.raises(UserError, match=message):
        distill(**(arguments | given))
    assert not Path("exp/encrl").exists()


def test_data_that_is_not_formatted_is_refused(folder):
    arguments = {"teacher": "exp/asr_teacher", "students": {"e6": "conf/e6.yaml"}, **SETS, "output_dir": "exp/encrl"}
    scp = Path("dump/raw/train/wav.scp")
    text = scp.read_text()
    soundfile.write("slow.wav", np.zeros(8000), 8000)
    for content, message in (
        (text.replace("u0 ", "u0 cat ").replace(".wav\n", ".wav |\n", 1), "segments or commands"),
        (text.replace("u0.wav", "gone.wav"), "names dump/raw/train/gone.wav, which is not in"),
        (f"u0 slow.wav\n{text}", "slow.wav has 8000 Hz, students take 16000"),
    ):
        scp.write_text(content)
        with pytest.raises(UserError, match=message):
            distill(**arguments)
    scp.write_text(text)
    os.mknod("dump/raw/train/segments")
    with pytest.raises(UserError, match="segments or commands"):
        distill(**arguments)
