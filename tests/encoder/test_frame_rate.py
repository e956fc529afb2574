"""Distance of output frames."""

import pytest

from espnet_ext.encoder.frame_rate import samples_per_frame


@pytest.mark.parametrize(("hop", "factor"), [(160, 4), (160, 6), (128, 4), (256, 8), (200, 1)])
@pytest.mark.parametrize("lost", [0, 1, 3])
@pytest.mark.parametrize("known", [True, False])
def test_rounding_of_frames_does_not_count(hop, factor, lost, known):
    def count_frames(samples: int) -> int:
        return (samples // hop + 1 - lost) // factor

    assert samples_per_frame(count_frames, 16000, hop if known else None) == hop * factor
