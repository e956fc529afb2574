"""Makes `--encoder torchaudio_conformer` and `frozen_whisper` known to ESPnet.

`espnet_ext.pth` imports this module whenever Python starts in an environment where the package is installed, and so in
every `espnet2.bin.*` command, spawned worker and `Speech2Text.from_pretrained`. ESPnet has no plugin mechanism; its
choices are a dictionary in `espnet2.tasks.asr`. An import hook adds the class right after the module was executed.
Commands that do not import the module pay for nothing but this file, so it imports neither torch nor ESPnet.
"""

import sys

TASK = "espnet2.tasks.asr"
ENCODERS = ("torchaudio_conformer", "frozen_whisper")


def register(task) -> None:
    """Adds the encoders to the choices of the executed module `espnet2.tasks.asr`."""
    try:
        from espnet_ext.encoder.frozen_whisper import FrozenWhisperEncoder
        from espnet_ext.encoder.torchaudio_conformer import TorchaudioConformerEncoder
    except ImportError as error:  # ESPnet's own encoders must stay usable
        import warnings

        warnings.warn(f"the encoders of espnet_ext are not available: {error}", stacklevel=2)
        return
    choices = task.encoder_choices.classes
    choices |= dict(zip(ENCODERS, (TorchaudioConformerEncoder, FrozenWhisperEncoder), strict=True))


class TaskFinder:
    """Finds `espnet2.tasks.asr` as the other finders do, and appends `register` to its execution."""

    def find_spec(self, name, path=None, target=None):
        """Implements `importlib.abc.MetaPathFinder.find_spec`, whose base class is slow to import."""
        if name != TASK:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, TaskFinder))
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None:
            exec_module = spec.loader.exec_module

            def exec_and_register(module):
                exec_module(module)
                register(module)

            spec.loader.exec_module = exec_and_register
        return spec


def install() -> None:
    """Registers now if ESPnet's task module has been imported, else as soon as it is."""
    if TASK in sys.modules:
        register(sys.modules[TASK])
    elif not any(isinstance(finder, TaskFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, TaskFinder())


install()
