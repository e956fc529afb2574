"""The card and the files of a repository, made by the command itself from what ESPnet packs."""

import zipfile
from contextlib import chdir
from pathlib import Path

import markdown
import numpy as np
import pytest
import torch
import yaml
from espnet2.main_funcs.pack_funcs import pack
from huggingface_hub import ModelCard

from espnet_ext.cli import publish
from espnet_ext.directories import MARKER
from espnet_ext.errors import UserError
from espnet_ext.publish.card import Facts
from tests.report.conftest import REFERENCES, Recipe
from tests.report.test_escape import Cells

CTC = [{"loss": 9.0, "cer_ctc": 0.5}, {"loss": 4.0, "cer_ctc": 0.2}]
TEACHER = "asr_teacher|`x`"
STUDENT = "e2 | <script>x</script> [x](y)"
PERSONAL = "/home/me/private"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    root = tmp_path / "me/recipe"
    root.mkdir(parents=True)
    monkeypatch.chdir(root)
    return Recipe(root)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipe")
    with chdir(root):
        return make_student(Recipe(root), root)


@pytest.fixture
def student(made_once, monkeypatch) -> Path:
    """A student that no test changes, in the recipe directory."""
    monkeypatch.chdir(made_once.parents[1])
    return made_once


def make_student(recipe: Recipe, exp_root: Path) -> Path:
    """Makes a packed and scored student; everything in its configuration is named by absolute paths."""
    folder = Recipe(exp_root)
    folder.train(TEACHER, 2, CTC, 50.0, {"model": "teacher", "source": "teacher", "parents": []})
    stats = exp_root / "exp/asr_stats/train/feats_stats.npz"
    stats.parent.mkdir(parents=True)
    np.savez(stats, count=1, sum=np.zeros(80), sum_square=np.ones(80))
    exp_dir = exp_root / folder.train(
        "asr_e2", 1, CTC, 1.0, {"model": STUDENT, "source": "teacher", "parents": [f"exp/{TEACHER}"]},
        normalize_conf={"stats_file": str(stats)}, output_dir=str(exp_root / "exp/asr_e2"),
        init_param=[f"{PERSONAL}/start.pth:::normalize"],
        token_list=["<blank>", "<unk>", "/a/b", "3", "4", "5", "<sos/eos>"],
        train_data_path_and_name_and_type=[[f"{recipe.root}/dump/raw/train/wav.scp", "speech", "sound"]],
        valid_data_path_and_name_and_type=[[f"{PERSONAL}/dev/text", "text", "text"]],
    )  # fmt: skip
    for name, wrong in (("test_clean", 2), ("test|other", 5)):
        folder.score(exp_dir, name, wrong, REFERENCES)
    state = torch.load(exp_dir / "checkpoint.pth", weights_only=False)["model"]
    torch.save(state, exp_dir / "valid.cer_ctc.ave.pth")
    (exp_dir / "RESULTS.md").write_text(f"## {exp_dir}/decode, from {PERSONAL}/x\n")
    pack(
        files={"asr_model_file": exp_dir / "valid.cer_ctc.ave.pth"},
        yaml_files={"asr_train_config": exp_dir / "config.yaml"},
        option=[stats, exp_dir / "RESULTS.md"],
        outpath=exp_dir / "asr_e2_valid.cer_ctc.ave.zip",
    )
    return exp_dir


def dry_run(exp_dir: Path, *options: str) -> tuple[Path, str]:
    """Returns the folder of the repository and the card in it."""
    command = ["--exp_dir", str(exp_dir), "--repo", "someone/an4_e2", "--inference_tag", "decode", "--dry_run", "true"]
    publish.main([*command, "--test_sets", "test_clean test|other", *options])
    folder = exp_dir / "hub_someone_an4_e2"
    return folder, (folder / "README.md").read_text(encoding="utf-8")


FULL = ("--license", "cc-by-4.0", "--language", "en", "--dataset", "user/data_set", "words <b>of</b> mine")
FULL += ("--base_model", "user/teacher", "--project_url", "https://example.org/project")


def test_metadata_are_what_the_hub_reads(student):
    _, card = dry_run(student, *FULL)
    data = ModelCard(card).data
    assert data.datasets == ["user/data_set"] and data.metrics == ["wer", "cer"] and data.base_model == "user/teacher"
    assert (data.license, data.language, data.library_name) == ("cc-by-4.0", "en", "espnet")
    found = {(one.dataset_split, one.metric_type): one.metric_value for one in data.eval_results}
    assert found["test_clean", "wer"] == 5.0 and found["test|other", "wer"] == 12.5 and len(found) == 4
    assert {one.dataset_name for one in data.eval_results} == {"user/data_set test_clean", "user/data_set test|other"}
    assert all(one.task_type == "automatic-speech-recognition" for one in data.eval_results)


def test_what_the_owner_does_not_say_is_left_out(student):
    _, card = dry_run(student, "--dataset", "words of mine")
    data = ModelCard(card).data
    # The hub takes names of this form only.
    assert {(one.dataset_type, one.dataset_name.partition(" test")[0]) for one in data.eval_results} == {
        ("an4_e2", "words of mine")
    }
    _, card = dry_run(student)
    assert not {"datasets", "base_model", "language"} & set(ModelCard(card).data.to_dict())
    assert "trained on" not in card and "The licence is" not in card and "None" not in card
    assert "and espnet_ext, after" in card


def test_parts_of_the_card(student):
    _, card = dry_run(student, *FULL)
    html = markdown.markdown(ModelCard(card).text, extensions=["tables", "fenced_code"])
    cells = Cells(html)
    limits = [text for text in cells.texts if "tested on" in text or "does not stream" in text or "licence" in text]
    assert len(limits) == 3
    assert "trained on user/data_set, words <b>of</b> mine" in " ".join(limits[0].split())
    assert "16000 Hz" in limits[1] and "cc-by-4.0" in limits[2]
    assert "eprint={2505.16991}" in html and "doi={10.21437/Interspeech.2018-1456}" in html
    assert '<a href="https://example.org/project">espnet_ext</a>' in html
    assert '<a href="https://arxiv.org/abs/2505.16991">' in html


def test_names_of_users_are_text_on_the_card(student):
    _, card = dry_run(student, *FULL)
    html = markdown.markdown(ModelCard(card).text, extensions=["tables", "fenced_code"])
    cells = Cells(html)
    assert not {"script", "b"} & set(cells.tags)
    assert [text.strip() for text in cells.texts].count(STUDENT) == 4  # results, two sets, cost
    assert f"<code>{TEACHER}</code>" in html and 'href="y"' not in html
    assert "<h3>test|other: percent of words" in html


def test_code_of_the_card_is_code(student):
    _, card = dry_run(student)
    blocks = card.split("```python\n")[1:]
    assert blocks
    for block in blocks:
        compile(block.partition("```")[0], "card", "exec")


@pytest.mark.parametrize("inside", [True, False])
def test_nothing_of_this_machine_is_published(inside, recipe, tmp_path, capsys):
    """Also where the experiments lie outside of the recipe, which ESPnet packs by absolute paths."""
    exp_dir = make_student(recipe, recipe.root if inside else tmp_path / "me/scratch")
    folder, card = dry_run(exp_dir, *FULL)
    assert "warning" not in capsys.readouterr().out
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files[MARKER]  # not uploaded
    assert set(files) == {"README.md", "meta.yaml", "exp/asr_e2/RESULTS.md", "exp/asr_e2/config.yaml",
                          "exp/asr_e2/valid.cer_ctc.ave.pth", "exp/asr_stats/train/feats_stats.npz"}  # fmt: skip
    for name, content in files.items():
        for local in (str(tmp_path), PERSONAL, "home/me", str(Path.home())):
            assert local.encode() not in content, (name, local)
    config = yaml.safe_load(files["exp/asr_e2/config.yaml"])
    assert config["normalize_conf"] == {"stats_file": "exp/asr_stats/train/feats_stats.npz"}
    assert config["output_dir"] == ("exp/asr_e2" if inside else "asr_e2")
    assert config["init_param"] == ["start.pth:::normalize"]
    assert config["token_list"][2] == "/a/b"
    assert config["train_data_path_and_name_and_type"] == [["dump/raw/train/wav.scp", "speech", "sound"]]
    meta = yaml.safe_load(files["meta.yaml"])
    assert meta["files"] == {"asr_model_file": "exp/asr_e2/valid.cer_ctc.ave.pth"}
    assert meta["yaml_files"] == {"asr_train_config": "exp/asr_e2/config.yaml"}
    decoded = "exp/asr_e2/decode" if inside else "decode"
    assert files["exp/asr_e2/RESULTS.md"].decode() == f"## {decoded}, from x\n"


def test_what_cannot_be_rewritten_is_said(recipe, capsys):
    student = make_student(recipe, recipe.root)
    archive = student / "asr_e2_valid.cer_ctc.ave.zip"
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("exp/bpe.model", b"\0\1" + bytes(recipe.root) + b"/train.txt\0")
    dry_run(student, *FULL)
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and "exp/bpe.model names a folder of this machine" in warnings[0]


@pytest.mark.parametrize(
    "facts, message",
    [
        ({"repo": "no_user"}, "--repo no_user: give user/name"),
        ({"repo": "a b/c"}, "--repo a b/c: give user/name"),
        ({"license": "CC BY 4.0"}, "--license 'CC BY 4.0': give the name that the hub uses"),
        ({"license": "mit\ntags: x"}, "--license"),
        ({"language": "English, German"}, "--language 'English, German'"),
        ({"base_model": "exp/../asr_teacher"}, "--base_model"),
        ({"base_model": "/home/me/teacher"}, "--base_model"),
        ({"project_url": "javascript:alert(1)"}, "--project_url"),
        ({"project_url": "https://x.org/a) [b](c"}, "--project_url"),
    ],
)
def test_what_the_hub_would_refuse_is_refused_before_any_work(facts, message):
    with pytest.raises(UserError) as raised:
        Facts(**{"repo": "user/name", **facts})
    assert message in str(raised.value)
