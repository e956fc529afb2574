"""A CTC model with what turns its token ids into text."""

from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.asr import ASRTask
from espnet2.text.build_tokenizer import build_tokenizer
from espnet2.text.token_id_converter import TokenIDConverter

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.checkpoints.load import why_not_loaded
from espnet_ext.config import read_config, recipe_directory
from espnet_ext.data.words import TOKEN_TYPES, join_tokens
from espnet_ext.errors import UserError
from espnet_ext.quiet import quiet_espnet


class NoCTCError(UserError):
    """A model has no CTC output to decode with."""


@dataclass
class CTCModel:
    """A model in `eval` mode, its tokens and their type, and its sampling rate in Hz."""

    model: ESPnetASRModel
    converter: TokenIDConverter
    tokenizer: object
    sample_rate: int
    token_type: str

    def tokens(self, ids: list[int]) -> list[str]:
        """Returns the tokens of some ids."""
        return self.converter.ids2tokens(ids)

    def text(self, tokens: list[str]) -> str:
        """Joins tokens to words."""
        if self.token_type in TOKEN_TYPES:  # as a device does it, which has no tokenizer
            return join_tokens(tokens, self.token_type)
        return self.tokenizer.tokens2text(tokens)


def load_model(source: Path | str, checkpoint: str | None, device: str) -> CTCModel:
    """Loads a model through ESPnet.

    Args:
        source: Experiment directory, checkpoint, packed zip or model-zoo tag.
        checkpoint: File in an experiment directory.
        device: `cpu` or `cuda`.

    Raises:
        UserError: No such model, or it cannot be built.
        NoCTCError: It has no CTC output.
    """
    import humanfriendly

    config_file, checkpoint_file = (path.absolute() for path in find_model_files(source, checkpoint))
    root = recipe_directory(config_file, read_config(config_file))
    try:
        with quiet_espnet(), chdir(root):  # where its relative paths start
            model, args = ASRTask.build_model_from_file(config_file, checkpoint_file, device)
    except Exception as error:  # whatever the configuration asks for and is not there
        raise UserError(f"{checkpoint_file} cannot be loaded with {config_file}: {why_not_loaded(error)}") from error
    if getattr(model, "ctc", None) is None or model.ctc_weight == 0:
        raise NoCTCError(
            f"{config_file}: the model has no trained CTC output (ctc_weight 0); decode with --decoder espnet"
        )
    bpemodel = args.bpemodel
    if args.token_type == "bpe":
        bpemodel = root / bpemodel
        if not bpemodel.is_file():  # ESPnet opens it only when the first text is made
            raise UserError(f"{config_file} names the BPE model {args.bpemodel}, which is not in {root}; copy it there")
    tokenizer = build_tokenizer(args.token_type, bpemodel=bpemodel, space_symbol="<space>")
    fs = (args.frontend_conf or {}).get("fs", 16000)
    sample_rate = humanfriendly.parse_size(fs) if isinstance(fs, str) else int(fs)
    # The convolutions of the subsampling, much of the work of a small model, are faster on a CPU in this layout.
    model = model.eval().to(memory_format=torch.channels_last)
    return CTCModel(model, TokenIDConverter(args.token_list), tokenizer, sample_rate, args.token_type)
