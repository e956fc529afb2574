"""The embedded corpus: connected digits in noise, spoken by espeak-ng voices.

No voice is in two splits. Utterance i of a split depends on the seed, the split and i alone, so a smaller corpus is the
beginning of a bigger one, and the number of processes changes nothing.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from espeak import Espeak
from noise import excerpt
from split import Maker, Statistics, write_split
from utterance import RANGES, SAMPLE_RATE, draw_prosody, make_utterance, to_16k

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
    voices = speakers(split)

    def start() -> Maker:
        babble = make_babble(espeak, split, options.seed)

        def make(index: int) -> tuple[str, str, np.ndarray]:
            speaker, voice = voices[index % len(voices)]
            rng = np.random.default_rng([options.seed, SPLITS.index(split), 0, index])
            return speaker, *make_utterance(espeak, babble, voice, options.snr_db, rng)

        return make

    made_from = {**asdict(options), "ranges": asdict(RANGES), "espeak_ng": espeak.version}
    return write_split(root / split, made_from, options.num_utts, start, nj, log)
