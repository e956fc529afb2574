"""One utterance of the embedded corpus: spoken digits, the pauses around and between them, and noise."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from espeak import Espeak, Prosody
from noise import excerpt, mix, pink_noise, white_noise
from pauses import draw_backgrounds, draw_pause
from split import SAMPLE_RATE

WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")


@dataclass(frozen=True)
class Ranges:
    """What every utterance draws from; part of a corpus's manifest. Those of the pauses: `pauses.PauseRanges`.

    Attributes:
        digits: Fewest and most words.
        rate_wpm: Words per minute.
        pitch: Height of the voice, see `Prosody`.
        pitch_range: Liveliness, see `Prosody`.
        level_dbfs: Lowest, most frequent and highest RMS of the spoken samples relative to full scale.
        pause_share: How many of the places between two words have a pause; before and after the words there is always
            one.
    """

    digits: tuple[int, int] = (1, 7)
    rate_wpm: tuple[int, int] = (130, 250)
    pitch: tuple[int, int] = (25, 75)
    pitch_range: tuple[int, int] = (20, 80)
    level_dbfs: tuple[float, float, float] = (-45.0, -26.0, -12.0)
    pause_sec: tuple[float, float] = (0.0, 2.0)
    pause_share: float = 0.15
    clean_share: float = 0.15
    zeros_share: float = 0.2
    other_share: float = 0.25
    other_dbfs: tuple[float, float] = (-80.0, -20.0)
    hold_sec: tuple[float, float] = (0.0, 0.3)


RANGES = Ranges()


def to_16k(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Resamples int16 (num_samples,) to float64 at 16 kHz by cutting the spectrum at 8 kHz.

    In NumPy alone: a process that has not loaded scipy is forked, for each utterance, in a fifth of the time.
    """
    common = int(np.gcd(SAMPLE_RATE, sample_rate))
    step = sample_rate // common  # whole periods of both rates
    signal_in = np.pad(samples / 32768.0, (0, -len(samples) % step))
    length = len(signal_in) * SAMPLE_RATE // sample_rate
    return np.fft.irfft(np.fft.rfft(signal_in)[: length // 2 + 1], length) * (length / len(signal_in))


def draw_prosody(rng: np.random.Generator) -> Prosody:
    """Returns how a voice speaks one utterance."""
    ranges = (RANGES.rate_wpm, RANGES.pitch, RANGES.pitch_range)
    return Prosody(*(int(rng.integers(low, high + 1)) for low, high in ranges))


def make_utterance(
    espeak: Espeak, babble: np.ndarray, voice: str, snr_db: tuple[float, float], rng: np.random.Generator
) -> tuple[str, np.ndarray]:
    """Makes one utterance of digits with pauses, clean or in white, pink or babble noise.

    Args:
        espeak: The synthesiser.
        babble: The recording that babble noise is cut from, float, (num_samples,) at 16 kHz.
        voice: espeak voice.
        snr_db: Range of the signal-to-noise ratio.
        rng: Source of every choice.

    Returns:
        Transcript, and samples at 16 kHz, float64, (num_samples,).
    """
    words = [WORDS[digit] for digit in rng.integers(10, size=rng.integers(RANGES.digits[0], RANGES.digits[1] + 1))]
    ends = [*(np.flatnonzero(rng.uniform(size=len(words) - 1) < RANGES.pause_share) + 1), len(words)]
    prosody = draw_prosody(rng)
    pieces, start = [np.zeros(draw_pause(RANGES, rng))], 0
    for end in ends:
        piece = to_16k(espeak.speak(" ".join(words[start:end]).lower(), voice, prosody), espeak.sample_rate)
        pieces += [piece, np.zeros(draw_pause(RANGES, rng))]
        start = end
    spoken = np.concatenate([np.full(len(piece), number % 2 == 1) for number, piece in enumerate(pieces)])
    noises = (white_noise, pink_noise, partial(excerpt, babble))
    noise, other = draw_backgrounds([len(piece) for piece in pieces], noises, RANGES, rng)
    speech = np.concatenate(pieces)
    return " ".join(words), mix(speech, spoken, noise, rng.uniform(*snr_db), rng.triangular(*RANGES.level_dbfs)) + other
