"""The tokens of a teacher, as stage 5 of asr.sh would make them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.config import read_config, recipe_directory, with_absolute_paths
from espnet_ext.errors import UserError
from espnet_ext.files import atomic
from espnet_ext.teachers.load import bpe_model, read_tokens
from espnet_ext.teachers.source import ESPNET, Source
from espnet_ext.teachers.tokens import UNKNOWN

KINDS = ("bpe", "char", "word")
# Transcripts of which more tokens are unknown are of another spelling than the teacher's.
MAX_UNKNOWN = 0.1


def copy_tokens(teacher: str, token_dir: Path) -> str:
    """Writes the list of tokens, and the BPE model.

    Args:
        teacher: its name, see `espnet_ext.teachers.source`.
        token_dir: `data/<lang>_token_list` of the recipe.

    Returns:
        The options of run.sh that use them.

    Raises:
        UserError: the model has no such tokens, or other ones are there.
    """
    tokens = read_tokens(teacher)
    if tokens is None or tokens.kind not in KINDS:
        known = "tokens of another kind" if tokens is not None else "no CTC output whose tokens are known"
        raise UserError(f"teacher {teacher} has {known}, not {', '.join(KINDS)}; use tokens of your own")
    names = tokens.token_list()
    # asr.sh finds them by these names.
    folder, options = token_dir / tokens.kind, f"--token_type {tokens.kind}"
    bpe = None
    if tokens.kind == "bpe":
        bpe = bpe_model(teacher)
        folder = token_dir / f"bpe_unigram{len(names)}"
        options += f" --nbpe {len(names)} --bpemode unigram"
    written = folder / "tokens.txt"
    text = "".join(f"{token}\n" for token in names)
    if written.is_file() and written.read_text(encoding="utf-8") != text:
        raise UserError(f"{folder} holds other tokens already; delete it, or give another --token_dir and --lang")
    if bpe is not None:
        with atomic(folder / "bpe.model") as temporary:
            temporary.write_bytes(bpe)
    with atomic(written) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return options


def token_options(teacher: str, bpe: Path) -> dict[str, Any]:
    """Returns the options of ESPnet's trainings for the tokens of a teacher.

    Args:
        teacher: its name.
        bpe: where the BPE model will be of a teacher that has it in another form.

    Raises:
        UserError: it has none, or they are not made of text in a way that is known.
    """
    source = Source.parse(teacher)
    if source.family == ESPNET:
        file, _ = find_model_files(source.location)
        config = read_config(file)
        config = with_absolute_paths(config, recipe_directory(file, config))
        if not isinstance(config.get("token_list"), list):
            raise UserError(f"{file} has no list of tokens; give token_list, token_type and bpemodel")
        return {name: config.get(name) for name in ("token_list", "token_type", "bpemodel")}
    tokens = read_tokens(teacher)
    if tokens is None or tokens.kind is None:
        raise UserError(
            f"teacher {teacher}: it is not known how its tokens are made of text; give token_list, token_type and, for "
            "BPE, bpemodel"
        )
    made = str(bpe) if tokens.kind == "bpe" else None
    return {"token_list": tokens.token_list(), "token_type": tokens.kind, "bpemodel": made}


def check_spelling(texts: Iterable[str], folder: Path, kind: str, cleaner: str) -> str:
    """Checks that the teacher's tokens can spell the transcripts of a recipe.

    Args:
        texts: transcripts.
        folder: of tokens.txt and bpe.model.
        kind: one of `KINDS`.
        cleaner: ESPnet's, none for none.

    Returns:
        A line that says how many tokens are unknown, "" where none is.

    Raises:
        UserError: too many are.
    """
    from espnet2.text.build_tokenizer import build_tokenizer
    from espnet2.text.cleaner import TextCleaner

    known = set((folder / "tokens.txt").read_text(encoding="utf-8").splitlines()) - {UNKNOWN}
    tokenizer = build_tokenizer(kind, bpemodel=str(folder / "bpe.model") if kind == "bpe" else None)
    clean = TextCleaner(None if cleaner == "none" else cleaner)
    count, unknown = 0, dict[str, int]()
    for text in texts:
        for token in tokenizer.text2tokens(clean(text)):
            count += 1
            if token not in known:
                unknown[token] = unknown.get(token, 0) + 1
    if not unknown:
        return ""
    share = sum(unknown.values()) / count
    common = " ".join(sorted(unknown, key=unknown.__getitem__, reverse=True)[:8])
    said = f"{100 * share:.1f} % of the tokens of the transcripts are none of the teacher's, most often: {common}"
    if share > MAX_UNKNOWN:
        raise UserError(
            f"--token_type teacher: {said}; write the transcripts as the teacher does (capitals, punctuation, numbers) "
            "in local/data.sh or by --cleaner, or use tokens of your own (--token_type bpe)"
        )
    return said
