"""Anything that turns audio into CTC log-probabilities: an ESPnet model or an ONNX file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from espnet_ext.decode.greedy import MIN_SAMPLES, ctc_output
from espnet_ext.decode.model import CTCModel, load_model
from espnet_ext.errors import UserError, require
from espnet_ext.frame_rate import samples_per_frame


class Recognizer(Protocol):
    """What transcription needs of a model.

    Attributes:
        sample_rate: of the audio, Hz.
        frame_samples: samples from one output frame to the next.
        tokens: by id.
    """

    sample_rate: int
    frame_samples: int
    tokens: list[str]

    def __call__(self, speech: Tensor) -> Tensor:
        """Returns log-probabilities, (T, V), of (samples,) float audio; T is 0 for audio that is too short."""


class EspnetRecognizer:
    """A model that ESPnet loads.

    Args:
        model: the model.
        device: where it is, `cpu` or `cuda`.
    """

    def __init__(self, model: CTCModel, device: str):
        self._model, self._device = model, device
        self.sample_rate, self.tokens = self._model.sample_rate, list(self._model.model.token_list)
        self.frame_samples = samples_per_frame(
            _counter(self), self.sample_rate, getattr(self._model.model.frontend, "hop_length", None)
        )

    def __call__(self, speech: Tensor) -> Tensor:
        """See `Recognizer`."""
        length = torch.tensor([len(speech)], device=self._device)
        output = ctc_output(self._model.model, speech[None].to(self._device), length)
        if output is None:
            return torch.zeros(0, len(self.tokens))
        log_probs, frames = output
        return log_probs[0, : int(frames)].cpu()


class OnnxRecognizer:
    """A file that `espnet_ext.bin.export_onnx` wrote.

    Args:
        path: `model.onnx`, `model.fp16.onnx` or `model.int8.onnx`.

    Raises:
        UserError: no such file, it lacks what such files say of themselves, or takes features.
    """

    def __init__(self, path: Path):
        require("onnxruntime", extra="export")
        from espnet_ext.export.runtime import OnnxCTC

        self._runtime = OnnxCTC(path)
        metadata = self._runtime.session.get_modelmeta().custom_metadata_map
        if metadata.get("model_type") != "espnet_ctc" or metadata.get("input") != "waveform":
            raise UserError(f"{path} is no waveform model of espnet_ext.bin.export_onnx; give its model.onnx")
        self.sample_rate, self.tokens = int(metadata["sample_rate"]), json.loads(metadata["tokens"])
        self._min_samples = int(metadata.get("min_samples", MIN_SAMPLES))
        self.frame_samples = samples_per_frame(_counter(self), self.sample_rate, int(metadata["hop_length"]))

    def __call__(self, speech: Tensor) -> Tensor:
        """See `Recognizer`."""
        if len(speech) < self._min_samples:
            return torch.zeros(0, len(self.tokens))
        log_probs, frames = self._runtime(speech[None], torch.tensor([len(speech)]))
        return log_probs[0, : int(frames[0])]


def open_recognizer(source: str, device: str = "cpu") -> Recognizer:
    """Opens an ONNX file by its suffix, anything else through ESPnet.

    Raises:
        UserError: nothing usable there, or an ONNX file for a GPU.
    """
    if source.endswith(".onnx") and device != "cpu":
        raise UserError(f"{source} runs on the CPU; leave out --ngpu, or give the experiment directory")
    if source.endswith(".onnx"):
        return OnnxRecognizer(Path(source))
    return EspnetRecognizer(load_model(source, None, device), device)


def _counter(recognizer: Recognizer) -> Callable[[int], int]:
    return lambda samples: len(recognizer(torch.zeros(samples)))
