"""The clips of Speech Commands: which there are, whose they are, and the word in each.

Pete Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv 1804.03209.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from espnet_ext.errors import UserError
from split import SAMPLE_RATE

SPLITS = ("train", "valid", "test")
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
# The archive's own splits; what is on neither list is for training.
_LISTS = {"validation_list.txt": "valid", "testing_list.txt": "test"}
# Shares of the speakers where the lists do not cover the splits; about twice what the archive has.
_TEST_SHARE, _VALID_SHARE = 0.22, 0.12
_FEWEST_CLIPS = 3  # a string of one clip again and again teaches nothing

# A word is where windows are louder than the clip's own noise by a share of what the word is, and not too far below the
# loudest. Margins keep its quiet beginning and end.
_WINDOW_SEC, _ABOVE_NOISE, _BELOW_LOUDEST_DB = 0.01, 0.3, 30.0


def speaker_of(clip: Path) -> str:
    """Returns the speaker's hash, which a clip's name begins with."""
    return clip.name.partition("_nohash_")[0]


def read_splits(corpus: Path) -> dict[str, list[Path]]:
    """Returns the clips of each split, sorted; no speaker is in two.

    The archive's lists decide. Where the directory has no clip for one of the splits by these lists (a part of the
    archive), the speakers are divided by their SHA-256.

    Args:
        corpus: The unpacked archive: a directory for each word.

    Raises:
        UserError: No clips there.
    """
    clips = sorted(corpus.glob("[a-z]*/*_nohash_*.wav"))
    if not {clip.parent.name for clip in clips}.issuperset(WORDS):
        raise UserError(
            f"{corpus} has no clips <word>/<speaker>_nohash_<number>.wav of each word ({', '.join(WORDS)}); give the "
            "directory that speech_commands_v0.02.tar.gz was unpacked to"
        )
    listed = {}
    for name, split in _LISTS.items():
        if (corpus / name).is_file():
            listed |= dict.fromkeys((corpus / name).read_text(encoding="utf-8").split(), split)
    by_list = {clip: listed.get(f"{clip.parent.name}/{clip.name}", "train") for clip in clips}
    if set(by_list.values()) != set(SPLITS):
        by_list = {clip: _split_by_hash(speaker_of(clip)) for clip in clips}
    splits = {split: [clip for clip in clips if by_list[clip] == split] for split in SPLITS}
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        if both := {speaker_of(clip) for clip in splits[one]} & {speaker_of(clip) for clip in splits[other]}:
            raise UserError(f"{corpus}: the lists put speaker {min(both)} into {one} and {other}; restore the lists")
    return splits


def _split_by_hash(speaker: str) -> str:
    place = place_of(speaker, "split")
    return "test" if place < _TEST_SHARE else "valid" if place < _TEST_SHARE + _VALID_SHARE else "train"


def place_of(speaker: str, purpose: str) -> float:
    """Returns a number in [0, 1) that is the same for a speaker everywhere; another one for each purpose."""
    digest = hashlib.sha256(f"{purpose} {speaker}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def by_speaker(clips: Sequence[Path]) -> dict[str, list[Path]]:
    """Returns the clips of the ten words by speaker, without speakers who have hardly any."""
    speakers: dict[str, list[Path]] = {}
    for clip in clips:
        if clip.parent.name in WORDS:
            speakers.setdefault(speaker_of(clip), []).append(clip)
    return {name: speakers[name] for name in sorted(speakers) if len(speakers[name]) >= _FEWEST_CLIPS}


def read_clip(clip: Path) -> np.ndarray:
    """Returns the samples of a clip, float64, (num_samples,) at 16 kHz."""
    samples, rate = soundfile.read(clip, dtype="float64")
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise UserError(f"{clip} is not mono at {SAMPLE_RATE} Hz; restore it from the archive")
    return samples - samples.mean() if len(samples) else samples


def spoken_part(samples: np.ndarray) -> tuple[int, int]:
    """Returns (first, last + 1) sample of the word in a clip, by its level."""
    size = int(_WINDOW_SEC * SAMPLE_RATE)
    count = len(samples) // size
    power = np.mean(samples[: count * size].reshape(count, size) ** 2, axis=1)
    # Five windows together: what is much shorter is no word.
    smooth = 10 * np.log10(np.convolve(np.pad(power, 2, "edge"), np.ones(5) / 5, mode="valid") + 1e-10)
    noise, loudest = np.percentile(smooth, 10), smooth.max()
    loud = np.flatnonzero(smooth >= max(loudest - _BELOW_LOUDEST_DB, noise + _ABOVE_NOISE * (loudest - noise)))
    return int(loud[0]) * size, (int(loud[-1]) + 1) * size
