"""local/data.sh of the small recipes, run in a copy of each recipe's directory."""

import os
import shutil
import tarfile
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.recipes.corpora import REPO, copy_recipe, copy_with_checksums, run

RECIPES = sorted(path.parents[1].name for path in REPO.glob("egs2/*/encrl1/run.sh"))
MD5_OF = {
    "train-clean-5": "5df7d4e78065366204ca6845bb08f490",
    "dev-clean-2": "6d7ab67ac6a1d2c993d050e16d61080d",
    "test-clean": "32fa31d27d2e1cad72775fee3f4849a9",
}


def noise(seconds: float = 0.5, rate: int = 16000) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def make_librispeech(parent: Path, *splits: str, first_reader: int = 100) -> Path:
    """Makes a tree like LibriSpeech's with two readers a split and two utterances each."""
    root = parent / "LibriSpeech"
    for number, split in enumerate(splits):
        for reader in (first_reader + number, first_reader + 100 + number):
            chapter = root / split / str(reader) / "7"
            chapter.mkdir(parents=True)
            names = [f"{reader}-7-{i:04d}" for i in range(2)]
            (chapter / f"{reader}-7.trans.txt").write_text("".join(f"{name} SOME WORDS\n" for name in names))
            for name in names:
                soundfile.write(chapter / f"{name}.flac", noise(), 16000)
    # of the whole corpus, as in each archive
    speakers = [f"{reader} | F | somewhere | 1.0 | Somebody\n" for reader in range(100, 300)]
    (root / "SPEAKERS.TXT").write_text("".join(speakers))
    return root


@pytest.mark.parametrize("name", RECIPES)
def test_path_sh_makes_the_links_of_a_recipe_and_keeps_its_own_files(name: str, tmp_path: Path):
    directory = copy_recipe(name, tmp_path)
    wanted = "asr.sh db.sh path.sh pyscripts scripts steps utils conf/pbs.conf conf/queue.conf conf/slurm.conf".split()
    for link in wanted:
        if link != "path.sh":  # what an earlier run made in the repository was copied
            (directory / link).unlink(missing_ok=True)
    (directory / "cmd.sh").unlink(missing_ok=True)
    (directory / "cmd.sh").write_text("cmd_backend=slurm\n")
    for _ in range(2):
        run(directory, "bash", "-euc", ". ./path.sh")
    for path in (directory / link for link in wanted):
        assert path.is_symlink() and path.exists(), path
        assert not os.readlink(path).startswith("/"), path
    assert (directory / "cmd.sh").read_text() == "cmd_backend=slurm\n"
    for script in ("run.sh", "local/data.sh"):
        assert os.access(directory / script, os.X_OK)
    assert (directory / "run.sh").read_text().splitlines()[-1].strip() == '"$@"'


@pytest.mark.slow
def test_mini_digits(tmp_path: Path):
    work = copy_recipe("mini_digits", tmp_path)
    options = ("--num_train", "26", "--num_valid", "6", "--num_test", "12", "--snr_db", "-5,5")
    run(work, "local/data.sh", *options)
    for dset, num_utts, num_speakers in (("train", 26, 24), ("valid", 6, 6), ("test", 12, 12)):
        data = work / "data" / dset
        assert [len(lines(data / name)) for name in ("wav.scp", "text", "utt2spk", "spk2utt")] == [num_utts] * 3 + [
            num_speakers
        ]
    voices = [
        line.split("_")[0] for dset in ("train", "valid", "test") for line in lines(work / "data" / dset / "spk2utt")
    ]
    assert len(voices) == len(set(voices))
    assert run(work, "local/data.sh", *options).count("already made, kept") == 3


@pytest.mark.slow
def test_mini_tedlium3_is_the_digits_in_the_layout_of_tedlium(tmp_path: Path):
    work = copy_recipe("mini_tedlium3", tmp_path)
    (tmp_path / "egs2/tedlium3").symlink_to(REPO / "egs2/tedlium3")
    options = ("--num_train", "26", "--num_valid", "6", "--num_test", "12", "--snr_db", "0,5")
    run(work, "local/data.sh", *options)
    for split, dset, num_utts in (("train", "train", 26), ("valid", "dev", 6), ("test", "test", 12)):
        spoken = [
            line.split(maxsplit=1)[1].lower()
            for path in sorted((work / "downloads/mini_digits" / split).glob("*/*.trans.txt"))
            for line in lines(path)
        ]
        assert len(spoken) == num_utts
        assert [line.split(maxsplit=1)[1] for line in lines(work / "data" / dset / "text")] == spoken
        assert "downloads/TEDLIUM_release-3/legacy" in (work / "data" / dset / "wav.scp").read_text()
    assert run(work, "local/data.sh", *options).count("already made, kept") == 4
    assert "made" in run(work, "local/data.sh", *options[:-1], "0,6")
    (work / "downloads/TEDLIUM_release-3/legacy/manifest.json").unlink()
    assert "manifest.json is missing or unreadable" in run(work, "local/data.sh", *options, status=2)


def test_unknown_option_is_refused(tmp_path: Path):
    assert "--number" in run(copy_recipe("mini_digits", tmp_path), "local/data.sh", "--number", "3", status=1)


def test_mini_an4_with_espnets_own_scripts(tmp_path: Path):
    espnet = REPO / "tools" / "espnet" / "egs2" / "mini_an4" / "asr1"
    before = sorted(espnet.rglob("*"))
    work = copy_recipe("mini_an4", tmp_path)
    (work / "downloads" / "an4").mkdir(parents=True)  # half unpacked by a call that was killed
    for _ in range(2):
        run(work, "local/data.sh")
    assert {dset: len(lines(work / "data" / dset / "text")) for dset in ("train_nodev", "train_dev", "test")} == {
        "train_nodev": 4,
        "train_dev": 1,
        "test": 2,
    }
    assert sorted(path.name for path in (work / "downloads").iterdir()) == ["an4", "noise", "rirs"]
    assert sorted(espnet.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(("dev", "give_parent"), [("dev-clean", True), ("dev-clean-2", False)])
def test_mini_librispeech_from_an_existing_tree(tmp_path: Path, dev: str, give_parent: bool):
    root = make_librispeech(tmp_path / "corpus", "train-clean-5", dev, "test-clean")
    work = copy_recipe("mini_librispeech", tmp_path)
    run(work, "local/data.sh", "--num_eval", "3", MINI_LIBRISPEECH=root.parent if give_parent else root)
    assert sorted(path.name for path in (work / "data").iterdir()) == [
        "dev_clean",
        "dev_clean_3",
        "test_clean",
        "test_clean_3",
        "train_clean_5",
        "valid",
    ]
    assert lines(work / "data" / "valid" / "text") == lines(work / "data" / "dev_clean" / "text")
    assert lines(work / "data" / "dev_clean" / "wav.scp")[0] == f"101-7-0000 {root}/{dev}/101/7/101-7-0000.flac"
    assert len(lines(work / "data" / "test_clean_3" / "text")) == 3


def test_mini_librispeech_without_test_clean(tmp_path: Path):
    root = make_librispeech(tmp_path / "corpus", "train-clean-5", "dev-clean")
    work = copy_recipe("mini_librispeech", tmp_path)
    output = run(work, "local/data.sh", status=2, MINI_LIBRISPEECH=root)
    assert '--test_sets dev_clean --local_data_opts "--test_clean false"' in output
    run(work, "local/data.sh", "--test_clean", "false", MINI_LIBRISPEECH=root)
    assert not (work / "data" / "test_clean").exists()


@pytest.mark.parametrize(
    ("splits", "given", "message"),
    [
        (("train-clean-100", "dev-clean"), "corpus", "lacks train-clean-5"),
        (("train-clean-5", "test-clean"), "corpus", "dev-clean-2"),
        ((), "elsewhere", "elsewhere is not a directory"),
        (("train-clean-5",), ".", "SPEAKERS.TXT is missing"),
        (("train-clean-5",), "a corpus", "contains a space"),
    ],
)
def test_mini_librispeech_names_what_is_missing(tmp_path: Path, splits: tuple[str, ...], given: str, message: str):
    if splits:
        make_librispeech(tmp_path / "corpus", *splits)
        (tmp_path / "a corpus").symlink_to("corpus")
    work = copy_recipe("mini_librispeech", tmp_path)
    assert message in run(work, "local/data.sh", status=2, MINI_LIBRISPEECH=tmp_path / given)


def test_mini_librispeech_download_continues_checks_and_unpacks(tmp_path: Path):
    """Uses archives of our own on a file:// mirror; their MD5 sums replace the published ones in copied scripts."""
    mirror = tmp_path / "mirror"
    sums = {}
    for number, (split, published) in enumerate(MD5_OF.items()):
        archive = mirror / ("12" if split == "test-clean" else "31") / f"{split}.tar.gz"
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w:gz") as tar:
            root = make_librispeech(tmp_path / f"of-{split}", split, first_reader=100 + number)
            tar.add(root, arcname="LibriSpeech")
        sums[published] = md5(archive.read_bytes()).hexdigest()
    work = copy_with_checksums("mini_librispeech", tmp_path, sums)
    command = ("local/data.sh", "--url", f"file://{mirror}")

    partial = work / "downloads" / "train-clean-5.tar.gz.part"
    partial.parent.mkdir()
    partial.write_bytes((mirror / "31" / "train-clean-5.tar.gz").read_bytes()[:1000])  # a killed download
    dev = mirror / "31" / "dev-clean-2.tar.gz"
    good = dev.read_bytes()
    dev.write_bytes(good[:-10])
    assert "dev-clean-2.tar.gz does not have the checksum" in run(work, *command, status=2)
    assert (work / "downloads/LibriSpeech/train-clean-5").is_dir()
    assert not (work / "downloads/LibriSpeech/dev-clean-2").exists()

    dev.unlink()
    assert "31/dev-clean-2.tar.gz cannot be downloaded" in run(work, *command, status=2)

    dev.write_bytes(good)
    run(work, *command)
    assert len(lines(work / "data" / "test_clean" / "text")) == 4
    shutil.rmtree(mirror)
    run(work, *command)  # nothing is fetched twice
