"""Teachers of ESPnet's ASR task, as `asr.sh` trains them."""

import hashlib
import json
import logging
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import humanfriendly
import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from espnet2.tasks.abs_task import AbsTask
from espnet2.tasks.asr import ASRTask
from espnet2.text.build_tokenizer import build_tokenizer
from torch import Tensor

from espnet_ext.checkpoints.find import find_model_files, read_state_dict
from espnet_ext.checkpoints.load import why_not_loaded
from espnet_ext.config import MODEL_KEYS, read_config, recipe_directory
from espnet_ext.constants import MIN_SAMPLES
from espnet_ext.data.words import TOKEN_TYPES, join_tokens
from espnet_ext.encoder.layers import encoder_layers
from espnet_ext.encoder.outputs import Outputs, compute_outputs
from espnet_ext.errors import UserError
from espnet_ext.files import file_sha256
from espnet_ext.quiet import quiet_espnet
from espnet_ext.teachers.teacher import Identity, Teacher
from espnet_ext.teachers.tokens import BLANK, UNKNOWN, Tokens

S2T_CTC = "espnet_ctc"  # what `model:` says in configurations of the task s2t_ctc


class EspnetTeacher(Teacher):
    """Runs an ESPnet ASR model.

    Args:
        model: the large model.
        args: its training configuration.
        name: what error messages call it, e.g. the experiment directory.
        train_mode: leave dropout on and batch normalisation on batch statistics, as the released code of
            arXiv 2505.16991 does by never calling `eval()`. Only to measure what that costs.
    """

    def __init__(self, model: ESPnetASRModel, args: Namespace, name: str, train_mode: bool = False):
        self.args, self.name = args, name
        self.sample_rate_hz = sample_rate_hz(args)
        self.hop_length = getattr(model.frontend, "hop_length", None)
        # Without gradient a CPU computes the convolutions of the subsampling faster in this layout.
        self.model = model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
        self.width = model.encoder.output_size()
        self.num_layers = _count_layers(model)
        if model.ctc is not None:
            self.head_module = model.ctc.ctc_lo
            said = {"token_list": list(model.token_list), "token_type": args.token_type}
            self.tokens = espnet_tokens(said, model.token_list[model.blank_id])
        self.frame_samples  # noqa: B018  (measured while the model has its front end)
        self.model.train(train_mode)
        if train_mode:
            self.model.specaug = None  # the released code shows the teacher unmasked features
        for module in self.model.modules():
            if hasattr(module, "use_sdpa"):  # of ESPnet's attention: PyTorch's fused kernels
                module.use_sdpa = True

    @classmethod
    def load(cls, location: str, name: str, train_mode: bool = False) -> "EspnetTeacher":
        """Loads a teacher through ESPnet's own loader.

        Args:
            location: experiment directory, checkpoint file, packed zip, or model-zoo tag.
            name: for error messages.
            train_mode: see the class.

        Raises:
            UserError: nothing usable there, a corrupt checkpoint, or one that does not fill the model of its
                configuration.
        """
        model, args = load_espnet(ASRTask, location, name)
        if not isinstance(model, ESPnetASRModel):
            raise UserError(f"teacher {name}: {type(model).__name__} is no ESPnet ASR model")
        return cls(model, args, name, train_mode)

    @staticmethod
    def identify(location: str) -> Identity:
        """Returns the hashes of the checkpoint and of what the configuration says of the model and its features."""
        return identify_espnet(location)

    @staticmethod
    def read_tokens(location: str) -> Tokens | None:
        """See `Teacher.read_tokens`."""
        _, said = _read_espnet_config(location)
        conf = said.get("model_conf") or {}
        return espnet_tokens(said, conf.get("sym_blank", BLANK)) if conf.get("ctc_weight", 0.5) != 0 else None

    @staticmethod
    def bpe_model(location: str) -> bytes:
        """See `Teacher.bpe_model`."""
        return espnet_bpe_model(location)

    def to(self, device: torch.device | str) -> None:
        """See `Teacher.to`."""
        if next(self.model.parameters()).device != torch.device(device):
            self.model.to(device)

    def run(self, speech: Tensor, lengths: Tensor, names: Iterable[str]) -> Outputs:
        """See `Teacher.run`; in a batch ESPnet's convolutions let the last frames see a little of the padding."""
        return compute_outputs(self.model, speech, lengths, names)

    def count_frames(self, samples: int) -> int:
        """See `Teacher.count_frames`; not after `takes_features_of`."""
        return count_frames(self.model, samples)

    def text(self, token_ids: Sequence[int]) -> str:
        """See `Teacher.text`."""
        tokens = [self.tokens.symbols[token] for token in token_ids]
        if self.args.token_type in TOKEN_TYPES:
            return join_tokens(tokens, self.args.token_type)
        return build_tokenizer(self.args.token_type, bpemodel=self.args.bpemodel).tokens2text(tokens)

    def takes_features_of(self, frontend: str) -> bool:
        """See `Teacher.takes_features_of`."""
        if frontend_key(self.args) != frontend:
            return False
        self.model.frontend = None
        return True


@torch.no_grad()
def count_frames(model: ESPnetASRModel, samples: int) -> int:
    """Returns how many encoder frames a model with a front end, in `eval` mode, makes of so many samples."""
    speech = torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    try:
        return int(model.encode(speech, torch.tensor([samples]))[1]) if samples >= MIN_SAMPLES else 0
    except TooShortUttError:
        return 0


def sample_rate_hz(args: Namespace) -> int:
    """Returns the sampling rate that the front end of a training's configuration takes."""
    return humanfriendly.parse_size(str((args.frontend_conf or {}).get("fs", 16000)))


def frontend_key(args: Namespace) -> str:
    """Describes a front end: models of which this is equal take the same features."""
    conf = {**(args.frontend_conf or {}), "fs": sample_rate_hz(args)}
    return json.dumps([args.frontend, conf], sort_keys=True)


def load_espnet(task: type[AbsTask], location: str, name: str) -> tuple[Any, Namespace]:
    """Loads a model of a task of ESPnet, and its configuration.

    Raises:
        UserError: nothing usable there, a corrupt checkpoint, or one that does not fill the model of its configuration.
    """
    config, checkpoint = (path.absolute() for path in find_model_files(location))
    said = read_config(config)
    if task is ASRTask and said.get("model") == S2T_CTC:
        raise UserError(f"teacher {name}: {config} is of ESPnet's task s2t_ctc; give owsm_ctc:{location}")
    logging.info(f"Teacher: {checkpoint} ({config})")
    try:
        # Relative paths in the configuration start from the teacher's recipe, which need not be this one.
        with quiet_espnet(), chdir(recipe_directory(config, said)):
            model, args = task.build_model_from_file(config, checkpoint)
    except FileNotFoundError as error:
        raise UserError(
            f"teacher {name}: {config} needs the file {error.filename}, which is not there; run from the recipe "
            "directory of the teacher, or pack it (stage 14) and give the zip"
        ) from error
    except Exception as error:
        raise UserError(f"teacher {name}: cannot be loaded from {checkpoint}: {why_not_loaded(error)}") from error
    _check_filled(model, checkpoint, name)
    return model, args


def _read_espnet_config(location: str) -> tuple[Path, dict[str, Any]]:
    file, _ = find_model_files(location)
    return file, read_config(file)


def espnet_tokens(
    said: Mapping[str, Any], blank: str, no_text: Callable[[str], bool] = lambda _: False
) -> Tokens | None:
    """Returns the tokens that a training's configuration lists; None where it lists none.

    Args:
        said: the configuration.
        blank: what the blank is called in it.
        no_text: whether a symbol stands for no text.
    """
    symbols = said.get("token_list")
    if not isinstance(symbols, list):
        return None
    unknown = symbols.index(UNKNOWN) if UNKNOWN in symbols else None
    place = symbols.index(blank) if blank in symbols else 0
    silent = frozenset(i for i, symbol in enumerate(symbols) if i not in (place, unknown) and no_text(symbol))
    return Tokens(tuple(symbols), place, said.get("token_type"), unknown, no_text=silent)


def espnet_bpe_model(location: str) -> bytes:
    """Returns the BPE model that a training's configuration names.

    Raises:
        UserError: it is not there.
    """
    file, said = _read_espnet_config(location)
    model = recipe_directory(file, said) / str(said.get("bpemodel"))
    if not model.is_file():
        raise UserError(f"{file} names the BPE model {said.get('bpemodel')}, which is not there; copy it to {model}")
    return model.read_bytes()


def identify_espnet(location: str, *options: str) -> Identity:
    """Returns the hashes of a checkpoint, and of what its configuration says of the model together with `options`."""
    config_file, checkpoint = find_model_files(location)
    keys = MODEL_KEYS | {"promptencoder", "promptencoder_conf"}
    model = {key: value for key, value in read_config(config_file).items() if key in keys}
    model.pop("normalize_conf", None)  # a path; the statistics themselves are in the checkpoint
    said = json.dumps(model, sort_keys=True) + "".join(options)
    return Identity(file_sha256(checkpoint), hashlib.sha256(said.encode()).hexdigest())


def _count_layers(model: ESPnetASRModel) -> int:
    try:
        return len(encoder_layers(model.encoder))
    except UserError:
        return 0


def _check_filled(model: torch.nn.Module, checkpoint: Path, name: str) -> None:
    """ESPnet loads with `strict=False`: a tensor that the file lacks would silently stay random."""
    # ESPnet <= 202511 spells `embed.out` as a Sequential; the loader maps it.
    stored = {key.replace("embed.out.0.", "embed.out.") for key in read_state_dict(checkpoint)}
    missing = [key for key in model.state_dict() if key not in stored and not key.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"teacher {name}: {checkpoint} lacks {len(missing)} of the model's tensors, e.g. {missing[0]}; "
            "the checkpoint and config.yaml are of different models"
        )
