"""Writes the embedded corpus of digits as talks in the layout of TED-LIUM 3, for egs2/mini_tedlium3.

A speaker's utterances follow each other in `<split>/sph/<talk>.sph` (NIST SPHERE, 16-bit PCM); `<split>/stm/<talk>.stm`
says from when to when each of them lasts. `espnet_ext/data/tedlium.py` describes and checks the layout.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile

from espnet_ext.directories import make_beside, move_into_place
from espnet_ext.errors import UserError, run_main
from split import MANIFEST, SAMPLE_RATE, read_manifest

SETS = {"train": "train", "valid": "dev", "test": "test"}  # split of the digits -> set of TED-LIUM
DISTRIBUTION = "legacy"
_INTRO_SEC = 1.0  # of every talk, to be ignored
_INTRO_RMS = 300.0


def write_talk(split_dir: Path, talk: str, label: str, segments: list[tuple[str | None, np.ndarray]]) -> None:
    """Writes the recording and the transcript of one talk.

    Args:
        split_dir: Gets sph/ and stm/.
        talk: Name of the talk.
        label: Sixth column of its lines, e.g. `<o,f0,male>`.
        segments: One after the other: words, or None for what scoring ignores, and samples at 16 kHz, int16,
            (num_samples,).
    """
    lines, num_samples = [], 0
    for words, samples in segments:
        times = f"{num_samples / SAMPLE_RATE:.2f} {(num_samples + len(samples)) / SAMPLE_RATE:.2f}"
        lines.append(
            f"{talk} 1 inter_segment_gap {times} <o,,> ignore_time_segment_in_scoring\n"
            if words is None
            else f"{talk} 1 {talk} {times} {label} {words}\n"
        )
        num_samples += len(samples)
    for kind in ("sph", "stm"):
        (split_dir / kind).mkdir(parents=True, exist_ok=True)
    (split_dir / "stm" / f"{talk}.stm").write_text("".join(lines), encoding="utf-8")
    audio = np.concatenate([samples for _, samples in segments])
    soundfile.write(split_dir / "sph" / f"{talk}.sph", audio, SAMPLE_RATE, format="NIST", subtype="PCM_16")


def make_tedlium(digits: Path, root: Path) -> bool:
    """Makes `<root>/legacy/{train,dev,test}` from the corpus of digits; it appears when it is complete.

    Args:
        digits: What `make_digits.py` wrote.
        root: The directory TEDLIUM_release-3.

    Returns:
        False if it was there already, made from the same digits.

    Raises:
        UserError: `digits` is not complete, or `root` holds something else.
    """
    missing = [split for split in SETS if not (digits / split).is_dir()]
    if missing:
        raise UserError(f"{digits} lacks {' '.join(missing)}; make it by make_digits.py")
    made_from = {split: read_manifest(digits / split)["made_from"] for split in SETS}
    target = root / DISTRIBUTION
    if target.exists():
        try:
            if json.loads((target / MANIFEST).read_text(encoding="utf-8")) == made_from:
                return False
        except (OSError, ValueError) as error:
            raise UserError(
                f"{target} exists, but its {MANIFEST} is missing or unreadable, so it is not replaced; "
                f"move it away, or choose another --out_dir"
            ) from error
    temporary = make_beside(target)
    for split, name in SETS.items():
        for speaker_dir in sorted(path for path in (digits / split).iterdir() if path.is_dir()):
            _write_speaker(temporary / name, speaker_dir)
    (temporary / MANIFEST).write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")
    move_into_place(temporary, target)
    return True


def _write_speaker(split_dir: Path, speaker_dir: Path) -> None:
    """Writes all that a speaker says as one talk, after a second of noise."""
    noise = np.random.default_rng(0).normal(0, _INTRO_RMS, int(_INTRO_SEC * SAMPLE_RATE)).astype(np.int16)
    segments: list[tuple[str | None, np.ndarray]] = [(None, noise)]
    transcripts = (speaker_dir / f"{speaker_dir.name}.trans.txt").read_text(encoding="utf-8")
    for line in transcripts.removesuffix("\n").split("\n"):
        utterance, words = line.split(maxsplit=1)
        samples, _ = soundfile.read(speaker_dir / f"{utterance}.flac", dtype="int16")
        segments.append((words.lower(), samples))
    write_talk(split_dir, f"{speaker_dir.name}_2026", "<o,f0,unknown>", segments)


def main(cmd: list[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description="Make <out_dir>/legacy/{train,dev,test}/{sph,stm} from what make_digits.py wrote. What is complete "
        "and made from the same digits is kept.",
    )
    parser.add_argument("--digits", type=Path, required=True, help="directory of the corpus of digits")
    parser.add_argument("--out_dir", type=Path, required=True, help="directory TEDLIUM_release-3")
    args = parser.parse_args(cmd)
    made = make_tedlium(args.digits, args.out_dir)
    print(f"{args.out_dir}: {'made' if made else 'already made, kept'}", flush=True)


if __name__ == "__main__":
    run_main(main)
