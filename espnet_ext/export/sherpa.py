"""A folder that sherpa-onnx loads unchanged, on every platform it runs on.

Its slots for models with log-mel features all compute other features than ESPnet's front end: with pre-emphasis, a
higher floor of the logarithm, or other filters. Its slot for Omnilingual ASR's CTC models takes the waveform, so the
front end is in the file and computes what ESPnet does. Before, that slot shifts and scales the waveform of each
utterance to mean 0 and variance 1 (sherpa-onnx/csrc/offline-omnilingual-asr-ctc-model.cc):

- A model with `utterance_mvn` does not notice (but for the smallest of offsets: its mean removes the scale).
- A model with `global_mvn` gets every utterance at the same level, the mean level of the comparison's audio. What that
  costs is measured through sherpa-onnx when the folder is written.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from espnet_ext.decode.model import CTCModel
from espnet_ext.errors import UserError
from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.export.onnx_file import add_metadata, write_int8, write_onnx
from espnet_ext.export.sherpa_files import COMMAND, EXAMPLE, GRAPH, README, WITH_GRAPH
from espnet_ext.files import atomic

_SLOT_SAMPLE_RATE = 16000
_SLOT_FRAME_SEC = 0.02  # what the slot takes a frame of the output to be, for times


class LevelledCTC(nn.Module):
    """A model that takes waveforms of mean 0 and variance 1, as the slot gives them, one at a time.

    Args:
        model: from the waveform.
        level: root mean square that the model is given.
        blank_id: token that audio without a frame has: the slot asks for no length.
    """

    def __init__(self, model: ExportedCTC, level: float, blank_id: int):
        super().__init__()
        self.model, self.level = model, level
        blank = torch.full((model.head.out_features,), -1e4)
        blank[blank_id] = 0.0
        self.register_buffer("blank", blank)

    def forward(self, speech: Tensor) -> Tensor:
        """Returns (1, T', V) log-probabilities of (1, samples) float audio."""
        lengths = torch.tensor([1]) * speech.size(1)
        log_probs, frames = self.model(speech * self.level, lengths)
        return torch.where(frames[:, None, None] > 0, log_probs, self.blank)


def check_sherpa(model: CTCModel) -> None:
    """Checks what the slot takes as given.

    Raises:
        UserError: another sampling rate.
    """
    if model.sample_rate != _SLOT_SAMPLE_RATE:
        raise UserError(
            f"sherpa-onnx gives its models audio of {_SLOT_SAMPLE_RATE} Hz, this one was trained with "
            f"{model.sample_rate} Hz; use model.onnx with ONNX Runtime (--sherpa false, in run.sh --export_args "
            '"--sherpa false")'
        )


def mean_level(signals: Sequence[Tensor]) -> float:
    """Returns the mean of the root mean square of signals, in decibels, as a factor; digital silence is left out."""
    levels = torch.stack([signal.double().std(correction=0) for signal in signals])
    levels = levels[levels > 0]
    return float(levels.log().mean().exp()) if len(levels) else 1.0


def write_sherpa(
    model: CTCModel,
    level: float,
    frame_samples: int,
    output_dir: Path,
    with_graph: bool = False,
) -> None:
    """Writes the folder; files that exist are whole.

    Args:
        model: what is exported.
        level: see `LevelledCTC`.
        frame_samples: samples from one output frame to the next.
        output_dir: where `model.onnx`, `model.int8.onnx`, `tokens.txt`, `run.py` and `README.md` go.
        with_graph: a decoding graph (`espnet_ext.export.graph`) comes beside them.

    Raises:
        UserError: the model has parts that cannot be exported.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    exported = LevelledCTC(ExportedCTC(model.model), level, model.model.blank_id).eval()
    example = torch.randn(1, 2 * model.sample_rate, generator=torch.Generator().manual_seed(0))
    write_onnx(exported, (example,), output_dir / "model.onnx")
    write_int8(output_dir / "model.onnx", output_dir / "model.int8.onnx")
    for name in ("model.onnx", "model.int8.onnx"):
        add_metadata(output_dir / name, {"model_type": "espnet_ctc", "input": "normalised waveform", "level": level})
    frame_sec = frame_samples / model.sample_rate
    readme = README.format(
        command=COMMAND,
        sample_rate=model.sample_rate,
        slot_ms=1000 * _SLOT_FRAME_SEC,
        frame_ms=1000 * frame_sec,
        factor=frame_sec / _SLOT_FRAME_SEC,
        min_ms=1000 * exported.model.shortest / model.sample_rate,
        graph=WITH_GRAPH if with_graph else "",
    )
    # sherpa-onnx makes a blank of sentencepiece's sign only.
    tokens = ["\u2581" if token == "<space>" else token for token in model.model.token_list]
    if model.token_type == "word":
        tokens = [token if token.startswith("<") else f"\u2581{token}" for token in tokens]
    texts = {
        "tokens.txt": "".join(f"{token} {i}\n" for i, token in enumerate(tokens)),
        "run.py": EXAMPLE,
        "README.md": readme,
    }
    for name, text in texts.items():
        with atomic(output_dir / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def transcribe(
    folder: Path, file: str, signals: Sequence[Tensor], sample_rate: int, threads: int = 1, graph: bool = False
) -> list[str]:
    """Returns the texts of sherpa-onnx.

    Args:
        folder: of `write_sherpa`.
        file: the model in it.
        signals: (samples,) float each.
        sample_rate: in Hz.
        threads: of the processor.
        graph: search the folder's decoding graph instead of taking the best token of each frame.
    """
    import sherpa_onnx

    recognizer = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
        model=str(folder / file), tokens=str(folder / "tokens.txt"), num_threads=threads
    )
    if graph:  # this constructor of sherpa-onnx takes none
        recognizer.config.ctc_fst_decoder_config = sherpa_onnx.OfflineCtcFstDecoderConfig(str(folder / GRAPH), 3000)
        recognizer.recognizer = type(recognizer.recognizer)(recognizer.config)
    texts = []
    for signal in signals:
        stream = recognizer.create_stream()
        stream.accept_waveform(sample_rate, signal.numpy())
        recognizer.decode_stream(stream)
        texts.append(" ".join(stream.result.text.split()))
    return texts
