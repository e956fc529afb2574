"""Small corpora in the official layouts of LibriSpeech and TED-LIUM 3.

The speech is real where the environment variable ENCRL_TEST_LIBRISPEECH names a LibriSpeech tree, espeak's elsewhere.
"""

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from digits import speakers
from espeak import Espeak, Prosody
from talks import write_talk

REPO = Path(__file__).resolve().parents[2]
CORPUS_VARIABLES = ("LIBRISPEECH", "MINI_LIBRISPEECH", "TEDLIUM3", "SPEECHCOMMANDS")
RATE = 16000
SPLITS = {  # readers of each
    "train-clean-100": 4,
    "train-clean-360": 1,
    "train-other-500": 1,
    "dev-clean": 1,
    "dev-other": 1,
    "test-clean": 1,
    "test-other": 1,
}
TALKS = {"train": 5, "dev": 1, "test": 1}
UTTS_PER_CHAPTER = 4
MAX_SEC = 7.0
_GAP_SEC = 0.4
SENTENCES = (
    "THE BOAT LEFT THE HARBOUR EARLY IN THE MORNING",
    "IT'S THE SAME OLD HOUSE THAT SHE PAINTED LAST YEAR",
    "A COLD WIND MOVED QUICKLY ACROSS THE EMPTY VALLEY",
    "THEY SOLD BREAD AND BUTTER AND A LITTLE CHEESE",
    "MY BROTHER FORGETS WHERE THE GARDEN GATE IS",
    "RAIN IS EXPECTED ALONG THE COAST UNTIL SATURDAY",
    "PUT THE LARGE BASKET UNDER THE KITCHEN TABLE",
    "NOBODY HAD TOLD THE DRIVER ABOUT THE BROKEN BRIDGE",
    "WE WERE AMAZED BY THE SIZE OF THE FROZEN LAKE",
    "THE JUDGE KEPT A QUIET EYE ON THE EXCITED CROWD",
)


@dataclass(frozen=True)
class Chapter:
    """What one reader says: (words in capitals, samples int16 (num_samples,) at 16 kHz) of each utterance."""

    reader: int
    sex: str
    utterances: list[tuple[str, np.ndarray]]


def read_chapters(root: Path) -> Iterator[Chapter]:
    """Gives the beginning of the first chapter of each reader in a LibriSpeech tree."""
    rows = (line.split("|") for line in (root / "SPEAKERS.TXT").read_text(errors="replace").splitlines())
    sex = {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}
    readers = {path.name: path for path in sorted(root.glob("*/*")) if path.is_dir()}
    for _, reader_dir in sorted(readers.items()):
        (transcripts, *_) = sorted(reader_dir.glob("*/*.trans.txt"))
        utterances = []
        for line in transcripts.read_text().splitlines():
            name, words = line.split(maxsplit=1)
            samples, _ = soundfile.read(transcripts.with_name(f"{name}.flac"), dtype="int16")
            if len(samples) <= MAX_SEC * RATE and len(utterances) < UTTS_PER_CHAPTER:
                utterances.append((words, samples))
        if len(utterances) == UTTS_PER_CHAPTER:
            yield Chapter(int(reader_dir.name), sex[reader_dir.name], utterances)


def speak_chapters() -> Iterator[Chapter]:
    """Gives chapters spoken by espeak, each with another voice."""
    espeak = Espeak()
    for number, (name, voice) in enumerate(speakers("train")):
        utterances = []
        for i in range(UTTS_PER_CHAPTER):
            words = SENTENCES[(3 * number + i) % len(SENTENCES)]
            samples = espeak.speak(words.lower(), voice, Prosody(rate=220))
            times = np.arange(0, len(samples), espeak.sample_rate / RATE)
            utterances.append((words, np.interp(times, np.arange(len(samples)), samples).astype(np.int16)))
        yield Chapter(100 + number, "F" if name[0] == "f" else "M", utterances)


def chapters() -> Iterator[Chapter]:
    """Gives real speech where there is some."""
    given = os.environ.get("ENCRL_TEST_LIBRISPEECH")
    return read_chapters(Path(given)) if given else speak_chapters()


def make_librispeech(parent: Path) -> Path:
    """Makes `<parent>/LibriSpeech` with all seven splits and returns it."""
    root = parent / "LibriSpeech"
    source = chapters()
    rows = [";ID  |SEX| SUBSET           |MINUTES| NAME"]
    for split, num_readers in SPLITS.items():
        for _ in range(num_readers):
            chapter = next(source)
            rows.append(f"{chapter.reader:<5}| {chapter.sex} | {split:<17}| 25.03 | Somebody")
            directory = root / split / str(chapter.reader) / "7"
            directory.mkdir(parents=True)
            lines = []
            for i, (words, samples) in enumerate(chapter.utterances):
                name = f"{chapter.reader}-7-{i:04d}"
                soundfile.write(directory / f"{name}.flac", samples, RATE)
                lines.append(f"{name} {words}\n")
            (directory / f"{chapter.reader}-7.trans.txt").write_text("".join(lines))
    for name, text in (("SPEAKERS", "\n".join(rows) + "\n"), ("LICENSE", "CC BY 4.0\n"), ("README", "A test.\n")):
        (root / f"{name}.TXT").write_text(text)
    return root


def make_tedlium(parent: Path) -> Path:
    """Makes `<parent>/TEDLIUM_release-3` with both distributions and returns it."""
    root = parent / "TEDLIUM_release-3"
    source = chapters()
    talks: dict[str, list[str]] = {}
    for split, num_talks in TALKS.items():
        # The talks of the training set lie in data/, the distributions link there.
        directory = root / "data" if split == "train" else root / "legacy" / split
        talks[split] = [_make_talk(directory, next(source), split) for _ in range(num_talks)]
    (root / "legacy/train").mkdir()
    for kind in ("sph", "stm"):
        (root / "legacy/train" / kind).symlink_to(f"../../data/{kind}")
        for split, names in zip(TALKS, (talks["train"][2:], talks["train"][:1], talks["train"][1:2]), strict=True):
            directory = root / "speaker-adaptation" / split / kind
            directory.mkdir(parents=True)
            for name in names:
                (directory / f"{name}.{kind}").symlink_to(f"../../../data/{kind}/{name}.{kind}")
    (root / "TEDLIUM.152k.dic").write_text("a\tAH\n")
    (root / "LM").mkdir()
    with gzip.open(root / "LM/test.en.gz", "wt") as file:
        file.write("a text for language models </s>\n")
    return root


def _make_talk(split_dir: Path, chapter: Chapter, split: str) -> str:
    """Writes sph/ and stm/ of one talk, in which a chapter's utterances follow each other; returns its name."""
    name = f"Reader{chapter.reader}_2010"
    sex = {"F": "female", "M": "male"}[chapter.sex]
    segments: list[tuple[str | None, np.ndarray]] = []
    for number, (words, utterance) in enumerate(chapter.utterances):
        tokens = words.lower().replace("'", " '").split()  # TED-LIUM writes "it 's"
        if number == 0:
            tokens[0] = "<unk>"
        if number == 1:
            tokens[2:2] = ["{NOISE}", "<sil>", "the(2)"]
        if split == "train":
            tokens.append(f"({name}-0.00-1.00-F0_M-S0)")
        segments += [(None, np.zeros(int(_GAP_SEC * RATE), dtype=np.int16)), (" ".join(tokens), utterance)]
    write_talk(split_dir, name, f"<o,f0,{sex}>" if split == "train" else f"<F0_{chapter.sex}>", segments)
    return name


def copy_recipe(name: str, root: Path) -> Path:
    """Copies a recipe beside links to the rest of the repository, where data/, dump/ and exp/ do no harm."""
    target = root / "egs2" / name / "encrl1"
    ignore = shutil.ignore_patterns("data", "dump*", "exp*", "downloads", "RESULTS*")
    shutil.copytree(REPO / "egs2" / name / "encrl1", target, symlinks=True, ignore=ignore)
    if name == "mini_tedlium3":
        copy_recipe("mini_digits", root)  # whose conf and local it shares
    for link in ("egs2/TEMPLATE", "tools", "path.sh", "conf"):
        if not (root / link).exists():
            (root / link).symlink_to(REPO / link)
    return target


def copy_with_checksums(name: str, root: Path, replaced: dict[str, str]) -> Path:
    """Copies a recipe and the scripts it shares, in which other checksums replace the published ones."""
    recipe = copy_recipe(name, root)
    (root / "egs2/TEMPLATE").unlink()
    shutil.copytree(REPO / "egs2/TEMPLATE/encrl1", root / "egs2/TEMPLATE/encrl1")
    scripts = [root / "egs2/TEMPLATE/encrl1/local/librispeech.sh", recipe / "local/data.sh"]
    for published, ours in replaced.items():
        assert any(published in script.read_text() for script in scripts)
        for script in scripts:
            script.write_text(script.read_text().replace(published, ours))
    return recipe


def run(recipe: Path, command: str, *options: str, status: int = 0, **environment: str | Path) -> str:
    """Runs a script of a recipe, asserts its exit status, and returns what it says."""
    inherited = {key: value for key, value in os.environ.items() if key not in CORPUS_VARIABLES}
    ran = subprocess.run(
        [command, *options],
        cwd=recipe,
        env={**inherited, "PYTHONPATH": str(REPO), **{key: str(value) for key, value in environment.items()}},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == status, ran.stdout[-5000:]
    return ran.stdout


def contents(directory: Path) -> dict[Path, bytes]:
    """Returns every file below a directory."""
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def stm_of(corpora: Path) -> Path:
    """Returns the transcript of the talk in legacy/dev."""
    return next((corpora / "TEDLIUM_release-3/legacy/dev/stm").iterdir())


def shift_last_segment(corpora: Path, seconds: float) -> None:
    """Makes the last segment of that talk end later."""
    lines = stm_of(corpora).read_text().splitlines()
    fields = lines[-1].split()
    fields[4] = f"{float(fields[4]) + seconds:.2f}"
    stm_of(corpora).write_text("\n".join([*lines[:-1], " ".join(fields)]) + "\n")
