"""Whisper as a teacher: its encoder for frames, its decoder for text, in openai-whisper or in CTranslate2.

Whisper hears windows of 30 s, so a shorter utterance is padded to that, as the libraries do; the frames of the padding
are left out. Longer ones are cut.
"""

import hashlib
import math
import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from espnet_ext.checkpoints.tags import is_tag
from espnet_ext.checkpoints.whole import check_whole
from espnet_ext.encoder.layers import layer_depth, layer_index
from espnet_ext.encoder.outputs import Outputs
from espnet_ext.errors import UserError, did_you_mean, first_line
from espnet_ext.files import file_sha256
from espnet_ext.teachers.signals import SignalTeacher
from espnet_ext.teachers.teacher import Identity, Transcript

_RATE_HZ = 16000
_FRAME_SAMPLES = 320
_WINDOW_SAMPLES = 30 * _RATE_HZ
_CONFIGS = ("config.json", "preprocessor_config.json")  # of CTranslate2
# Deterministic: no second try with sampled tokens, and no window is told what was understood of the one before.
_DECODING = {"temperature": 0.0, "condition_on_previous_text": False}


class _Whisper(SignalTeacher):
    """What both libraries share.

    Args:
        name: for error messages.
        language: that the decoder is told; None: it finds out itself.
        beam: hypotheses of the decoder.
    """

    sample_rate_hz = _RATE_HZ
    window = _WINDOW_SAMPLES
    can_pad = ignores_padding = True  # everything is padded to the window

    def __init__(self, name: str, language: str | None, beam: int):
        self.name, self.language, self.beam = name, language, beam

    @property
    def frame_samples(self) -> int:
        """See `Teacher.frame_samples`."""
        return _FRAME_SAMPLES

    def count_frames(self, samples: int) -> int:
        """See `Teacher.count_frames`."""
        return math.ceil(samples / _FRAME_SAMPLES)

    def forward(self, signals: Sequence[Tensor], names: Sequence[str]) -> Outputs:
        """See `SignalTeacher.forward`."""
        encoder, layers = self.encode(signals, [name for name in names if name.startswith("layer:")])
        lengths = torch.tensor([self.count_frames(len(signal)) for signal in signals], device=encoder.device)
        return Outputs(lengths, encoder, None, layers)

    @abstractmethod
    def encode(self, signals: Sequence[Tensor], names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the encoder's output and the layers of some windows, (B, 1500, D) float each."""

    @abstractmethod
    def decode(self, signal: np.ndarray) -> tuple[str, list[tuple[float, int]]]:
        """Returns the text of an utterance; and of its segments the mean log-probability and the number of tokens."""

    @property
    def makes_text(self) -> bool:
        """See `Teacher.makes_text`."""
        return True

    def transcribe(
        self, signals: Sequence[Tensor], sample_rate_hz: int | None = None, utt_ids: Sequence[str] | None = None
    ) -> list[Transcript]:
        """See `Teacher.transcribe`; by the library's decoder."""
        found = []
        for signal in signals:
            self.to(signal.device)
            own, _ = self._at_own_rate(signal[None], torch.tensor([len(signal)], device=signal.device), sample_rate_hz)
            text, segments = self.decode(own[0].float().cpu().numpy())
            total = sum(tokens for _, tokens in segments)
            mean = sum(score * tokens for score, tokens in segments) / total if total else None
            found.append(Transcript(text.strip(), None if mean is None else math.exp(mean)))
        return found


class OpenAIWhisperTeacher(_Whisper):
    """openai-whisper.

    Args:
        model: a `whisper.Whisper`.
        name: see `_Whisper`, as the others.
        language: as there.
        beam: as there.
    """

    def __init__(self, model: Any, name: str, language: str | None, beam: int):
        super().__init__(name, language, beam)
        self.model = model.requires_grad_(False).eval()
        self.width, self.num_layers = model.dims.n_audio_state, model.dims.n_audio_layer

    def encode(self, signals: Sequence[Tensor], names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """See `_Whisper.encode`."""
        import whisper

        # One by one: the library measures the dynamic range over all that it is given.
        mels = [
            whisper.log_mel_spectrogram(whisper.pad_or_trim(signal.float()), self.model.dims.n_mels)
            for signal in signals
        ]
        tapped: dict[str, Tensor] = {}
        blocks = self.model.encoder.blocks
        handles = [
            blocks[layer_index(layer_depth(name), len(blocks))].register_forward_hook(
                lambda _module, _inputs, output, name=name: tapped.update({name: output})
            )
            for name in names
        ]
        try:
            return self.model.encoder(torch.stack(mels)), tapped
        finally:
            for handle in handles:
                handle.remove()

    def decode(self, signal: np.ndarray) -> tuple[str, list[tuple[float, int]]]:
        """See `_Whisper.decode`."""
        found = self.model.transcribe(
            signal, language=self.language, beam_size=self.beam, fp16=self.device.type == "cuda", **_DECODING
        )
        return found["text"], [(segment["avg_logprob"], len(segment["tokens"])) for segment in found["segments"]]


class CTranslate2WhisperTeacher(_Whisper):
    """CTranslate2, through faster-whisper; it shows no hidden layers.

    Args:
        directory: of the converted model.
        name: see `_Whisper`, as the others.
        language: as there.
        beam: as there.
    """

    def __init__(self, directory: Path, name: str, language: str | None, beam: int):
        super().__init__(name, language, beam)
        self.directory = directory
        self._open()
        with torch.inference_mode():
            self.width = self.encode([torch.zeros(_RATE_HZ)], [])[0].size(-1)

    def to(self, device: torch.device | str) -> None:
        """See `Teacher.to`; CTranslate2 reads the files anew."""
        device = torch.device(device)
        if device != self.device:
            self.device = device
            self._open()

    def _open(self) -> None:
        from faster_whisper import WhisperModel

        number = {} if self.device.index is None else {"device_index": self.device.index}
        threads = torch.get_num_threads()
        self.model = WhisperModel(str(self.directory), device=self.device.type, cpu_threads=threads, **number)

    def encode(self, signals: Sequence[Tensor], names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """See `_Whisper.encode`.

        Raises:
            UserError: layers are asked for.
        """
        import ctranslate2
        from faster_whisper.audio import pad_or_trim

        if names:
            raise UserError(
                f"teacher {self.name}: CTranslate2 shows no hidden layers ({', '.join(names)}); compare with "
                "'encoder', or give a file of openai-whisper"
            )
        mels = [pad_or_trim(self.model.feature_extractor(signal.float().cpu().numpy())) for signal in signals]
        encoded = self.model.encode(np.stack(mels))
        values = np.array(encoded.to_device(ctranslate2.Device.cpu).to(ctranslate2.DataType.float32))
        return torch.from_numpy(values).to(self.device), {}

    def decode(self, signal: np.ndarray) -> tuple[str, list[tuple[float, int]]]:
        """See `_Whisper.decode`."""
        segments, _ = self.model.transcribe(signal, language=self.language, beam_size=self.beam, **_DECODING)
        segments = list(segments)
        return "".join(segment.text for segment in segments), [(s.avg_logprob, len(s.tokens)) for s in segments]


def _find(location: str, name: str) -> Path:
    """Returns the file of openai-whisper or the directory of CTranslate2, downloaded where a size or tag is given.

    Raises:
        UserError: no such model.
    """
    path = Path(location)
    if path.is_file():
        return path
    if path.is_dir():
        if not (path / "model.bin").is_file():
            remedy = f"give transformers:{location}" if (path / "config.json").is_file() else "give one that has"
            raise UserError(f"teacher {name}: {path} has no model.bin of CTranslate2; {remedy}")
        return path
    import faster_whisper
    import whisper

    try:
        if location in whisper.available_models():
            # `load_model` would do the same, but does not tell where the file is.
            cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "whisper")
            return Path(whisper._download(whisper._MODELS[location], str(cache), False))
        if location in faster_whisper.available_models() or is_tag(location):
            return Path(faster_whisper.download_model(location))
    except Exception as error:  # network, authorisation, unknown tag: the libraries let all through
        raise UserError(f"teacher {name} cannot be downloaded: {first_line(error)}; give a local path") from error
    raise UserError(
        f"teacher {name}: {location} is no file, directory, user/name of the Hugging Face Hub or size; "
        f"{did_you_mean(location, whisper.available_models())}"
    )


class WhisperTeacher:
    """Finds out which library reads what `whisper:` names."""

    @staticmethod
    def load(location: str, name: str, language: str | None = None, beam: str = "5") -> _Whisper:
        """Loads a model.

        Args:
            location: size, file of openai-whisper, directory of CTranslate2, or `user/name` of one on the Hub.
            name: for error messages.
            language: that the decoder is told; None: it finds out itself.
            beam: hypotheses of the decoder.

        Raises:
            UserError: no such model, or it cannot be read.
        """
        if not beam.isdigit() or int(beam) < 1:
            raise UserError(f"teacher {name}: beam takes a number of at least 1, not '{beam}'")
        path = _find(location, name)
        check_whole(path / "model.bin" if path.is_dir() else path, "weights")  # torch.load compares no sums
        if path.is_dir():
            return CTranslate2WhisperTeacher(path, name, language, int(beam))
        import whisper

        try:
            model = whisper.load_model(str(path), device="cpu")
        except Exception as error:  # whatever the unpickler meets in a foreign file
            raise UserError(f"teacher {name}: {path} is no model of openai-whisper: {first_line(error)}") from error
        return OpenAIWhisperTeacher(model, name, language, int(beam))

    @classmethod
    def read_tokens(cls, location: str, **options: str) -> None:
        """See `Teacher.read_tokens`; there is no CTC output."""

    @staticmethod
    def identify(location: str, language: str | None = None, beam: str = "5") -> Identity:
        """Returns the hashes of a model, which is not loaded; the options change no frame."""
        path = _find(location, f"whisper:{location}")
        if path.is_file():
            return Identity(file_sha256(path), hashlib.sha256(b"openai-whisper").hexdigest())
        said = [f"{name}:{file_sha256(path / name)}" for name in _CONFIGS if (path / name).is_file()]
        return Identity(file_sha256(path / "model.bin"), hashlib.sha256("\n".join(said).encode()).hexdigest())
