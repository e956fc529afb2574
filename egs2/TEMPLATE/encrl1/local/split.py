"""Splits of a corpus that is made by a program, as a tree like LibriSpeech's.

    <root>/<split>/<speaker>/<speaker>-<number>.flac     16 kHz, 16 bit, mono
    <root>/<split>/<speaker>/<speaker>.trans.txt         <utterance id> <WORDS>
    <root>/<split>/manifest.json                         what it was made from

Utterance i depends on i and what the split is made from alone, so the number of processes changes nothing.
"""

import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espnet_ext.directories import make_beside, move_into_place, remove_leftovers
from espnet_ext.errors import UserError

SAMPLE_RATE = 16000
MANIFEST = "manifest.json"
# Returns speaker, transcript and samples (num_samples,) in [-1, 1] of utterance i.
Maker = Callable[[int], tuple[str, str, np.ndarray]]


@dataclass(frozen=True)
class Statistics:
    """Size of a split: utterances, speakers and seconds of audio."""

    num_utts: int
    num_speakers: int
    seconds: float


def read_manifest(split_dir: Path) -> dict:
    """Returns what a split was made from.

    Raises:
        UserError: Files are there that this program did not write.
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


def write_split(
    split_dir: Path,
    made_from: Mapping[str, Any],
    num_utts: int,
    start: Callable[[], Maker],
    nj: int = 1,
    log: Callable[[str], None] = print,
) -> Statistics:
    """Makes a split; it appears when it is complete. A complete one made from the same is kept.

    Args:
        split_dir: Where, `<root>/<split>`.
        made_from: All that decides what is written; values that JSON can hold.
        num_utts: Number of utterances.
        start: Returns what makes utterances, if the split has to be made.
        nj: Number of processes.
        log: Receives lines of progress.

    Raises:
        UserError: `split_dir` holds something else.
    """
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
        statistics = _write(_Job(start(), temporary), split_dir.name, num_utts, nj, log)
        manifest = {"made_from": made_from, "statistics": asdict(statistics)}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        move_into_place(temporary, split_dir)
    finally:
        remove_leftovers(split_dir)
    return statistics


@dataclass(frozen=True)
class _Job:
    """What the processes of a split share; inherited through fork, never pickled."""

    make: Maker
    out_dir: Path

    def write(self, index: int) -> tuple[str, str, str, float]:
        """Writes utterance `index`; returns (speaker, utterance id, transcript, seconds)."""
        import soundfile

        speaker, text, samples = self.make(index)
        name = f"{speaker}-{index:05d}"
        pcm = np.round(samples * 32767).astype(np.int16)
        (self.out_dir / speaker).mkdir(exist_ok=True)
        soundfile.write(self.out_dir / speaker / f"{name}.flac", pcm, SAMPLE_RATE, subtype="PCM_16")
        return speaker, name, text, len(pcm) / SAMPLE_RATE


_job: _Job | None = None


def _start_worker(job: _Job) -> None:
    global _job  # one per worker process
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends the pool


def _write_one(index: int) -> tuple[str, str, str, float]:
    assert _job is not None
    return _job.write(index)


def _write(job: _Job, split: str, total: int, nj: int, log: Callable[[str], None]) -> Statistics:
    transcripts: dict[str, list[str]] = {}
    seconds, started, shown = 0.0, time.monotonic(), 0
    # fork, not spawn: the workers inherit what `start` has loaded
    with multiprocessing.get_context("fork").Pool(nj, _start_worker, (job,)) as pool:
        for done, (speaker, utterance, text, length) in enumerate(pool.imap(_write_one, range(total), 4), start=1):
            transcripts.setdefault(speaker, []).append(f"{utterance} {text}\n")
            seconds += length
            if done * 4 // total > shown or done == total:
                shown = done * 4 // total
                log(f"{split}: {done}/{total} utterances, {time.monotonic() - started:.0f} s")
    for name, lines in transcripts.items():
        (job.out_dir / name / f"{name}.trans.txt").write_text("".join(lines), encoding="utf-8")
    return Statistics(total, len(transcripts), round(seconds, 3))
