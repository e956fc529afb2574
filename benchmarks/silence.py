r"""What silence does to models: words it gives alone, and word errors with silence added at both ends of a test set.

Silence is digital (samples that are exactly zero) or quiet noise, white or pink, at a level relative to full scale.
Where the frames of the model begin in the words changes errors by chance, and silence in front moves them. So every WER
is the mean of some begins, within a frame.

Run, in a recipe directory after ./run.sh:
    python3 ../../../benchmarks/silence.py --exp_dirs exp/asr_{teacher,e6_encrl,e4_encrl,e2_encrl}_raw_en_bpe29 \
        --data_dir dump/raw/test --output exp/silence
"""

import argparse
import csv
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from espnet_ext.data.batches import make_batches
from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.text import read_text
from espnet_ext.decode.model import CTCModel, load_model
from espnet_ext.decode.parallel import decode_batches
from espnet_ext.errors import run_main
from espnet_ext.files import atomic
from espnet_ext.report.markdown import layout
from espnet_ext.report.table import Table
from espnet_ext.score.by_jiwer import score

sys.path.append(str(Path(__file__).parents[1] / "egs2/TEMPLATE/encrl1/local"))
from noise import pink_noise, white_noise  # noqa: E402

# seconds, and level in dBFS or None for digital silence
_PADDING = ((0.25, None), (0.5, None), (1.0, None), (2.0, None), (1.0, -60), (1.0, -45))
_SHIFTS_SEC = (0.0, 0.02, 0.04, 0.06)  # 80 ms are a frame of mini_digits
_ALONE_SEC = (1.0, 3.0, 10.0)
_DRAWS = 20  # of noise, for each kind and length
_BATCH_SEC, _MAX_PADDING = 60.0, 0.05

Silence = Callable[[int, np.random.Generator], np.ndarray]


def zeros(num_samples: int, _rng: np.random.Generator) -> np.ndarray:
    """Returns digital silence, float64, (num_samples,)."""
    return np.zeros(num_samples)


def quiet(make: Silence, level_dbfs: float, num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Returns noise at a level, in steps of 16 bits as recordings have them; float64, (num_samples,)."""
    noise = make(num_samples, rng)
    noise *= 10 ** (level_dbfs / 20) / np.sqrt(np.mean(noise**2))
    return np.round(noise * 32768) / 32768


def kinds(level_dbfs: float | None) -> dict[str, Silence]:
    """Returns the silences of a level by name."""
    if level_dbfs is None:
        return {"zeros": zeros}
    makers = (("white", white_noise), ("pink", pink_noise))
    return {f"{name} noise {level_dbfs} dBFS": partial(quiet, make, level_dbfs) for name, make in makers}


def decode(model: CTCModel, signals: dict[str, Tensor]) -> dict[str, str]:
    """Returns the text of every signal, (samples,) float."""
    lengths = {name: len(signal) for name, signal in signals.items()}
    batches = make_batches(lengths, int(_BATCH_SEC * model.sample_rate), _MAX_PADDING)
    texts = {}
    for batch in decode_batches(model.model, signals.__getitem__, batches):
        for name, hypothesis in zip(batch.names, batch.hypotheses, strict=True):
            texts[name] = model.text(model.tokens(hypothesis.token_ids))
    return texts


def mean_wer(
    model: CTCModel, references: dict[str, str], signals: dict[str, Tensor], silence: Silence, seconds: float
) -> float:
    """Returns the WER in percent with silence at both ends of every signal, (samples,) float, mean of the shifts."""
    rng = np.random.default_rng(0)

    def draw(length_sec: float) -> Tensor:
        return torch.from_numpy(silence(int(length_sec * model.sample_rate), rng)).float()

    rates = []
    for shift in _SHIFTS_SEC:
        padded = {name: torch.cat([draw(seconds + shift), x, draw(seconds)]) for name, x in signals.items()}
        rates.append(score(references, decode(model, padded), {}).wer)
    return float(np.mean(rates))


def measure(exp_dir: Path, checkpoint: str | None, data_dir: Path) -> dict[str, float]:
    """Returns, of one model, word errors in percent by what was added, and words on silence alone by its kind."""
    model = load_model(exp_dir, checkpoint, "cpu")
    data = DecodingSet.open(data_dir)
    data.check_rate(model.sample_rate)
    references = read_text(data_dir / "text")
    signals = {name: data.read(name).float() for name in references}
    figures = {"WER as it is": mean_wer(model, references, signals, zeros, 0.0)}
    for seconds, level in _PADDING:
        for name, silence in kinds(level).items():
            figures[f"WER with {seconds:g} s of {name}"] = mean_wer(model, references, signals, silence, seconds)
    rng = np.random.default_rng(0)
    for level in (None, -60, -45):
        for name, silence in kinds(level).items():
            alone = {
                f"{seconds}-{draw}": torch.from_numpy(silence(int(seconds * model.sample_rate), rng)).float()
                for seconds in _ALONE_SEC
                for draw in range(1 if level is None else _DRAWS)
            }
            figures[f"words in {name}"] = sum(len(text.split()) for text in decode(model, alone).values())
    return figures


def main() -> None:
    """Measures every model and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_dirs", type=Path, nargs="+", required=True)
    parser.add_argument("--asr_model_file", help="file in each of --exp_dirs (default: the best average there)")
    parser.add_argument("--data_dir", type=Path, required=True, help="a set as stages 3-5 write it, with text")
    parser.add_argument("--output", type=Path, required=True, help=".md and .csv are added")
    args = parser.parse_args()
    measured = {exp_dir.name: measure(exp_dir, args.asr_model_file, args.data_dir) for exp_dir in args.exp_dirs}
    rows = [
        [name, *(f"{figures[name]:.2f}" if name.startswith("WER") else str(figures[name]) for figures in columns)]
        for columns in [list(measured.values())]
        for name in columns[0]
    ]
    head = ["percent of words, or words", *measured]
    with atomic(args.output.with_suffix(".csv")) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    text = (
        f"# Silence ({args.data_dir.name})\n\n{layout(Table(head, rows, 1))}\n\n"
        "- WER with silence: the silence is added at both ends of every utterance.\n"
        f"- Each WER is the mean of {len(_SHIFTS_SEC)} begins: "
        f"{', '.join(f'{1000 * sec:g}' for sec in _SHIFTS_SEC)} ms more in front.\n"
        f"- Words in silence: all that is recognised in silence alone, {', '.join(f'{sec:g}' for sec in _ALONE_SEC)} s "
        f"of it; of noise {_DRAWS} draws each, so {_DRAWS * len(_ALONE_SEC)} signals.\n"
        "- Zeros are digital silence; levels of noise are relative to full scale.\n"
    )
    with atomic(args.output.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    run_main(main)
