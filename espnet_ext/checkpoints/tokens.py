"""The tokens of a model from elsewhere, as stage 5 of asr.sh would make them."""

import shutil
from pathlib import Path

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.config import read_config, recipe_directory
from espnet_ext.errors import UserError
from espnet_ext.files import atomic


def copy_tokens(source: str, token_dir: Path) -> str:
    """Writes the list of tokens, and the BPE model.

    Args:
        source: experiment directory, checkpoint, packed zip or model-zoo tag.
        token_dir: `data/<lang>_token_list` of the recipe.

    Returns:
        The options of run.sh that use them.

    Raises:
        UserError: the model has no such tokens, or other ones are there.
    """
    config_file, _ = find_model_files(source)
    config = read_config(config_file)
    tokens, kind = config.get("token_list"), config.get("token_type")
    if not isinstance(tokens, list) or kind not in ("bpe", "char"):
        raise UserError(f"{config_file} has no list of bpe or char tokens (token_type {kind}); use tokens of your own")
    bpe = recipe_directory(config_file, config) / config["bpemodel"] if kind == "bpe" else None
    if bpe is not None and not bpe.is_file():
        raise UserError(f"{config_file} names the BPE model {config['bpemodel']}, which is not there; copy it to {bpe}")
    # asr.sh finds both by these names.
    folder, options = token_dir / "char", "--token_type char"
    if bpe is not None:
        folder, options = token_dir / f"bpe_unigram{len(tokens)}", f"--token_type bpe --nbpe {len(tokens)}"
        options += " --bpemode unigram"
    written = folder / "tokens.txt"
    text = "".join(f"{token}\n" for token in tokens)
    if written.is_file() and written.read_text(encoding="utf-8") != text:
        raise UserError(f"{folder} holds other tokens already; delete it, or give another --token_dir and --lang")
    if bpe is not None:
        with atomic(folder / "bpe.model") as temporary:
            shutil.copyfile(bpe, temporary)
    with atomic(written) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return options
