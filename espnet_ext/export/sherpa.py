"""A folder that sherpa-onnx loads unchanged, on every platform it runs on.

Its slot for Dolphin's CTC models computes librosa's mel filters over 512-sample Hann windows and normalises by a mean
and deviation that it reads from the file: what ESPnet's front end and `global_mvn` do with `n_fft: 512` and
`win_length: 512`. One difference stays: its windows are centred half a hop (5 ms) later than torch's.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.layers.global_mvn import GlobalMVN
from torch import Tensor

from espnet_ext.decode.model import CTCModel
from espnet_ext.errors import UserError
from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.export.frontend import Normalisation
from espnet_ext.export.onnx_file import add_metadata, write_int8, write_onnx
from espnet_ext.files import atomic

# What the slot computes (sherpa-onnx/csrc/offline-recognizer-impl and features.cc).
_NEEDS = {"fs": 16000, "n_fft": 512, "win_length": 512, "hop_length": 160, "n_mels": 80, "fmin": 0.0, "fmax": 8000.0}
_EXAMPLE = '''#!/usr/bin/env python3
"""Transcribes wav files. Needs: pip install sherpa-onnx soundfile"""

import sys
from pathlib import Path

import sherpa_onnx
import soundfile

here = Path(__file__).parent
recognizer = sherpa_onnx.OfflineRecognizer.from_dolphin_ctc(
    model=str(here / "model.int8.onnx"), tokens=str(here / "tokens.txt"), num_threads=1
)
for name in sys.argv[1:]:
    samples, sample_rate = soundfile.read(name, dtype="float32", always_2d=True)
    stream = recognizer.create_stream()
    stream.accept_waveform(sample_rate, samples[:, 0])
    recognizer.decode_stream(stream)
    print(name, stream.result.text.replace("\\u2581", " ").replace("<space>", " ").strip())
'''
_README = """# A CTC model for sherpa-onnx

- `model.onnx` (32-bit), `model.int8.onnx` (8-bit weights), `tokens.txt`
- Python: `python3 run.py file.wav ...`
- Command line, phones and other languages: sherpa-onnx's programs with `--dolphin-model=model.int8.onnx
  --tokens=tokens.txt`, e.g. `sherpa-onnx-offline --tokens=tokens.txt --dolphin-model=model.int8.onnx file.wav`

Sampling rate: 16 kHz (others are resampled by sherpa-onnx). Made by `espnet_ext.bin.export_onnx --sherpa true`.
"""


def check_front_end(model: ESPnetASRModel, sample_rate: int) -> None:
    """Checks that the slot computes this model's features.

    Raises:
        UserError: names the option of the front end that differs, and what it must be.
    """
    stft, mel = model.frontend.stft, model.frontend.logmel
    has = {
        "fs": sample_rate,
        "n_fft": stft.n_fft,
        "win_length": stft.win_length,
        "hop_length": stft.hop_length,
        "n_mels": model.frontend.n_mels,
        "fmin": float(mel.mel_options["fmin"]),
        "fmax": float(mel.mel_options["fmax"]),
    }
    wrong = [f"{key} {has[key]:g}, not {need:g}" for key, need in _NEEDS.items() if has[key] != need]
    if stft.window != "hann" or mel.mel_options["htk"] or mel.log_base is not None or not stft.center:
        wrong.append("window, mel scale, logarithm or centring other than the defaults")
    if not isinstance(model.normalize, GlobalMVN) and model.normalize is not None:
        wrong.append(f"normalize {type(model.normalize).__name__}, not global_mvn")
    if wrong:
        raise UserError(
            f"sherpa-onnx computes other features than this model was trained with (frontend_conf: "
            f"{'; '.join(wrong)}); train with those values, or use model.onnx with ONNX Runtime"
        )


def write_sherpa(model: CTCModel, output_dir: Path) -> None:
    """Writes the folder; files that exist are whole.

    Args:
        model: what is exported.
        output_dir: where `model.onnx`, `model.int8.onnx`, `tokens.txt`, `run.py` and `README.md` go.

    Raises:
        UserError: sherpa-onnx computes other features.
    """
    check_front_end(model.model, model.sample_rate)
    output_dir.mkdir(parents=True, exist_ok=True)
    normalisation = Normalisation(model.model.normalize)
    size = model.model.frontend.output_size()
    mean, scale = torch.zeros(size), torch.ones(size)
    if normalisation.is_global:
        mean, scale = normalisation.mean, normalisation.scale
    metadata = {
        "vocab_size": str(len(model.model.token_list)),
        "mean": _numbers(mean),
        "invstd": _numbers(scale),
        "comment": "ESPnet CTC model in the slot of Dolphin's",
    }
    example = (torch.randn(2, 150, size, generator=torch.Generator().manual_seed(0)), torch.tensor([150, 80]))
    write_onnx(ExportedCTC(model.model, from_waveform=False, normalised=True), example, output_dir / "model.onnx")
    write_int8(output_dir / "model.onnx", output_dir / "model.int8.onnx")
    for name in ("model.onnx", "model.int8.onnx"):
        add_metadata(output_dir / name, metadata)
    texts = {
        "tokens.txt": "".join(f"{token} {i}\n" for i, token in enumerate(model.model.token_list)),
        "run.py": _EXAMPLE,
        "README.md": _README,
    }
    for name, text in texts.items():
        with atomic(output_dir / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def transcribe(folder: Path, file: str, signals: Sequence[Tensor], sample_rate: int) -> list[str]:
    """Returns what sherpa-onnx hears.

    Args:
        folder: of `write_sherpa`.
        file: the model in it.
        signals: (samples,) float each.
        sample_rate: in Hz.
    """
    import sherpa_onnx

    recognizer = sherpa_onnx.OfflineRecognizer.from_dolphin_ctc(
        model=str(folder / file), tokens=str(folder / "tokens.txt"), num_threads=1
    )
    texts = []
    for signal in signals:
        stream = recognizer.create_stream()
        stream.accept_waveform(sample_rate, signal.numpy())
        recognizer.decode_stream(stream)
        texts.append(" ".join(stream.result.text.replace("\u2581", " ").replace("<space>", " ").split()))
    return texts


def _numbers(values: Tensor) -> str:
    return ",".join(f"{value:.9g}" for value in values.tolist())
