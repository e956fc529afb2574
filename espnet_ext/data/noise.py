"""Noise and how to add it at a given signal-to-noise ratio."""

import numpy as np


def white_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Returns Gaussian white noise, float64, (num_samples,)."""
    return rng.standard_normal(num_samples)


def pink_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Returns noise whose power falls as 1/f (3 dB per octave), as in rooms and traffic; float64, (num_samples,)."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0.0
    return np.fft.irfft(spectrum, num_samples)


def excerpt(recording: np.ndarray, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Returns `num_samples` consecutive samples of a recording from a random place, going round at its end."""
    start = int(rng.integers(len(recording)))
    return np.take(recording, np.arange(start, start + num_samples), mode="wrap")


def mix(speech: np.ndarray, noise: np.ndarray, offset: int, snr_db: float, level_db: float) -> np.ndarray:
    """Adds speech to a longer noise; SNR = 10 log10(mean(speech^2) / mean(noise^2)).

    Args:
        speech: Samples, float, (num_speech,).
        noise: Samples of any scale, float, (num_samples,), num_samples >= offset + num_speech.
        offset: Sample at which the speech begins.
        snr_db: Signal-to-noise ratio.
        level_db: RMS level of the speech relative to full scale (dBFS).

    Returns:
        The mixture in [-0.99, 0.99], float64, (num_samples,). One that would clip is made quieter as a whole, which
        keeps the SNR.
    """
    target = 10 ** (level_db / 20)
    mixture = noise * (target / 10 ** (snr_db / 20) / np.sqrt(np.mean(noise**2)))
    mixture[offset : offset + len(speech)] += speech * (target / np.sqrt(np.mean(speech**2)))
    return mixture * min(1.0, 0.99 / np.max(np.abs(mixture)))
