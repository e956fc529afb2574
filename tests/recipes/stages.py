"""Single steps of stages 2 and 3 by ESPnet's own scripts, on data directories made by hand."""

import os
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
TEMPLATE = REPO / "tools/espnet/egs2/TEMPLATE/asr1"


def make_recipe_dir(directory: Path) -> Path:
    """Makes a directory in which ESPnet's scripts run."""
    directory.mkdir()
    for name in ("utils", "scripts", "pyscripts", "steps"):
        (directory / name).symlink_to(TEMPLATE / name)
    (directory / "path.sh").write_text(f". {REPO}/path.sh\n")
    return directory


def write_data_dir(recipe: Path, name: str, entries: dict[str, str], text: str = "SOME WORDS") -> Path:
    """Writes `data/<name>` with the right sides of wav.scp by utterance; each is its own speaker."""
    directory = recipe / "data" / name
    directory.mkdir(parents=True)
    (directory / "wav.scp").write_text("".join(f"{utterance} {entry}\n" for utterance, entry in entries.items()))
    (directory / "text").write_text("".join(f"{utterance} {text}\n" for utterance in entries))
    for file in ("utt2spk", "spk2utt"):
        (directory / file).write_text("".join(f"{utterance} {utterance}\n" for utterance in entries))
    return directory


def run(recipe: Path, *command: str) -> None:
    """Runs a script; its failure is a CalledProcessError that shows what it said."""
    env = {**os.environ, "PYTHONPATH": str(REPO), "LC_ALL": "C"}
    subprocess.run(command, cwd=recipe, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)


def perturb(recipe: Path, name: str) -> None:
    """Does stage 2 for the factor 0.9: writes `data/<name>_sp0.9`."""
    run(recipe, "scripts/utils/perturb_data_dir_speed.sh", "0.9", f"data/{name}", f"data/{name}_sp0.9")


def copy_data_dir(recipe: Path, name: str) -> None:
    """Does what stage 3 begins with: copies the directory, and refuses what Kaldi's scripts do not take."""
    run(recipe, "utils/copy_data_dir.sh", "--validate_opts", "--non-print", f"data/{name}", f"dump/{name}")


def format_wav_scp(recipe: Path, name: str, fs: str = "16k") -> None:
    """Does the rest of stage 3: writes `dump/<name>/wav.scp` and its audio, FLAC at `fs`."""
    copy_data_dir(recipe, name)
    segments = ("--segments", f"data/{name}/segments") if (recipe / "data" / name / "segments").exists() else ()
    run(
        recipe, "scripts/audio/format_wav_scp.sh", "--nj", "1", "--cmd", "utils/run.pl", "--audio-format", "flac",
        "--fs", fs, *segments, f"data/{name}/wav.scp", f"dump/{name}",
    )  # fmt: skip
