"""The embedded corpus: connected digits in noise, spoken by espeak-ng voices.

A corpus is a tree like LibriSpeech's:

    <root>/<split>/<speaker>/<speaker>-<number>.flac     16 kHz, 16 bit, mono
    <root>/<split>/<speaker>/<speaker>.trans.txt         <utterance id> <WORDS>
    <root>/<split>/manifest.json                         what it was made from

No voice is in two splits. Utterance i of a split depends on the seed, the split and i alone, so a smaller corpus is the
beginning of a bigger one, and the number of processes changes nothing.
"""

import json
import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from espeak import Espeak
from espnet_ext.directories import make_beside, move_into_place, remove_leftovers
from espnet_ext.errors import UserError
from noise import excerpt
from utterance import RANGES, SAMPLE_RATE, draw_prosody, make_utterance, to_16k

MANIFEST = "manifest.json"
SPLITS = ("train", "valid", "test")

# Speakers: every voice variant of a split gets one of the accents, in turn.
ACCENTS = (
    "en",
    "en-us",
    "en-029",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-us-nyc",
)
VARIANTS = {
    "train": "m1 m2 m4 m5 m7 m8 f1 f3 f4 Andy Annie Denis Hugo Lee Mario Nguyen adam announcer belinda boris edward "
    "quincy rob shelby",
    "valid": "m3 f5 Michael aunty grandpa linda",
    "test": "m6 f2 Alex Mike Henrique Diogo benjamin ian grandma max steph victor",
}

# What the people in the background talk about; no word sounds like a digit.
_BABBLE = (
    "The boat left the harbour in the early morning.",
    "She had painted every window of the old house.",
    "A cold wind moved slowly across the empty valley.",
    "They sold bread, butter and a little cheese at the market.",
    "My brother always forgets where the garden gate is.",
    "Rain is expected along the coast until Saturday.",
    "Please put the large basket under the kitchen table.",
    "Nobody had told the driver about the broken bridge.",
)
_BABBLE_STRANDS = 8
_BABBLE_SEC = 20.0


@dataclass(frozen=True)
class Options:
    """What a split is made from.

    Attributes:
        num_utts: Number of utterances.
        snr_db: Lowest and highest signal-to-noise ratio; each utterance draws one.
        seed: Of everything random.
    """

    num_utts: int
    snr_db: tuple[float, float] = (0.0, 15.0)
    seed: int = 0


@dataclass(frozen=True)
class Statistics:
    """Size of a split: utterances, speakers and seconds of audio."""

    num_utts: int
    num_speakers: int
    seconds: float


def speakers(split: str) -> list[tuple[str, str]]:
    """Returns (speaker name, espeak voice) of a split."""
    pairs = [(ACCENTS[i % len(ACCENTS)], variant) for i, variant in enumerate(VARIANTS[split].split())]
    return [(f"{variant.lower()}_{accent.replace('-', '_')}", f"{accent}+{variant}") for accent, variant in pairs]


def make_babble(espeak: Espeak, split: str, seed: int) -> np.ndarray:
    """Returns several voices of a split talking at the same time at 16 kHz, float64, (num_samples,)."""
    rng = np.random.default_rng([seed, SPLITS.index(split), 1])
    voices = [voice for _, voice in speakers(split)]
    length = int(_BABBLE_SEC * SAMPLE_RATE)
    babble = np.zeros(length)
    for voice in rng.permutation(voices)[:_BABBLE_STRANDS]:
        talk = espeak.speak(" ".join(rng.permutation(_BABBLE)), str(voice), draw_prosody(rng))
        strand = excerpt(to_16k(talk, espeak.sample_rate), length, rng)
        babble += strand / np.sqrt(np.mean(strand**2))
    return babble


@dataclass(frozen=True)
class _Job:
    """What the processes of a split share; inherited through fork, never pickled."""

    espeak: Espeak
    babble: np.ndarray
    split: str
    options: Options
    out_dir: Path

    def write(self, index: int) -> tuple[str, str, float]:
        """Writes utterance `index`; returns (utterance id, transcript, seconds)."""
        import soundfile

        voices = speakers(self.split)
        speaker, voice = voices[index % len(voices)]
        name = f"{speaker}-{index:05d}"
        rng = np.random.default_rng([self.options.seed, SPLITS.index(self.split), 0, index])
        text, samples = make_utterance(self.espeak, self.babble, voice, self.options.snr_db, rng)
        pcm = np.round(samples * 32767).astype(np.int16)
        soundfile.write(self.out_dir / speaker / f"{name}.flac", pcm, SAMPLE_RATE, subtype="PCM_16")
        return name, text, len(pcm) / SAMPLE_RATE


_job: _Job | None = None


def _start_worker(job: _Job) -> None:
    global _job  # one per worker process
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends the pool


def _write(index: int) -> tuple[str, str, float]:
    assert _job is not None
    return _job.write(index)


def read_manifest(split_dir: Path) -> dict:
    """Returns what a split was made from.

    Raises:
        UserError: Files are there that this command did not write.
    """
    try:
        manifest = json.loads((split_dir / MANIFEST).read_text(encoding="utf-8"))
        Statistics(**manifest["statistics"]), manifest["made_from"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{split_dir} exists, but its {MANIFEST} is missing or unreadable, so it is not replaced; "
            f"move it away, or choose another --out_dir"
        ) from error
    return manifest


def make_split(root: Path, split: str, options: Options, nj: int = 1, log: Callable[[str], None] = print) -> Statistics:
    """Makes `<root>/<split>`; it appears when it is complete. A complete one made from the same options is kept.

    Args:
        root: Directory of the corpus.
        split: One of `SPLITS`.
        options: What to make.
        nj: Number of processes.
        log: Receives lines of progress.

    Raises:
        UserError: espeak-ng is not available, or `<root>/<split>` holds something else.
    """
    espeak = Espeak()
    split_dir = root / split
    made_from = {**asdict(options), "ranges": asdict(RANGES), "espeak_ng": espeak.version}
    made_from = json.loads(json.dumps(made_from))  # as it will be read: lists for tuples
    if split_dir.exists():
        manifest = read_manifest(split_dir)
        complete = len(list(split_dir.glob("*/*.flac"))) == manifest["statistics"]["num_utts"]
        if complete and manifest["made_from"] == made_from:
            log(f"{split_dir}: already made, kept")
            return Statistics(**manifest["statistics"])
        reason = f"made from other options ({manifest['made_from']})" if complete else "incomplete"
        log(f"{split_dir}: {reason}; making it again")

    temporary = make_beside(split_dir)
    try:
        job = _Job(espeak, make_babble(espeak, split, options.seed), split, options, temporary)
        statistics = _write_split(job, nj, log)
        manifest = {"made_from": made_from, "statistics": asdict(statistics)}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        move_into_place(temporary, split_dir)
    finally:
        remove_leftovers(split_dir)
    return statistics


def _write_split(job: _Job, nj: int, log: Callable[[str], None]) -> Statistics:
    names = [speaker for speaker, _ in speakers(job.split)][: job.options.num_utts]
    transcripts: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        (job.out_dir / name).mkdir()
    total, seconds, started, shown = job.options.num_utts, 0.0, time.monotonic(), 0
    # fork, not spawn: the workers inherit the library that has not spoken yet
    with multiprocessing.get_context("fork").Pool(nj, _start_worker, (job,)) as pool:
        for done, (utterance, text, duration) in enumerate(pool.imap(_write, range(total), chunksize=4), start=1):
            transcripts[utterance.rsplit("-", 1)[0]].append(f"{utterance} {text}\n")
            seconds += duration
            if done * 4 // total > shown or done == total:
                shown = done * 4 // total
                log(f"{job.split}: {done}/{total} utterances, {time.monotonic() - started:.0f} s")
    for name, lines in transcripts.items():
        (job.out_dir / name / f"{name}.trans.txt").write_text("".join(lines), encoding="utf-8")
    return Statistics(total, len(names), round(seconds, 3))
