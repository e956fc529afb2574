"""What stages 2 and 3 of asr.sh cannot perturb the speed of is found by the check, with ESPnet's own scripts."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.cli import check as check_verb
from espnet_ext.data.perturbation import SoxCheck
from espnet_ext.errors import UserError
from tests.recipes.stages import format_wav_scp, make_recipe_dir, perturb, write_data_dir

pytestmark = pytest.mark.skipif(shutil.which("sox") is None, reason="sox is not installed")
RATE = 16000


def noise(seconds: float = 0.5) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(int(seconds * RATE))


def write(directory: Path, name: str, **options: str) -> str:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, noise(), RATE, **options)
    return str(path)


GOOD = {
    "wav": lambda d: write(d, "b.wav"),
    "flac": lambda d: write(d, "c.flac"),
    "command": lambda d: f"cat {write(d, 'd.wav')} |",
    "other letters": lambda d: write(d, "Grüße,日本_1.1+2@x~{3}.wav"),
    "flac named wav": lambda d: write(d, "e.wav", format="FLAC"),
}
BAD = {
    "blank": lambda d: write(d, "some where/b.wav"),
    "apostrophe": lambda d: write(d, "it's/b.wav"),
    "parentheses": lambda d: write(d, "b(1).wav"),
    "dollar": lambda d: write(d, "b$HOME.wav"),
    "command of flac": lambda d: f"cat {write(d, 'b.flac')} |",
}


def test_what_passes_goes_through_stages_2_and_3(tmp_path: Path):
    recipe = make_recipe_dir(tmp_path / "recipe")
    entries = {name.replace(" ", "_"): make(tmp_path) for name, make in sorted(GOOD.items())}
    data_dir = write_data_dir(recipe, "train", entries)
    check_verb.main(["data", str(data_dir), "--speed_perturb", "true"])
    perturb(recipe, "train")
    format_wav_scp(recipe, "train_sp0.9")
    for name in entries:
        frames = soundfile.info(recipe / f"dump/train_sp0.9/data/format.1/sp0.9-{name}.flac").frames
        assert frames == pytest.approx(0.5 * RATE / 0.9, rel=0.01)


@pytest.mark.parametrize("name", ["-n.wav", "#a.wav", "~b.wav"])
def test_names_that_begin_as_options_comments_or_homes_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """Of a relative path; elsewhere in it these are letters."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, name)
    assert SoxCheck().problem(f"./{name}") is None
    problem = SoxCheck().problem(name)
    assert problem is not None and "--speed_perturb_factors" in problem


@pytest.mark.parametrize("kind", BAD)
def test_what_stage_2_cannot_perturb_is_named(tmp_path: Path, kind: str):
    recipe = make_recipe_dir(tmp_path / "recipe")
    data_dir = write_data_dir(recipe, "train", {"a": write(tmp_path, "a.wav"), "b": BAD[kind](tmp_path)})
    check_verb.main(["data", str(data_dir)])  # without perturbation all can be read
    with pytest.raises(UserError, match="1 problem") as caught:
        check_verb.main(["data", str(data_dir), "--speed_perturb", "true"])
    assert "wav.scp: b:" in str(caught.value) and "--speed_perturb_factors" in str(caught.value)
    perturb(recipe, "train")
    (line,) = (x for x in (recipe / "data/train_sp0.9/wav.scp").read_text().split("\n") if x.startswith("sp0.9-b "))
    command = line.split(maxsplit=1)[1].removesuffix("|")
    output = subprocess.run(command, shell=True, capture_output=True, check=False).stdout
    with pytest.raises(soundfile.LibsndfileError):  # as stage 3 does
        soundfile.read(io.BytesIO(output))


def test_mp3_is_what_sox_says(tmp_path: Path):
    """Sox reads it or not, as it was built."""
    recipe = make_recipe_dir(tmp_path / "recipe")
    mp3 = write(tmp_path, "b.mp3")
    data_dir = write_data_dir(recipe, "train", {"a": write(tmp_path, "a.wav"), "b": mp3})
    check_verb.main(["data", str(data_dir)])
    if subprocess.run(["sox", mp3, "-n"], capture_output=True, check=False).returncode == 0:
        check_verb.main(["data", str(data_dir), "--speed_perturb", "true"])
    else:
        with pytest.raises(
            UserError, match=r"wav.scp: b: speed perturbation reads audio by sox, which cannot read .*mp3"
        ):
            check_verb.main(["data", str(data_dir), "--speed_perturb", "true"])


def test_a_last_line_without_end_joins_the_next_file(tmp_path: Path):
    recipe = make_recipe_dir(tmp_path / "recipe")
    data_dir = write_data_dir(recipe, "train", {"a": write(tmp_path, "a.wav")})
    (data_dir / "text").write_text("a SOME WORDS")
    with pytest.raises(UserError, match="text: its last line has no end"):
        check_verb.main(["data", str(data_dir), "--speed_perturb", "true"])


def test_sox_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data_dir = write_data_dir(tmp_path, "train", {"a": write(tmp_path, "a.wav")})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="speed perturbation needs the program sox"):
        check_verb.main(["data", str(data_dir), "--speed_perturb", "true"])
