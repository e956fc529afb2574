"""OWSM-CTC and POWSM-CTC as teachers: ESPnet's task s2t_ctc, whose encoder is told a language and a task."""

from argparse import Namespace
from collections.abc import Iterable, Sequence

import torch
from espnet2.s2t.espnet_ctc_model import ESPnetS2TCTCModel
from espnet2.tasks.s2t_ctc import S2TTask
from torch import Tensor

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.config import read_config
from espnet_ext.data.words import join_tokens
from espnet_ext.encoder.layers import encoder_layers, tap_layers
from espnet_ext.encoder.outputs import HEAD_OUTPUTS, Outputs
from espnet_ext.errors import UserError
from espnet_ext.teachers.espnet import espnet_bpe_model, espnet_tokens, identify_espnet, load_espnet, sample_rate_hz
from espnet_ext.teachers.signals import SignalTeacher
from espnet_ext.teachers.teacher import Identity
from espnet_ext.teachers.tokens import BLANK, Tokens

# What models of both kinds call a language that they are to find out, and what they can be asked for.
_LANGUAGES = ("<nolang>", "<unk>")
_TASKS = ("<asr>", "<pr>")


class OwsmCtcTeacher(SignalTeacher):
    """Runs an `ESPnetS2TCTCModel`, without text before the utterance.

    Args:
        model: the model.
        args: its training configuration.
        name: for error messages.
        language: with or without angle brackets, e.g. `eng`; None: one of `_LANGUAGES`.
        task: e.g. `asr`; None: one of `_TASKS`.

    Raises:
        UserError: the model has no such language or task.
    """

    def __init__(self, model: ESPnetS2TCTCModel, args: Namespace, name: str, language: str | None, task: str | None):
        self.model, self.name = model.requires_grad_(False).eval(), name
        self.token_type = args.token_type
        self.sample_rate_hz = sample_rate_hz(args)
        self.hop_length = getattr(model.frontend, "hop_length", None)
        said = {"token_list": list(model.token_list), "token_type": args.token_type}
        self.tokens = espnet_tokens(said, model.token_list[model.blank_id], _no_text)
        self.head_module = model.ctc.ctc_lo
        self.width, self.num_layers = model.encoder.output_size(), len(encoder_layers(model.encoder))
        asked = [self._token("language", language, _LANGUAGES), self._token("task", task, _TASKS)]
        self.prefix = torch.tensor([asked])  # (1, 2)

    def _token(self, option: str, given: str | None, defaults: Sequence[str]) -> int:
        """Returns the position of a language or task token."""
        words = defaults if given is None else (f"<{given.strip('<>')}>",)
        found = next((word for word in words if word in self.tokens.symbols), None)
        if found is None:
            raise UserError(
                f"teacher {self.name}: its tokens hold no {' and no '.join(words)}; name one that they hold: "
                f"owsm_ctc:...,{option}=NAME"
            )
        return self.tokens.symbols.index(found)

    @classmethod
    def load(cls, location: str, name: str, language: str | None = None, task: str | None = None) -> "OwsmCtcTeacher":
        """Loads a model.

        Args:
            location: experiment directory, checkpoint, packed zip or model-zoo tag.
            name: for error messages.
            language: see the class.
            task: see the class.

        Raises:
            UserError: no such model, or one of another task.
        """
        model, args = load_espnet(S2TTask, location, name)
        if not isinstance(model, ESPnetS2TCTCModel):
            raise UserError(f"teacher {name}: {type(model).__name__} is no model of ESPnet's task s2t_ctc")
        return cls(model, args, name, language, task)

    @staticmethod
    def identify(location: str, language: str | None = None, task: str | None = None) -> Identity:
        """Returns the hashes of the checkpoint, and of the configuration together with language and task."""
        return identify_espnet(location, f"language={language}", f"task={task}")

    @staticmethod
    def read_tokens(location: str, language: str | None = None, task: str | None = None) -> Tokens | None:
        """See `Teacher.read_tokens`."""
        file, _ = find_model_files(location)
        said = read_config(file)
        return espnet_tokens(said, (said.get("model_conf") or {}).get("sym_blank", BLANK), _no_text)

    @staticmethod
    def bpe_model(location: str, language: str | None = None, task: str | None = None) -> bytes:
        """See `Teacher.bpe_model`."""
        return espnet_bpe_model(location)

    def forward(self, signals: Sequence[Tensor], names: Sequence[str]) -> Outputs:
        """See `SignalTeacher.forward`."""
        speech = torch.stack([signal.float() for signal in signals])
        lengths = torch.full((len(signals),), speech.size(1), device=speech.device)
        prefix = self.prefix.to(speech.device).expand(len(signals), -1)
        before = torch.full((len(signals), 1), self.model.na, device=speech.device)  # text before the utterance: none
        with tap_layers(self.model.encoder, names) as layers:
            encoder, frames = self.model.encode(
                speech, lengths, before, before.new_ones(len(signals)), prefix, before.new_full((len(signals),), 2)
            )
        encoder = self.model.frames(encoder[0] if isinstance(encoder, tuple) else encoder, prefix)
        layers = {name: self.model.frames(value, prefix) for name, value in layers.items()}
        logits = self.head(encoder) if set(names).intersection(HEAD_OUTPUTS) else None
        return Outputs(frames - prefix.size(1), encoder, logits, layers)

    def text(self, token_ids: Iterable[int]) -> str:
        """See `Teacher.text`; without symbols of languages, tasks and times."""
        tokens = [self.tokens.symbols[token] for token in token_ids]
        spoken = [token for token in tokens if not _no_text(token)]
        return join_tokens(spoken, self.token_type)


def _no_text(symbol: str) -> bool:
    """Whether a symbol stands for a language, task, time or the like; bytes of characters are text."""
    return symbol.startswith("<") and symbol.endswith(">") and not symbol.startswith("<0x")
