"""The tokenizer of a transformers model as a model of sentencepiece, which is what it was converted from.

ESPnet makes tokens of text by sentencepiece. The tokens are the same: sentencepiece joins the pair of pieces whose
union has the highest score, the library the pair that comes first in its list of merges.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from espnet_ext.errors import UserError

_MARK = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# Values of sentencepiece_model.proto.
_MODEL_TYPES = {"Unigram": 1, "BPE": 2}
_NORMAL, _UNKNOWN, _USER_DEFINED, _BYTE_PIECE = 1, 2, 4, 6
_NORMALIZERS = ("Precompiled", "Strip", "Replace", "Prepend", "Sequence")


def is_bpe(tokenizer: Any) -> bool:
    """Whether a tokenizer of transformers has pieces of words as sentencepiece makes them."""
    said = _read(tokenizer)
    if said is None or said["model"].get("type") not in _MODEL_TYPES:
        return False
    vocab = said["model"]["vocab"]
    return any(piece.startswith(_MARK) for piece in (vocab if isinstance(vocab, dict) else dict(vocab)))


def sentencepiece_model(tokenizer: Any, name: str) -> bytes:
    """Returns the model of sentencepiece that gives the same pieces.

    Args:
        tokenizer: of transformers.
        name: of the teacher, for errors.

    Raises:
        UserError: it is no such tokenizer, or changes text in ways that sentencepiece cannot.
    """
    from sentencepiece import sentencepiece_model_pb2

    if tokenizer is None or not is_bpe(tokenizer):
        raise UserError(f"teacher {name}: its tokens are no pieces of words as sentencepiece makes them")
    said = _read(tokenizer)
    steps = list(_steps(said.get("normalizer")))
    if strange := [step["type"] for step in steps if step["type"] not in _NORMALIZERS]:
        raise UserError(f"teacher {name}: its tokenizer changes text by {strange[0]}, which sentencepiece cannot")
    model, unknown = said["model"], tokenizer.unk_token or "<unk>"
    proto = sentencepiece_model_pb2.ModelProto()
    scores = _scores(model)
    user_defined = {entry["content"] for entry in said.get("added_tokens") or () if not entry["special"]}
    for piece, score in {unknown: scores.get(unknown, 0.0), **scores}.items():
        kind = _NORMAL
        if piece == unknown:
            kind = _UNKNOWN
        elif model.get("byte_fallback") and _BYTE.fullmatch(piece):
            kind = _BYTE_PIECE
        elif piece in user_defined:
            kind = _USER_DEFINED
        proto.pieces.add(piece=piece, score=score, type=kind)
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    trainer.model_type, trainer.vocab_size = _MODEL_TYPES[model["type"]], len(proto.pieces)
    trainer.unk_piece, trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = unknown, 0, -1, -1, -1
    # sentencepiece takes bytes for unknown characters only where it has all of them.
    trainer.byte_fallback = sum(piece.type == _BYTE_PIECE for piece in proto.pieces) == 256
    normalizer.name = "identity"
    normalizer.remove_extra_whitespaces = normalizer.escape_whitespaces = True
    splits = [*steps, *_steps(said.get("pre_tokenizer"))]
    normalizer.add_dummy_prefix = any(
        step["type"] == "Prepend" or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in splits
    )
    for step in steps:
        if step["type"] == "Precompiled":
            normalizer.precompiled_charsmap = base64.b64decode(step["precompiled_charsmap"])
    return proto.SerializeToString()


def _read(tokenizer: Any) -> dict[str, Any] | None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return None if backend is None else json.loads(backend.to_str())


def _steps(said: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Yields a normalizer or pre-tokenizer, or the parts of a sequence of them."""
    if said is None:
        return
    for key in ("normalizers", "pretokenizers"):
        if key in said:
            for part in said[key]:
                yield from _steps(part)
            return
    yield said


def _scores(model: Mapping[str, Any]) -> dict[str, float]:
    if model["type"] == "Unigram":
        return {piece: float(score) for piece, score in model["vocab"]}
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(model["merges"]):
        left, right = pair if isinstance(pair, list) else pair.split(" ")
        ranks.setdefault(left + right, rank)
    last = len(model["merges"])  # characters are joined to nothing, so their scores do not matter
    return {piece: -float(ranks.get(piece, last + place)) for piece, place in model["vocab"].items()}
