"""The recipes of LibriSpeech and TED-LIUM 3 on small corpora in the official layouts."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from espnet_ext.conf_dirs import locate, require_config
from espnet_ext.config import read_config
from tests.recipes.corpora import (
    REPO,
    SPLITS,
    TALKS,
    UTTS_PER_CHAPTER,
    contents,
    copy_recipe,
    copy_with_checksums,
    run,
    shift_last_segment,
)
from tests.recipes.tiny_conf import write_tiny_conf

ESPNET = REPO / "tools" / "espnet" / "egs2"
RECIPES = ("librispeech", "librispeech_100", "tedlium3")
MD5_OF_DEV_OTHER = "c8d0bcc9cca99d4f8b62fcc847357931"
SHA256_OF_TEDLIUM = "ad1e454d14d1ad550bc2564c462d87c7a7ec83d4dc2b9210f22ab4973b9eccdb"


def num_lines(recipe: Path) -> dict[str, int]:
    """Returns the number of utterances of each data directory."""
    return {path.parent.name: len(path.read_text().splitlines()) for path in recipe.glob("data/*/text")}


# ---- recipe directories and configurations


@pytest.mark.parametrize("name", RECIPES)
def test_every_set_of_configurations_is_complete(name: str, monkeypatch):
    monkeypatch.chdir(REPO / "egs2" / name / "encrl1")
    for conf_dir in ("conf", "conf/paper", "conf/e_branchformer"):
        for config in ("teacher", "encrl", "finetune", "scratch", "decode", "e6", "e4", "e2"):
            require_config("", f"{conf_dir}/{config}.yaml", conf_dir, student=config in ("e6", "e4", "e2"))


@pytest.mark.parametrize("conf_dir", ["conf", "conf/paper", "conf/e_branchformer"])
def test_teacher_and_students_have_the_same_frames(conf_dir: str):
    """Same hop and subsampling, and no time warp where frames of both are compared."""
    configs = {
        name: read_config(locate(f"{conf_dir}/{name}.yaml", conf_dir, student=name != "teacher"))
        for name in ("teacher", "e6", "e4", "e2")
    }
    configs["encrl"] = read_config(locate(f"{conf_dir}/encrl.yaml", conf_dir))
    for name in ("e6", "e4", "e2"):
        assert configs[name]["frontend_conf"] == configs["teacher"]["frontend_conf"]
        assert configs[name]["frontend_conf"]["hop_length"] == 160
        assert configs[name]["encoder_conf"].get("input_layer") == configs["teacher"]["encoder_conf"].get("input_layer")
        assert configs[name]["encoder_conf"]["num_blocks"] == int(name[1:])
        assert configs[name]["model_conf"]["ctc_weight"] == 1.0
    for name in ("encrl", "e6", "e4", "e2"):
        if configs[name].get("specaug"):
            assert configs[name]["specaug_conf"]["apply_time_warp"] is False, name


# ---- data preparation


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "train_set", "train_splits", "parent"),
    [
        ("librispeech", "train_960", ("train-clean-100", "train-clean-360", "train-other-500"), True),
        ("librispeech_100", "train_clean_100", ("train-clean-100",), False),
    ],
)
def test_librispeech(corpora: Path, tmp_path: Path, name: str, train_set: str, train_splits, parent: bool):
    recipe = copy_recipe(name, tmp_path)
    root = corpora / "LibriSpeech"
    output = run(recipe, "local/data.sh", LIBRISPEECH=corpora if parent else root)
    count = {split.replace("-", "_"): readers * UTTS_PER_CHAPTER for split, readers in SPLITS.items()}
    prepared = num_lines(recipe)
    assert prepared[train_set] == sum(count[split.replace("-", "_")] for split in train_splits)
    assert prepared["dev"] == count["dev_clean"] + count["dev_other"]
    assert {dset: prepared[dset] for dset in ("test_clean", "test_other", "dev_clean")} == {
        dset: count[dset] for dset in ("test_clean", "test_other", "dev_clean")
    }
    assert str(root / "dev-other") in (recipe / "data/dev/wav.scp").read_text()
    assert "has 4 utterances, the published split 2864" in output
    assert not (recipe / "data/.new").exists() and not (recipe / "downloads").exists()


@pytest.mark.slow
def test_tedlium_text_is_that_of_espnets_own_recipe(corpora: Path, tmp_path: Path):
    """Compares with prepare_data.sh as it is, which reads through sph2pipe."""
    recipe, theirs = copy_recipe("tedlium3", tmp_path), tmp_path / "espnet"
    run(recipe, "local/data.sh", TEDLIUM3=corpora)
    theirs.mkdir()
    for link in ("local", "path.sh", "utils"):
        (theirs / link).symlink_to(ESPNET / "tedlium3/asr1/local" if link == "local" else (recipe / link).resolve())
    run(theirs, "local/prepare_data.sh", str(corpora), "legacy", PATH=f"{REPO}/tools/bin:{os.environ['PATH']}")
    for dset in TALKS:
        ours = recipe / "data" / dset
        for file in ("text", "segments"):
            assert (ours / file).read_text() == (theirs / f"data/{dset}.orig" / file).read_text()
        for line in (ours / "wav.scp").read_text().splitlines():
            talk, path = line.split()
            assert path == f"{corpora}/TEDLIUM_release-3/legacy/{dset}/sph/{talk}.sph"
    assert num_lines(recipe) == {dset: talks * UTTS_PER_CHAPTER for dset, talks in TALKS.items()}
    text = (recipe / "data/train/text").read_text()
    assert "[unk] " in text and "[NOISE]" in text
    assert not any(word in text for word in ("ignore_time", "<", "(", " '", "[sil]"))
    assert not list(recipe.glob("data/local*"))  # the sorted text for language models


@pytest.mark.slow
def test_tedlium_labels_with_blanks_give_no_words(own_corpora: Path, tmp_path: Path):
    recipe = copy_recipe("tedlium3", tmp_path)
    run(recipe, "local/data.sh", TEDLIUM3=own_corpora)
    expected = {path: path.read_text() for path in recipe.glob("data/*/text")}
    for stm in own_corpora.glob("TEDLIUM_release-3/legacy/*/stm/*.stm"):
        stm.write_text(stm.read_text().replace("<o,f0,", "<o, f0, ").replace("<F0_", "< F0_"))
    run(recipe, "local/data.sh", TEDLIUM3=own_corpora)
    assert {path: path.read_text() for path in recipe.glob("data/*/text")} == expected


@pytest.mark.slow
def test_tedlium_speaker_adaptation(corpora: Path, tmp_path: Path):
    recipe = copy_recipe("tedlium3", tmp_path)
    options = ("--data_type", "speaker-adaptation")
    run(recipe, "local/data.sh", *options, TEDLIUM3=corpora / "TEDLIUM_release-3")
    assert num_lines(recipe) == {"train": 3 * UTTS_PER_CHAPTER, "dev": UTTS_PER_CHAPTER, "test": UTTS_PER_CHAPTER}
    assert "/speaker-adaptation/dev/sph/" in (recipe / "data/dev/wav.scp").read_text()
    output = run(recipe, "local/data.sh", "--data_type", "new", TEDLIUM3=corpora, status=2)
    assert "--data_type: 'new' is not legacy or speaker-adaptation" in output


# ---- bad input


@pytest.mark.slow
def test_bad_corpora_stop_the_recipe_and_prepared_data_stay(own_corpora: Path, tmp_path: Path):
    recipe = copy_recipe("librispeech_100", tmp_path)
    run(recipe, "local/data.sh", LIBRISPEECH=own_corpora)
    before = contents(recipe / "data")
    flac = next((own_corpora / "LibriSpeech/test-other").glob("*/*/*.flac"))
    spoil = {
        "LibriSpeech lacks dev-other test-other. Add what is missing": lambda: [
            shutil.move(own_corpora / "LibriSpeech" / split, tmp_path / split) for split in ("dev-other", "test-other")
        ],
        f"{flac.stem}: transcript without audio": lambda: [
            [shutil.move(tmp_path / split, own_corpora / "LibriSpeech") for split in ("dev-other", "test-other")],
            flac.rename(tmp_path / flac.name),
        ],
        f"audio file {flac} is empty": lambda: flac.touch(),
        "SPEAKERS.TXT is missing; LIBRISPEECH must name": lambda: (own_corpora / "LibriSpeech/SPEAKERS.TXT").unlink(),
    }
    for message, change in spoil.items():
        change()
        assert message in run(recipe, "local/data.sh", LIBRISPEECH=own_corpora, status=2)
        assert {path: content for path, content in contents(recipe / "data").items() if path in before} == before

    recipe = copy_recipe("tedlium3", tmp_path)
    shift_last_segment(own_corpora, 9)
    assert "runs past its audio" in run(recipe, "local/data.sh", TEDLIUM3=own_corpora, status=2)
    shutil.rmtree(own_corpora / "TEDLIUM_release-3/legacy/test")
    assert "lacks legacy/test. TEDLIUM3 must name" in run(recipe, "local/data.sh", TEDLIUM3=own_corpora, status=2)
    assert "nowhere is not a directory" in run(recipe, "local/data.sh", TEDLIUM3="nowhere", status=2)
    assert not (recipe / "data").exists()


# ---- download


def pack(archive: Path, source: Path, *parts: str) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for part in parts:
            tar.add(source / part, arcname=f"{source.name}/{part}" if part != "." else source.name)


@pytest.mark.slow
def test_what_db_sh_names_is_completed_by_download(own_corpora: Path, tmp_path: Path):
    """Only the split that is missing is fetched, beside what is there."""
    archive = tmp_path / "mirror/12/dev-other.tar.gz"
    pack(archive, own_corpora / "LibriSpeech", "SPEAKERS.TXT", "dev-other")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    recipe = copy_with_checksums("librispeech_100", tmp_path, {MD5_OF_DEV_OTHER: md5})
    (recipe / "db.sh").unlink(missing_ok=True)  # a link to ESPnet's, which path.sh makes where there is none
    (recipe / "db.sh").write_text(f"LIBRISPEECH={own_corpora}\n")
    shutil.rmtree(own_corpora / "LibriSpeech/dev-other")
    options = ("--url", f"file://{tmp_path}/mirror", "--remove_archive", "true")
    run(recipe, "local/data.sh", *options)
    assert num_lines(recipe)["dev_other"] == UTTS_PER_CHAPTER
    assert sorted(path.name for path in own_corpora.glob("[!.]*")) == ["LibriSpeech", "TEDLIUM_release-3"]


@pytest.mark.slow
def test_tedlium_download_continues_and_is_checked(corpora: Path, tmp_path: Path):
    archive = tmp_path / "mirror/51/TEDLIUM_release-3.tgz"
    pack(archive, corpora / "TEDLIUM_release-3", ".")
    content = archive.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    recipe = copy_with_checksums("tedlium3", tmp_path, {SHA256_OF_TEDLIUM: sha256})
    options = ("--url", f"file://{tmp_path}/mirror")
    archive.write_bytes(content[:-100])
    output = run(recipe, "local/data.sh", *options, status=2)
    assert "downloads/TEDLIUM_release-3.tgz does not have the checksum" in output and "Run again" in output
    assert not (recipe / "downloads/TEDLIUM_release-3").exists()

    archive.write_bytes(content)
    (recipe / "downloads/TEDLIUM_release-3.tgz.part").write_bytes(content[:1000])  # a killed download
    run(recipe, "local/data.sh", *options)
    archive.unlink()
    run(recipe, "local/data.sh", *options)  # nothing is fetched twice
    assert num_lines(recipe) == {dset: talks * UTTS_PER_CHAPTER for dset, talks in TALKS.items()}
    (recipe / "downloads/TEDLIUM_release-3").rename(tmp_path / "elsewhere")
    (recipe / "downloads/TEDLIUM_release-3.tgz").unlink()
    output = run(recipe, "local/data.sh", *options, status=2)
    assert "51/TEDLIUM_release-3.tgz cannot be downloaded" in output


# ---- a new corpus


@pytest.mark.slow
def test_the_worked_example_of_the_documentation(corpora: Path, tmp_path: Path):
    """Does what docs/recipes.md says, with its own words."""
    copy_recipe("librispeech_100", tmp_path)
    blocks = re.findall(r"```bash\n(.*?)```", (REPO / "docs/recipes.md").read_text(), flags=re.DOTALL)
    (copying,) = (block for block in blocks if block.startswith("mkdir"))
    subprocess.run(["bash", "-ec", copying], cwd=tmp_path, check=True)
    recipe = tmp_path / "egs2/mycorpus/encrl1"
    (script,) = (block for block in blocks if block.startswith("#!"))
    (recipe / "local/data.sh").write_text(script)
    (tmp_path / "LibriSpeech").symlink_to(corpora / "LibriSpeech")
    for dset, split in (("train", "train-clean-100"), ("dev", "dev-other"), ("test", "test-clean")):
        rows = []
        for path in sorted(tmp_path.glob(f"LibriSpeech/{split}/*/*/*.trans.txt")):
            chapter, names = path.parent.relative_to(tmp_path), path.read_text().splitlines()
            rows += [
                "\t".join((f"{chapter}/{n}.flac", path.parts[-3], w)) for n, w in (x.split(maxsplit=1) for x in names)
            ]
        (tmp_path / f"{dset}.tsv").write_text("\n".join(rows) + "\n")
    run(recipe, "local/data.sh", MYCORPUS=tmp_path)
    assert num_lines(recipe) == {"train": 4 * UTTS_PER_CHAPTER, "dev": UTTS_PER_CHAPTER, "test": UTTS_PER_CHAPTER}
    assert "Error: set MYCORPUS=" in run(recipe, "local/data.sh", status=2)
    (sets,) = (block for block in blocks if "--train_set train" in block)
    for option in re.findall("--[a-z_]+", sets):
        assert option in (recipe / "run.sh").read_text()


# ---- from the corpus to the score


TINY = ("--ngpu", "0", "--gpu_inference", "false", "--nj", "1", "--nbpe", "40", "--students", "e1")


def run_tiny(recipe: Path, encoder: str, test_sets: str, *options: str, **environment: Path) -> None:
    """Runs a recipe with a tiny model and asserts that teacher and student are scored on all sets."""
    conf = recipe / "conf" / encoder
    write_tiny_conf(conf, encoder)
    exp = recipe / "exp" / encoder
    options = (*TINY, "--conf_dir", f"conf/{encoder}", "--expdir", f"exp/{encoder}", "--test_sets", test_sets, *options)
    output = run(recipe, "./run.sh", *options, **environment)
    assert "| e1 " in output and "encrl" in (recipe / "RESULTS.md").read_text()
    for model in ("asr_teacher_*", "asr_e1_encrl_*"):
        (directory,) = exp.glob(model)
        assert (directory / "valid.cer_ctc.ave.pth").exists()
        results = sorted(directory.glob("greedy_*/**/score_wer/result.txt"))
        assert [path.parents[1].name for path in results] == sorted(test_sets.split())
        assert all("Sum/Avg" in path.read_text() for path in results)
        assert yaml.safe_load((directory / "config.yaml").read_text())["encoder"] == encoder


@pytest.mark.slow
@pytest.mark.full
def test_librispeech_to_the_score_with_our_and_the_papers_models(corpora: Path, tmp_path: Path):
    recipe = copy_recipe("librispeech", tmp_path)
    run_tiny(recipe, "conformer", "dev_other", "--stage", "1", "--stop_stage", "13", LIBRISPEECH=corpora)
    run_tiny(recipe, "torchaudio_conformer", "dev_other", "--stage", "10", "--stop_stage", "13")


@pytest.mark.slow
@pytest.mark.full
def test_librispeech_100_to_the_statistics(corpora: Path, tmp_path: Path):
    """After them it is as librispeech; but with speed perturbation."""
    recipe = copy_recipe("librispeech_100", tmp_path)
    write_tiny_conf(recipe / "conf/conformer", "conformer")
    options = (*TINY, "--conf_dir", "conf/conformer", "--expdir", "exp/conformer", "--test_sets", "test_other")
    run(recipe, "./run.sh", *options, "--stage", "1", "--stop_stage", "10", LIBRISPEECH=corpora)
    shapes = (recipe / "exp/conformer/asr_stats_raw_en_bpe40_sp/train/speech_shape").read_text()
    assert "sp0.9-" in shapes and "sp1.1-" in shapes


@pytest.mark.slow
@pytest.mark.full
def test_tedlium_to_the_score(corpora: Path, tmp_path: Path):
    recipe = copy_recipe("tedlium3", tmp_path)
    run_tiny(recipe, "conformer", "dev", "--stage", "1", "--stop_stage", "13", TEDLIUM3=corpora)
    assert "[unk]" in (recipe / "data/en_token_list/bpe_unigram40/tokens.txt").read_text().splitlines()
