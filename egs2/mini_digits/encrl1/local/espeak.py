"""Speech from espeak-ng through its C API, reproducible to the sample.

The library keeps state between utterances (phase of the pitch flutter, noise generator, parameters of the last voice),
so the same text gives other samples the second time. Every utterance is therefore synthesised in a child process forked
from one that has initialised the library and never spoken: all start from the same memory, in any order and process.
"""

import ctypes
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_ext.errors import UserError

# From speak_lib.h of espeak-ng 1.52.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_OK = 0
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

_EXIT_NO_VOICE, _EXIT_NO_SPEECH = 3, 4  # exit statuses of the child


@dataclass(frozen=True)
class Prosody:
    """How a voice speaks.

    Attributes:
        rate: Words per minute, 80 to 450 (espeak's default is 175).
        pitch: Height of the voice, 0 to 100; 50 is the voice's own.
        pitch_range: Liveliness of the intonation, 0 (monotone) to 100; 50 is the voice's own.
    """

    rate: int = 175
    pitch: int = 50
    pitch_range: int = 50


class Espeak:
    """An initialised espeak-ng.

    Attributes:
        sample_rate: Samples per second of what `speak` returns, 22050.
        version: Version of the library, e.g. `1.52.0`.

    Raises:
        UserError: The Python package `espeakng-loader` is missing, or has no library for this platform.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise UserError(
                "the Python package 'espeakng-loader' (library and voices of espeak-ng) is missing; "
                "run: python3 -m pip install espeakng-loader"
            ) from error
        try:
            self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise UserError(f"espeak-ng cannot be loaded on this platform ({error}); use another corpus") from error
        self._data_dir = Path(espeakng_loader.get_data_path())
        self._lib.espeak_Info.restype = ctypes.c_char_p
        self._lib.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        rate = self._lib.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, str(self._data_dir).encode(), _INITIALIZE_DONT_EXIT
        )
        if rate <= 0:
            raise UserError(f"espeak-ng cannot read its voices in {self._data_dir}; reinstall 'espeakng-loader'")
        self.sample_rate: int = rate
        self.version = self._lib.espeak_Info(None).decode().split()[0]

    def speak(self, text: str, voice: str, prosody: Prosody = Prosody()) -> np.ndarray:
        """Synthesises one utterance. Same arguments, same samples.

        Args:
            text: What to say.
            voice: `language+variant`, e.g. `en-us+f3`.
            prosody: Rate and pitch.

        Returns:
            Mono samples at `sample_rate`, int16, (num_samples,).

        Raises:
            UserError: Unknown voice, or espeak-ng gave no speech.
        """
        variant = voice.partition("+")[2]
        if variant and not (self._data_dir / "voices" / "!v" / variant).is_file():  # espeak would silently ignore it
            raise UserError(
                f"espeak-ng has no variant '{variant}'; see the files in {self._data_dir / 'voices' / '!v'}"
            )
        read_end, write_end = os.pipe()
        with warnings.catch_warnings():
            # Python warns of threads (NumPy's, a pool's); the child runs espeak-ng alone and ends, so no lock matters
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(read_end)
                status = self._speak_into(write_end, text, voice, prosody)
            finally:
                os._exit(status)  # neither buffers nor exit handlers of the parent are the child's business
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            samples = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == _EXIT_NO_VOICE:
            raise UserError(f"espeak-ng has no voice '{voice}'; see the files in {self._data_dir / 'lang'}")
        if status != 0 or not samples:
            raise UserError(f"espeak-ng said nothing for '{text}' with voice '{voice}' (status {status})")
        return np.frombuffer(samples, dtype=np.int16)

    def _speak_into(self, handle: int, text: str, voice: str, prosody: Prosody) -> int:
        """Runs in the child: writes the samples to the file descriptor and returns the exit status."""
        chunks = []

        @_CALLBACK
        def receive(samples: object, count: int, _events: object) -> int:
            if samples and count > 0:
                chunks.append(ctypes.string_at(samples, 2 * count))
            return 0

        lib = self._lib
        lib.espeak_ng_SetRandSeed(1)  # espeak_Initialize seeds it with the time
        lib.espeak_SetSynthCallback(receive)
        if lib.espeak_SetVoiceByName(voice.encode()) != _OK:
            return _EXIT_NO_VOICE
        for parameter, value in ((_RATE, prosody.rate), (_PITCH, prosody.pitch), (_RANGE, prosody.pitch_range)):
            lib.espeak_SetParameter(parameter, value, 0)
        data = text.encode()
        size = ctypes.c_size_t(len(data) + 1)
        if lib.espeak_Synth(data, size, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None) != _OK:
            return _EXIT_NO_SPEECH
        with os.fdopen(handle, "wb") as pipe:
            pipe.writelines(chunks)
        return 0
