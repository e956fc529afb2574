"""One channel of several."""

import numpy as np

# Of the energy that the mean of independent channels keeps, 1 / channels of theirs, so much must be left.
_LEFT = 0.2


class Downmix:
    """Averages channels; where they cancel each other, as of opposite phase, it takes one of them.

    It is decided for each block of samples alone. The channel that is taken is the loudest of the first block in which
    they cancel, and stays the same, so that its sign does not change from block to block.
    """

    def __init__(self) -> None:
        self._channel: int | None = None

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Returns (samples,) float32 of (samples, channels) float32."""
        mean = block.mean(axis=1)
        channels = block.shape[1]
        if channels == 1:
            return mean
        energies = np.square(block).sum(axis=0, dtype=np.float64)
        if np.square(mean).sum(dtype=np.float64) >= _LEFT / channels * energies.mean():
            return mean
        if self._channel is None:
            self._channel = int(energies.argmax())
        return block[:, self._channel].copy()
