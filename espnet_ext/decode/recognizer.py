"""Anything that turns audio into CTC log-probabilities: an ESPnet model or an ONNX file.

PyTorch and ESPnet are imported only for models of theirs: a device has neither.
"""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from espnet_ext.constants import MIN_SAMPLES
from espnet_ext.decode.words import check_token_type, guess_token_type
from espnet_ext.encoder.frame_rate import samples_per_frame
from espnet_ext.errors import UserError, require
from espnet_ext.quiet import quiet_espnet

if TYPE_CHECKING:
    from espnet_ext.decode.model import CTCModel


class Recognizer(Protocol):
    """What transcription needs of a model.

    Attributes:
        sample_rate: of the audio, Hz.
        frame_samples: samples from one output frame to the next.
        tokens: by id.
        token_type: how they are joined, see `espnet_ext.decode.words.TOKEN_TYPES`.
    """

    sample_rate: int
    frame_samples: int
    tokens: list[str]
    token_type: str

    def __call__(self, speech: np.ndarray) -> np.ndarray:
        """Returns (T, V) log-probabilities of (samples,) float32 audio; T is 0 for audio that is too short."""


class EspnetRecognizer:
    """A model that ESPnet loads.

    Args:
        model: the model.
        device: where it is, `cpu` or `cuda`.
    """

    def __init__(self, model: "CTCModel", device: str):
        self._model, self._device = model, device
        self.sample_rate, self.tokens = self._model.sample_rate, list(self._model.model.token_list)
        self.token_type = model.token_type
        self.frame_samples = samples_per_frame(
            _counter(self), self.sample_rate, getattr(self._model.model.frontend, "hop_length", None)
        )

    def __call__(self, speech: np.ndarray) -> np.ndarray:
        """See `Recognizer`."""
        import torch

        from espnet_ext.decode.greedy import ctc_output

        length = torch.tensor([len(speech)], device=self._device)
        output = ctc_output(self._model.model, torch.as_tensor(speech)[None].to(self._device), length)
        if output is None:
            return np.zeros((0, len(self.tokens)), np.float32)
        log_probs, frames = output
        return log_probs[0, : int(frames)].cpu().numpy()


class OnnxRecognizer:
    """A file that `encrl export` wrote.

    Args:
        path: `model.onnx` or `model.int8.onnx`.

    Raises:
        UserError: no such file, it lacks what such files say of themselves, or takes features.
    """

    def __init__(self, path: Path):
        require("onnxruntime", extra="device")
        from espnet_ext.decode.runtime import OnnxSession

        self._session = OnnxSession(path)
        metadata = self._session.metadata
        if metadata.get("model_type") != "espnet_ctc" or metadata.get("input") != "waveform":
            raise UserError(f"{path} is no waveform model of encrl export; give its model.onnx")
        self.sample_rate, self.tokens = int(metadata["sample_rate"]), json.loads(metadata["tokens"])
        self.token_type = metadata.get("token_type") or guess_token_type(self.tokens)
        self._min_samples = int(metadata.get("min_samples", MIN_SAMPLES))
        if "frame_samples" in metadata:
            self.frame_samples = int(metadata["frame_samples"])
        else:
            self.frame_samples = samples_per_frame(_counter(self), self.sample_rate, int(metadata["hop_length"]))

    def __call__(self, speech: np.ndarray) -> np.ndarray:
        """See `Recognizer`."""
        if len(speech) < self._min_samples:
            return np.zeros((0, len(self.tokens)), np.float32)
        log_probs, frames = self._session(np.asarray(speech)[None], np.array([len(speech)], np.int64))
        return log_probs[0, : int(frames[0])]


def open_recognizer(source: str, device: str = "cpu") -> Recognizer:
    """Opens an ONNX file by its suffix, anything else through ESPnet.

    Raises:
        UserError: nothing usable there, an ONNX file for a GPU, or a model of ESPnet where ESPnet is not installed.
    """
    if source.endswith(".onnx"):
        if device != "cpu":
            raise UserError(f"{source} runs on the CPU; leave out --ngpu, or give the experiment directory")
        recognizer: Recognizer = OnnxRecognizer(Path(source))
    else:
        missing = [module for module in ("torch", "espnet2") if find_spec(module) is None]
        if missing:
            raise UserError(
                f"{source} is no .onnx file, and a model of ESPnet needs {' and '.join(missing)}, not installed here; "
                "export the model with encrl export where they are, and give its model.onnx"
            )
        with quiet_espnet():
            from espnet_ext.decode.model import load_model

        recognizer = EspnetRecognizer(load_model(source, None, device), device)
    check_token_type(recognizer.token_type)
    return recognizer


def _counter(recognizer: Recognizer) -> Callable[[int], int]:
    return lambda samples: len(recognizer(np.zeros(samples, np.float32)))
