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


def mix(speech: np.ndarray, spoken: np.ndarray, noise: np.ndarray, snr_db: float, level_db: float) -> np.ndarray:
    """Adds speech to noise; SNR = 10 log10(mean(speech^2) / mean(noise^2)), both over the spoken samples.

    Args:
        speech: Samples of any scale, float, (num_samples,).
        spoken: Where somebody speaks, bool, (num_samples,).
        noise: Samples of any scale, float, (num_samples,); zero at every spoken sample: no noise.
        snr_db: Signal-to-noise ratio.
        level_db: RMS level of the spoken samples relative to full scale (dBFS).

    Returns:
        The mixture in [-0.99, 0.99], float64, (num_samples,). One that would clip is made quieter as a whole, which
        keeps the SNR. Where both are exactly zero, so is the mixture.
    """
    target = 10 ** (level_db / 20)
    mixture = speech * (target / _rms(speech[spoken]))
    noise_rms = _rms(noise[spoken])
    if noise_rms:
        mixture += noise * (target / 10 ** (snr_db / 20) / noise_rms)
    return mixture * min(1.0, 0.99 / np.max(np.abs(mixture)))


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))
