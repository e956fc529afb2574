"""How fast and how large a decoded model is, from the files that stages 12 and 14 left."""

import re
from collections.abc import Iterable
from pathlib import Path


def real_time_factor(decode_dir: Path, test_sets: Iterable[str]) -> float | None:
    """Returns seconds of decoding for a second of audio over all sets, None where ESPnet's log of it is not there."""
    audio_sec = decoding_sec = 0.0
    for name in test_sets:
        log = decode_dir / name / "logdir" / "calculate_rtf.log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        numbers = re.findall(r"^Total (?:audio duration|decoding time): ([\d.]+) \[sec\]$", text, re.MULTILINE)
        if len(numbers) == 2:
            audio_sec, decoding_sec = audio_sec + float(numbers[0]), decoding_sec + float(numbers[1])
    return decoding_sec / audio_sec if audio_sec else None


def exported_bytes(exp_dir: Path) -> int | None:
    """Returns the size of the exported 8-bit file, None where there is none."""
    file = exp_dir / "onnx" / "model.int8.onnx"
    return file.stat().st_size if file.is_file() else None
