"""A small model as a value: opened by its name, it gives the text of recordings.

An ONNX file needs neither PyTorch nor ESPnet.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.data.words import Word
from espnet_ext.decode.audio import array_blocks, read_blocks
from espnet_ext.decode.long_audio import transcribe, window_samples
from espnet_ext.decode.recognizer import Recognizer, open_recognizer
from espnet_ext.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    Blocks = Iterator[tuple[int, np.ndarray]]


@dataclass(frozen=True)
class Transcript:
    """What is said in a recording.

    Attributes:
        words: in their order, each with `text`, and `start` and `end` in seconds from the beginning.
    """

    words: list[Word]

    @property
    def text(self) -> str:
        """The words, with blanks between them."""
        return " ".join(word.text for word in self.words)

    def __str__(self) -> str:
        """Returns the text."""
        return self.text


class Student:
    """A CTC model that transcribes. Any ESPnet model with a CTC output will do; it need not have been made here.

    Args:
        recognizer: the model.
        source: where it is from.

    Attributes:
        source: as above.
        sample_rate: of the audio that it takes, Hz; other audio is resampled.
        tokens: by id.
    """

    def __init__(self, recognizer: Recognizer, source: str):
        self.source = source
        self.sample_rate, self.tokens = recognizer.sample_rate, recognizer.tokens
        self._recognizer = recognizer

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], device: str = "cpu") -> "Student":
        """Opens a model.

        Args:
            source: an .onnx file, an experiment directory, a checkpoint with `config.yaml` beside it, a packed zip, or
                the name of a model on a hub.
            device: `cpu` or `cuda`. An .onnx file runs on the CPU.

        Raises:
            UserError: nothing usable there, a model without CTC output, or a package that it needs is missing.
        """
        return cls(open_recognizer(str(source), device), str(source))

    def __repr__(self) -> str:
        return f"Student.from_pretrained({self.source!r})"

    def transcribe(
        self,
        audio: "str | os.PathLike[str] | np.ndarray",
        rate: int | None = None,
        window_sec: float = 30.0,
        context_sec: float = 3.0,
    ) -> Transcript:
        """Transcribes a recording of any length, in bounded memory. Arguments and errors are those of `words`."""
        return Transcript(list(self.words(audio, rate, window_sec, context_sec)))

    def words(
        self,
        audio: "str | os.PathLike[str] | np.ndarray",
        rate: int | None = None,
        window_sec: float = 30.0,
        context_sec: float = 3.0,
        follow: "Callable[[Blocks], Blocks] | None" = None,
    ) -> Iterator[Word]:
        """Yields the words of a recording, each as soon as nothing that follows can change it.

        Args:
            audio: a file of any format and rate, or samples, (samples,) or (samples, channels). Integers are taken
                as PCM, floats as between -1 and 1.
            rate: of samples, Hz; a file has its own.
            window_sec: audio that the model gets at once, seconds.
            context_sec: of it, on each side, what is context only, seconds.
            follow: passes the blocks of audio on, to show how far it is.

        Raises:
            UserError: a file that cannot be read to its end, samples that are no audio, or windows without a middle.
        """
        if not 0 < 4 * context_sec <= window_sec < math.inf:  # also of nan
            raise UserError("window_sec must be at least four times context_sec, which must be > 0")
        window, overlap = window_samples(self._recognizer, window_sec, context_sec)
        if isinstance(audio, (str, os.PathLike)):
            blocks = read_blocks(Path(audio), self.sample_rate, window, overlap)
        else:
            blocks = array_blocks(audio, rate, self.sample_rate, window, overlap)
        return transcribe(self._recognizer, follow(blocks) if follow else blocks, overlap)
