r"""Gives a recipe the tokens of a model from elsewhere, so that its students can match that model's CTC output.

Writes what stage 5 of asr.sh would make (the list of tokens, and the BPE model), and prints the options with which
`run.sh` uses it. Stage 5 must not run again then.

Example:
    % python3 -m espnet_ext.bin.copy_tokens --teacher /models/asr_conformer --token_dir data/en_token_list
    --token_type bpe --nbpe 5000 --bpemode unigram
"""

import argparse
import shutil
from pathlib import Path

from espnet_ext.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--teacher", required=True, help="Experiment directory, checkpoint, packed zip or model-zoo tag"
    )
    parser.add_argument("--token_dir", type=Path, required=True, help="data/<lang>_token_list of the recipe")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Writes tokens.txt and bpe.model; prints options of run.sh."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.checkpoints.find import find_model_files
    from espnet_ext.config import read_config, recipe_directory
    from espnet_ext.files import atomic

    config_file, _ = find_model_files(args.teacher)
    config = read_config(config_file)
    tokens, kind = config.get("token_list"), config.get("token_type")
    if not isinstance(tokens, list) or kind not in ("bpe", "char"):
        raise UserError(f"{config_file} has no list of bpe or char tokens (token_type {kind}); use tokens of your own")
    bpe = recipe_directory(config_file, config) / config["bpemodel"] if kind == "bpe" else None
    if bpe is not None and not bpe.is_file():
        raise UserError(f"{config_file} names the BPE model {config['bpemodel']}, which is not there; copy it to {bpe}")
    # asr.sh finds both by these names.
    folder, options = args.token_dir / "char", "--token_type char"
    if bpe is not None:
        folder, options = args.token_dir / f"bpe_unigram{len(tokens)}", f"--token_type bpe --nbpe {len(tokens)}"
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
    print(options)


if __name__ == "__main__":
    run_main(main)
