"""local/data.sh of the recipes, run in a copy of each recipe's directory, and the check of data directories."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.bin.check_data import main as check_data
from espnet_ext.data.check import check_data_dir, has_speech
from espnet_ext.errors import UserError

REPO = Path(__file__).resolve().parents[2]
RECIPES = ("mini_digits", "mini_an4", "mini_librispeech")
MD5_OF = {
    "train-clean-5": "5df7d4e78065366204ca6845bb08f490",
    "dev-clean-2": "6d7ab67ac6a1d2c993d050e16d61080d",
    "test-clean": "32fa31d27d2e1cad72775fee3f4849a9",
}


def noise(seconds: float = 0.5, rate: int = 16000) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate))


# ---- recipes


def recipe_dir(name: str, tmp_path: Path) -> Path:
    """Returns a directory with the recipe's own links and scripts, where data/ and downloads/ do no harm."""
    work = tmp_path / name
    work.mkdir()
    for link in ("cmd.sh", "path.sh", "steps", "utils", "local"):
        (work / link).symlink_to((REPO / "egs2" / name / "encrl1" / link).resolve())
    return work


def run_data_sh(work: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key != "MINI_LIBRISPEECH"}
    python_path = f"{REPO}:{os.environ.get('PYTHONPATH', '')}"
    return subprocess.run(
        ["local/data.sh", *options],
        cwd=work,
        env={**inherited, "PYTHONPATH": python_path, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def make_librispeech(parent: Path, *splits: str) -> Path:
    """Makes a tree like LibriSpeech's with two readers a split and two utterances each."""
    root = parent / "LibriSpeech"
    root.mkdir(parents=True)
    speakers = []
    for number, split in enumerate(splits):
        for reader in (100 + number, 200 + number):
            speakers.append(f"{reader} | F | {split} | 1.0 | Somebody")
            chapter = root / split / str(reader) / "7"
            chapter.mkdir(parents=True)
            names = [f"{reader}-7-{i:04d}" for i in range(2)]
            (chapter / f"{reader}-7.trans.txt").write_text("".join(f"{name} SOME WORDS\n" for name in names))
            for name in names:
                soundfile.write(chapter / f"{name}.flac", noise(), 16000)
    (root / "SPEAKERS.TXT").write_text("\n".join(speakers) + "\n")
    return root


@pytest.mark.parametrize("name", RECIPES)
def test_links_of_the_recipe_are_relative_and_resolve(name: str):
    directory = REPO / "egs2" / name / "encrl1"
    wanted = "asr.sh cmd.sh db.sh path.sh pyscripts scripts steps utils conf/pbs.conf conf/queue.conf conf/slurm.conf"
    for link in wanted.split():
        path = directory / link
        assert path.is_symlink(), path
        assert not os.readlink(path).startswith("/"), path
        assert path.exists(), path


def test_mini_digits(tmp_path: Path):
    work = recipe_dir("mini_digits", tmp_path)
    options = ("--num_train", "26", "--num_valid", "6", "--num_test", "12", "--snr_db", "-5,5")
    ran = run_data_sh(work, *options)
    assert ran.returncode == 0, ran.stdout
    for dset, num_utts, num_speakers in (("train", 26, 24), ("valid", 6, 6), ("test", 12, 12)):
        data = work / "data" / dset
        assert [len(lines(data / name)) for name in ("wav.scp", "text", "utt2spk", "spk2utt")] == [num_utts] * 3 + [
            num_speakers
        ]
    voices = [
        line.split("_")[0] for dset in ("train", "valid", "test") for line in lines(work / "data" / dset / "spk2utt")
    ]
    assert len(voices) == len(set(voices))

    again = run_data_sh(work, *options)
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("already made, kept") == 3


def test_unknown_option_is_refused(tmp_path: Path):
    ran = run_data_sh(recipe_dir("mini_digits", tmp_path), "--number", "3")
    assert ran.returncode != 0
    assert "--number" in ran.stdout


def test_mini_an4_with_espnets_own_scripts(tmp_path: Path):
    espnet = REPO / "tools" / "espnet" / "egs2" / "mini_an4" / "asr1"
    before = sorted(espnet.rglob("*"))
    work = recipe_dir("mini_an4", tmp_path)
    (work / "downloads" / "an4").mkdir(parents=True)  # half unpacked by a call that was killed
    for _ in range(2):
        ran = run_data_sh(work)
        assert ran.returncode == 0, ran.stdout
    assert {dset: len(lines(work / "data" / dset / "text")) for dset in ("train_nodev", "train_dev", "test")} == {
        "train_nodev": 4,
        "train_dev": 1,
        "test": 2,
    }
    assert sorted(path.name for path in (work / "downloads").iterdir()) == ["an4", "noise", "rirs"]
    assert sorted(espnet.rglob("*")) == before


@pytest.mark.parametrize(("dev", "give_parent"), [("dev-clean", True), ("dev-clean-2", False)])
def test_mini_librispeech_from_an_existing_tree(tmp_path: Path, dev: str, give_parent: bool):
    root = make_librispeech(tmp_path / "corpus", "train-clean-5", dev, "test-clean")
    work = recipe_dir("mini_librispeech", tmp_path)
    ran = run_data_sh(work, MINI_LIBRISPEECH=str(root.parent if give_parent else root))
    assert ran.returncode == 0, ran.stdout
    assert sorted(path.name for path in (work / "data").iterdir()) == [
        "dev_clean",
        "test_clean",
        "train_clean_5",
        "valid",
    ]
    assert lines(work / "data" / "valid" / "text") == lines(work / "data" / "dev_clean" / "text")
    assert lines(work / "data" / "dev_clean" / "wav.scp")[0] == f"101-7-0000 {root}/{dev}/101/7/101-7-0000.flac"


def test_mini_librispeech_without_test_clean(tmp_path: Path):
    root = make_librispeech(tmp_path / "corpus", "train-clean-5", "dev-clean")
    work = recipe_dir("mini_librispeech", tmp_path)
    ran = run_data_sh(work, MINI_LIBRISPEECH=str(root))
    assert ran.returncode == 2
    assert '--test_sets dev_clean --local_data_opts "--test_clean false"' in ran.stdout
    ran = run_data_sh(work, "--test_clean", "false", MINI_LIBRISPEECH=str(root))
    assert ran.returncode == 0, ran.stdout
    assert not (work / "data" / "test_clean").exists()


@pytest.mark.parametrize(
    ("splits", "given", "message"),
    [
        (("train-clean-100", "dev-clean"), "corpus", "lacks train-clean-5"),
        (("train-clean-5", "test-clean"), "corpus", "dev-clean-2"),
        ((), "elsewhere", "elsewhere is not a directory"),
        (("train-clean-5",), ".", "SPEAKERS.TXT is missing"),
    ],
)
def test_mini_librispeech_names_what_is_missing(tmp_path: Path, splits: tuple[str, ...], given: str, message: str):
    if splits:
        make_librispeech(tmp_path / "corpus", *splits)
    ran = run_data_sh(recipe_dir("mini_librispeech", tmp_path), MINI_LIBRISPEECH=str(tmp_path / given))
    assert ran.returncode == 2, ran.stdout
    assert message in ran.stdout


def test_mini_librispeech_download_continues_checks_and_unpacks(tmp_path: Path):
    """Uses archives of our own on a file:// mirror; their MD5 sums replace the published ones in a copied script."""
    mirror = tmp_path / "mirror"
    work = recipe_dir("mini_librispeech", tmp_path)
    (work / "local").unlink()
    script = (REPO / "egs2/mini_librispeech/encrl1/local/data.sh").read_text()
    for split, published in MD5_OF.items():
        archive = mirror / ("12" if split == "test-clean" else "31") / f"{split}.tar.gz"
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(make_librispeech(tmp_path / f"of-{split}", split), arcname="LibriSpeech")
        assert published in script
        script = script.replace(published, md5(archive.read_bytes()).hexdigest())
    (work / "local").mkdir()
    (work / "local" / "data.sh").write_text(script)
    (work / "local" / "data.sh").chmod(0o755)

    partial = work / "downloads" / "train-clean-5.tar.gz.part"
    partial.parent.mkdir()
    partial.write_bytes((mirror / "31" / "train-clean-5.tar.gz").read_bytes()[:1000])  # a killed download
    dev = mirror / "31" / "dev-clean-2.tar.gz"
    good = dev.read_bytes()
    dev.write_bytes(good[:-10])
    ran = run_data_sh(work, "--url", f"file://{mirror}")
    assert ran.returncode == 2
    assert "dev-clean-2.tar.gz does not have the MD5 sum" in ran.stdout
    assert (work / "downloads/LibriSpeech/train-clean-5").is_dir()
    assert not (work / "downloads/LibriSpeech/dev-clean-2").exists()

    dev.unlink()
    ran = run_data_sh(work, "--url", f"file://{mirror}")
    assert ran.returncode == 2
    assert "31/dev-clean-2.tar.gz cannot be downloaded" in ran.stdout

    dev.write_bytes(good)
    ran = run_data_sh(work, "--url", f"file://{mirror}")
    assert ran.returncode == 0, ran.stdout
    assert len(lines(work / "data" / "test_clean" / "text")) == 4
    shutil.rmtree(mirror)
    ran = run_data_sh(work, "--url", f"file://{mirror}")  # nothing is fetched twice
    assert ran.returncode == 0, ran.stdout


# ---- bad input


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A good data directory of three utterances, a, b and c."""
    directory = tmp_path / "data" / "train"
    directory.mkdir(parents=True)
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.flac", noise(), 16000)
    (directory / "wav.scp").write_text("".join(f"{name} {tmp_path}/{name}.flac\n" for name in "abc"))
    (directory / "text").write_text("a ONE\nb TWO\nc THREE\n")
    (directory / "utt2spk").write_text("a s\nb s\nc s\n")
    return directory


def replace(path: Path, old: str, new: str) -> None:
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


def write_nan(path: Path) -> None:
    samples = noise()
    samples[-1] = np.nan
    soundfile.write(path, samples, 16000, format="WAV", subtype="FLOAT")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4000])


BAD_INPUT: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing audio": (lambda d: (d.parents[1] / "b.flac").unlink(), ["wav.scp: b:", "b.flac does not exist"]),
    "empty file": (lambda d: (d.parents[1] / "b.flac").write_bytes(b""), ["wav.scp: b:", "b.flac is empty"]),
    "no samples": (lambda d: soundfile.write(d.parents[1] / "b.flac", noise(0), 16000, format="WAV"), ["b:", "no sam"]),
    "not audio": (lambda d: (d.parents[1] / "b.flac").write_text("x" * 99), ["wav.scp: b:", "cannot be read"]),
    "truncated": (lambda d: truncate(d.parents[1] / "b.flac"), ["wav.scp: b:", "b.flac"]),
    "nan": (lambda d: write_nan(d.parents[1] / "b.flac"), ["wav.scp: b:", "NaN"]),
    "failing command": (
        lambda d: replace(d / "wav.scp", f"{d.parents[1]}/b.flac", "no_such_program b.sph |"),
        ["wav.scp: b:", "no_such_program", "failed"],
    ),
    "empty transcript": (lambda d: replace(d / "text", "b TWO", "b"), ["text: b:", "no speech"]),
    "only tags": (lambda d: replace(d / "text", "b TWO", "b <noise> ."), ["text: b:", "no speech"]),
    "no transcript": (lambda d: replace(d / "text", "b TWO\n", ""), ["wav.scp: b:", "audio without transcript"]),
    "no audio": (lambda d: replace(d / "text", "c THREE", "c THREE\nd X"), ["text: d:", "transcript without audio"]),
    "no speaker": (lambda d: replace(d / "utt2spk", "b s\n", ""), ["wav.scp: b:", "utt2spk"]),
    "duplicate": (lambda d: replace(d / "text", "c THREE", "b THREE\nc X"), ["text, line 3", "id b comes twice"]),
    "no utterance": (lambda d: [(d / f).write_text("") for f in ("wav.scp", "text", "utt2spk")], ["no utterance"]),
    "no file": (lambda d: (d / "text").unlink(), ["text does not exist"]),
    "not utf-8": (lambda d: (d / "text").write_bytes(b"a \xe9\n"), ["text is not UTF-8"]),
    "segment after the end": (
        lambda d: (d / "segments").write_text("a a 0 0.4\nb b 3 4\nc c 0 0.4\n"),
        ["segments: b:", "0.50 s long"],
    ),
    "segment of nothing": (lambda d: (d / "segments").write_text("a z 0 1\nb b 0 1\nc c 0 1\n"), ["segments: a:", "z"]),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_named_and_nothing_is_changed(data_dir: Path, case: str):
    spoil, expected = BAD_INPUT[case]
    spoil(data_dir)
    before = {path: path.read_bytes() for path in data_dir.parents[1].rglob("*") if path.is_file()}
    with pytest.raises(UserError) as caught:
        check_data([str(data_dir)])
    assert all(part in str(caught.value) for part in expected), str(caught.value)
    assert "2 problem" not in str(caught.value)
    assert {path: path.read_bytes() for path in data_dir.parents[1].rglob("*") if path.is_file()} == before


def test_good_data_passes(data_dir: Path, capsys: pytest.CaptureFixture[str]):
    check_data([str(data_dir), "--fs", "16k"])
    assert "3 utterances, 0.00 h: ok" in capsys.readouterr().out
    findings = check_data_dir(data_dir, 16000)
    assert findings.seconds == pytest.approx(1.5)
    (data_dir / "segments").write_text("a a 0 0.4\nb b 0.1 -1\nc c 0 9\n")  # ESPnet reads both to the end
    check_data([str(data_dir)])


def test_pipes_are_read(data_dir: Path):
    replace(data_dir / "wav.scp", f"{data_dir.parents[1]}/b.flac", f"cat {data_dir.parents[1]}/b.flac |")
    assert check_data_dir(data_dir, 16000).errors == []


def test_other_sampling_rate_is_a_warning(data_dir: Path, capsys: pytest.CaptureFixture[str]):
    soundfile.write(data_dir.parents[1] / "b.flac", noise(0.5, 8000), 8000)
    check_data([str(data_dir), "--fs", "16000"])
    assert "1 of 3 recordings have 8000 Hz, not 16000 Hz; stage 3 resamples" in capsys.readouterr().err


def test_many_problems_are_counted_and_the_status_is_2(data_dir: Path):
    (data_dir / "text").write_text("".join(f"utt{i} WORD\n" for i in range(9)))
    ran = subprocess.run(
        ["python3", "-m", "espnet_ext.bin.check_data", data_dir], capture_output=True, text=True, cwd=REPO, check=False
    )
    assert ran.returncode == 2
    assert "12 problem(s)" in ran.stderr
    assert "... and 7 more" in ran.stderr
    assert len(ran.stderr.splitlines()) == 7
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [("ONE", True), ("<noise> ONE", True), ("日本", True), ("", False), ("<unk>", False), ("[laughter] ... -", False)],
)
def test_has_speech(transcript: str, expected: bool):
    assert has_speech(transcript) is expected
