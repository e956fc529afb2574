"""Distance of output frames."""

import pytest

from espnet_ext.frame_rate import samples_per_frame


@pytest.mark.parametrize(("hop", "factor"), [(160, 4), (160, 6), (128, 4), (256, 8), (200, 1)])
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_rounding_of_frames_does_not_count(hop, factor, lost):
    def count_frames(samples: int) -> int:
        return (samples // hop + 1 - lost) // factor

    assert samples_per_frame(count_frames, 16000, hop) == hop * factor


def test_without_a_known_hop_it_is_ten_milliseconds():
    assert samples_per_frame(lambda samples: (samples - 400) // 320 + 1, 16000, None) == 320
