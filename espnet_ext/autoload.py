"""Extends modules of ESPnet as soon as they are executed: encoders, how its trainer saves, bfloat16 on a CPU.

`espnet_ext.pth` imports this module whenever Python starts in an environment where the package is installed, and so in
every `espnet2.bin.*` command, spawned worker and `Speech2Text.from_pretrained`. ESPnet has no plugin mechanism; its
encoders are a dictionary in `espnet2.tasks.asr`, and `espnet2.train.trainer` calls `torch.save` and `autocast`. An
import hook changes them right after the module was executed. Commands that import none of these modules pay for nothing
but this file, so it imports neither torch nor ESPnet.
"""

import sys

ENCODERS = ("torchaudio_conformer", "frozen_whisper")


def add_encoders(task) -> None:
    """Adds `--encoder torchaudio_conformer` and `frozen_whisper` to the choices of `espnet2.tasks.asr`."""
    from espnet_ext.encoder.frozen_whisper import FrozenWhisperEncoder
    from espnet_ext.encoder.torchaudio_conformer import TorchaudioConformerEncoder

    choices = task.encoder_choices.classes
    choices |= dict(zip(ENCODERS, (TorchaudioConformerEncoder, FrozenWhisperEncoder), strict=True))


def extend_trainer(trainer) -> None:
    """Makes `espnet2.train.trainer` write files that are whole whenever it is killed, and use bfloat16 on a CPU."""
    from espnet_ext import precision

    precision.install(trainer)
    from espnet_ext.checkpoints.saving import install

    install(trainer)


def extend_ctc(module) -> None:
    """Keeps the CTC loss of `espnet2.asr.ctc` in float32 there."""
    from espnet_ext import precision

    precision.install_ctc(module)


def extend_model(module) -> None:
    """Keeps the features of `espnet2.asr.espnet_model` in float32 there, as on a GPU."""
    from espnet_ext import precision

    precision.install(module)


EXTENDED = {
    "espnet2.tasks.asr": add_encoders,
    "espnet2.train.trainer": extend_trainer,
    "espnet2.asr.ctc": extend_ctc,
    "espnet2.asr.espnet_model": extend_model,
}


def _extend(name, module) -> None:
    try:
        EXTENDED[name](module)
    except ImportError as error:  # ESPnet must stay usable
        import warnings

        warnings.warn(f"espnet_ext does not extend {name}: {error}", stacklevel=2)


class ExtendingFinder:
    """Finds the modules of `EXTENDED` as the other finders do, and appends their function to their execution."""

    def find_spec(self, name, path=None, target=None):
        """Implements `importlib.abc.MetaPathFinder.find_spec`, whose base class is slow to import."""
        if name not in EXTENDED:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, ExtendingFinder))
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None:
            exec_module = spec.loader.exec_module

            def exec_and_extend(module):
                exec_module(module)
                _extend(name, module)

            spec.loader.exec_module = exec_and_extend
        return spec


def extend() -> None:
    """Extends at once what of ESPnet has been imported, and the rest as soon as it is."""
    for name in EXTENDED:
        if name in sys.modules:
            _extend(name, sys.modules[name])
    if not any(isinstance(finder, ExtendingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, ExtendingFinder())


extend()
