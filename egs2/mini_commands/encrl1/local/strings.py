"""Strings of commands: clips of one speaker, one after another, with pauses and noise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from clips import by_speaker, place_of, read_clip, spoken_part
from noise import excerpt, mix, pink_noise, white_noise
from pauses import draw_backgrounds, draw_pause
from split import SAMPLE_RATE, Maker

_FADE_SEC = 0.01
_GRAIN = 160  # samples; all lengths are multiples of it, since spectra of other lengths take long
_BABBLE_STRANDS = 8
_BABBLE_SEC = 20.0
_FEWEST_BABBLE_CLIPS = 40
_EQUALIZER_HZ = (100, 200, 400, 800, 1600, 3200, 8000)


@dataclass(frozen=True)
class Ranges:
    """What every string draws from; part of a corpus's manifest. Those of the pauses: `pauses.PauseRanges`.

    Attributes:
        words: Fewest and most commands.
        single_share: How many strings of training sets are a single command. CTC has to find out what a word is before
            it can tell where each one is; from long strings alone a training stays at blanks for very long.
        margin_sec: How much of a clip is left before and after its word.
        word_level_db: How much louder or quieter than the others a word is.
        level_dbfs: Lowest, most frequent and highest RMS of the spoken samples relative to full scale.
        speed: Of a whole string, in training sets alone: 1.1 is faster and higher.
        grain_sec: Training strings last a multiple of it. Batches then have few shapes. Bfloat16 on a CPU prepares
            itself for each new shape, which takes longer than what it saves.
        equalizer_db: Gain at each of some frequencies, in training sets alone: another microphone.
    """

    words: tuple[int, int] = (3, 7)
    single_share: float = 0.4
    margin_sec: tuple[float, float] = (0.03, 0.2)
    word_level_db: tuple[float, float] = (-4.0, 4.0)
    level_dbfs: tuple[float, float, float] = (-45.0, -26.0, -12.0)
    speed: tuple[float, float] = (0.85, 1.15)
    grain_sec: float = 0.64
    equalizer_db: tuple[float, float] = (-6.0, 6.0)
    pause_sec: tuple[float, float] = (0.1, 2.0)
    clean_share: float = 0.3
    zeros_share: float = 0.2
    other_share: float = 0.15
    other_dbfs: tuple[float, float] = (-80.0, -30.0)
    hold_sec: tuple[float, float] = (0.0, 0.3)


RANGES = Ranges()


def start(clips: Sequence[Path], snr_db: tuple[float, float], is_training: bool, seed: Sequence[int]) -> Maker:
    """Returns what makes the strings of a split.

    Args:
        clips: Of the split, all words.
        snr_db: Lowest and highest signal-to-noise ratio; each string draws one.
        is_training: Whether speed and equaliser vary, and single commands are among the strings.
        seed: Of everything random, with the number of the string.
    """
    speakers = {name: [(one.parent.name, read_clip(one)) for one in own] for name, own in by_speaker(clips).items()}
    names = list(speakers)
    weights = np.array([len(speakers[name]) for name in names], float)  # so each clip is used as often
    noises: list[Callable[..., np.ndarray]] = [white_noise, pink_noise]
    strands = [one for one in clips if one.parent.name not in {word for own in speakers.values() for word, _ in own}]
    if len(strands) >= _FEWEST_BABBLE_CLIPS:
        babble = _make_babble([read_clip(one) for one in strands], np.random.default_rng([*seed, 1]))
        noises.append(partial(excerpt, babble))

    def make(index: int) -> tuple[str, str, np.ndarray]:
        rng = np.random.default_rng([*seed, 0, index])
        speaker = names[rng.choice(len(names), p=weights / weights.sum())]
        return speaker, *make_string(speakers[speaker], noises, snr_db, is_training, rng)

    return make


def make_string(
    clips: Sequence[tuple[str, np.ndarray]],
    noises: Sequence[Callable[..., np.ndarray]],
    snr_db: tuple[float, float],
    is_training: bool,
    rng: np.random.Generator,
) -> tuple[str, np.ndarray]:
    """Makes one string.

    Args:
        clips: Word and samples of each clip of a speaker.
        noises: One is drawn for the noise behind the speech; each takes the number of samples and `rng`.
        snr_db: Range of the signal-to-noise ratio.
        is_training: Whether speed and equaliser vary, and single commands are among the strings.
        rng: Source of every choice.

    Returns:
        Transcript, and samples at 16 kHz, float64, (num_samples,).
    """
    count = int(rng.integers(RANGES.words[0], RANGES.words[1] + 1))
    if is_training and rng.uniform() < RANGES.single_share:
        count = 1
    chosen = rng.choice(len(clips), count, replace=len(clips) < count)
    change = _draw_change(rng) if is_training else None
    pieces = [_pause(rng)]
    for place in chosen:
        piece = _cut(clips[place][1], rng)
        pieces += [piece if change is None else change(piece), _pause(rng)]
    if is_training:
        pieces[-1] = np.zeros(len(pieces[-1]) + -sum(map(len, pieces)) % round(RANGES.grain_sec * SAMPLE_RATE))
    spoken = np.concatenate([np.full(len(piece), number % 2 == 1) for number, piece in enumerate(pieces)])
    noise, other = draw_backgrounds([len(piece) for piece in pieces], noises, RANGES, rng)
    level = rng.triangular(*RANGES.level_dbfs)
    samples = mix(np.concatenate(pieces), spoken, noise, rng.uniform(*snr_db), level) + other
    return " ".join(clips[place][0] for place in chosen), samples


def _pause(rng: np.random.Generator) -> np.ndarray:
    return np.zeros(_whole(draw_pause(RANGES, rng)))


def _whole(num_samples: float) -> int:
    return max(1, round(num_samples / _GRAIN)) * _GRAIN


def _cut(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the word of a clip with some of what is around it, faded at both ends, at a level near the others'."""
    first, last = spoken_part(clip)
    before, after = (int(SAMPLE_RATE * rng.uniform(*RANGES.margin_sec)) for _ in range(2))
    level = 10 ** (rng.uniform(*RANGES.word_level_db) / 20)
    level /= np.sqrt(np.mean(clip[first:last] ** 2)) + 1e-5
    piece = clip[max(0, first - before) : last + after] * level
    piece = np.pad(piece, (0, -len(piece) % _GRAIN), mode="edge")
    fade = np.linspace(0, 1, min(int(_FADE_SEC * SAMPLE_RATE), len(piece)))
    piece[: len(fade)] *= fade
    piece[len(piece) - len(fade) :] *= fade[::-1]
    return piece


def _draw_change(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Returns another speed and another microphone, by the spectrum."""
    speed = rng.uniform(*RANGES.speed)
    gains = rng.uniform(*RANGES.equalizer_db, len(_EQUALIZER_HZ))

    def change(piece: np.ndarray) -> np.ndarray:
        length = _whole(len(piece) / speed)
        spectrum = np.fft.rfft(piece)
        hz = np.fft.rfftfreq(len(piece), 1 / SAMPLE_RATE)
        spectrum *= 10 ** (np.interp(np.log(hz + 1), np.log(_EQUALIZER_HZ), gains) / 20)
        kept = np.zeros(length // 2 + 1, complex)
        shared = min(len(kept), len(spectrum))
        kept[:shared] = spectrum[:shared]
        return np.fft.irfft(kept, length) * (length / len(piece))

    return change


def _make_babble(clips: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Returns several strands of other words at the same time, float64, (num_samples,)."""
    length = int(_BABBLE_SEC * SAMPLE_RATE)
    babble = np.zeros(length)
    for _ in range(_BABBLE_STRANDS):
        strand = np.concatenate([clips[place] for place in rng.permutation(len(clips))])
        strand = excerpt(strand, length, rng)
        babble += strand / np.sqrt(np.mean(strand**2))
    return babble


def shares(speakers: Mapping[str, Sequence[Path]], share: float) -> list[str]:
    """Returns a share of the speakers, the nearest whole number of them; a smaller share is a part of a bigger one."""
    ordered = sorted(speakers, key=lambda name: place_of(name, "share"))
    return sorted(ordered[: max(1, round(share * len(ordered)))])
