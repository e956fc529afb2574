"""Chooses emission scale and word score of beam search on a development set.

The model runs once; every pair of values is a search over its outputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import torch
import yaml
from torch import Tensor

from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.text import read_text
from espnet_ext.decode.beam import BeamOptions
from espnet_ext.decode.greedy import best_paths, decode_batch
from espnet_ext.decode.model import CTCModel
from espnet_ext.decode.search import make_search
from espnet_ext.errors import UserError
from espnet_ext.files import atomic
from espnet_ext.score.by_jiwer import score


def tune(
    model: CTCModel,
    data: DecodingSet,
    output: Path,
    search: str,
    lexicon_text: Path | None,
    options: BeamOptions,
    emission_scales: Sequence[float],
    word_scores: Sequence[float],
    utterances: int,
) -> Iterator[str]:
    """Searches with every pair of values, and writes the best as a configuration of `encrl decode`.

    Args:
        model: the model.
        data: development set with transcripts; never a test set: what is chosen on it, it no longer measures.
        output: the YAML file.
        search: beam or lexicon.
        lexicon_text: see `make_search`.
        options: values of all other options.
        emission_scales: values to try.
        word_scores: values to try with a lexicon.
        utterances: how many, the first of the set.

    Yields:
        Lines for the user: the error rate of greedy search and of each pair.

    Raises:
        UserError: no utterance has a transcript, or greedy search, which has no such scores.
    """
    if search == "greedy":
        raise UserError("--search greedy has no scores to tune; give beam or lexicon")
    references = {name: text for name, text in read_text(data.directory / "text").items() if text}
    names = [name for name in data.samples if name in references][:utterances]
    if not names:
        raise UserError(f"{data.directory / 'text'}: no utterance to tune on")
    references = {name: references[name] for name in names}
    outputs: dict[str, Tensor] = {}

    def keep(log_probs: Tensor, lengths: Tensor) -> list:
        outputs[name] = log_probs[:, : int(lengths[0])]
        return best_paths(log_probs, lengths)

    def wer(found: dict[str, list[int]]) -> float:
        texts = {name: model.text(model.tokens(ids)) for name, ids in found.items()}
        return score(references, texts, {}).wer

    greedy = {}
    for name in names:
        greedy[name] = decode_batch(model.model, [data.read(name)], keep)[0].token_ids
    yield f"greedy: WER {wer(greedy):.2f} % ({len(names)} utterances of {data.directory.name})"
    best = float("inf"), options
    for scale, word_score in product(emission_scales, word_scores if search == "lexicon" else [0.0]):
        tried = replace(options, emission_scale=scale, word_score=word_score)
        run = make_search(model, search, lexicon_text, tried)
        found = {name: [] for name in names}
        for name, log_probs in outputs.items():
            found[name] = run(log_probs, torch.tensor([log_probs.size(1)]))[0].token_ids
        rate = wer(found)
        yield f"emission_scale {scale:g}, word_score {word_score:g}: WER {rate:.2f} %"
        best = min(best, (rate, tried), key=lambda one: one[0])
    rate, chosen = best
    values = {"search": search} | {key: value for key, value in asdict(chosen).items() if value is not None}
    if chosen.lm:
        values["lm"] = str(chosen.lm)
    with atomic(output) as temporary:
        on = f"{len(names)} utterances of {data.directory.name}, WER {rate:.2f} %"
        head = f"# Chosen by encrl decode --tune on {on}.\n"
        temporary.write_text(head + yaml.safe_dump(values), encoding="utf-8")
    yield f"written: {output}"
