"""Beam search over CTC outputs by torchaudio's decoder (flashlight), free or over a closed lexicon, with an n-gram."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from espnet_ext.data.text import read_text
from espnet_ext.decode.greedy import Hypothesis
from espnet_ext.decode.model import CTCModel
from espnet_ext.errors import UserError

if TYPE_CHECKING:
    from torchaudio.models.decoder import CTCDecoder

_SPACE = "<space>"
_SILENCES = (_SPACE, "▁")
_IMPOSSIBLE = -1e4


@dataclass(frozen=True)
class BeamOptions:
    """How beam search scores a hypothesis.

    Attributes:
        beam_size: hypotheses kept after each frame.
        beam_threshold: hypotheses whose score is that far behind the best are dropped.
        emission_scale: log-probabilities are multiplied by it; it weighs the acoustics against word score and n-gram.
        word_score: added for every word; negative means fewer words. Of the lexicon only.
        lm: n-gram in ARPA or KenLM's binary format, of words with a lexicon, of tokens without; None for none.
        lm_weight: of its log-probabilities.
        log_add: sum the alignments of a hypothesis instead of taking the best.
    """

    beam_size: int = 50
    beam_threshold: float = 50.0
    emission_scale: float = 1.0
    word_score: float = 0.0
    lm: Path | None = None
    lm_weight: float = 1.0
    log_add: bool = True


class BeamSearch:
    """Callable in the place of `espnet_ext.decode.greedy.best_paths`.

    Args:
        model: whose tokens are decoded.
        words: the words that may be said; None for any sequence of tokens.
        options: scores.

    Raises:
        UserError: the decoder's package is not there, or none of the words can be written with the tokens.
    """

    def __init__(self, model: CTCModel, words: Sequence[str] | None, options: BeamOptions):
        try:
            from torchaudio.models.decoder import ctc_decoder
        except RuntimeError as error:
            raise UserError(
                "beam search needs flashlight-text: pip install 'flashlight-text>=0.0.7' (Python 3.12 only); "
                "or decode with greedy or espnet"
            ) from error
        if options.lm is not None and not options.lm.is_file():
            raise UserError(f"--lm {options.lm} does not exist; KenLM builds it: stage 9 with --use_ngram true")
        tokens = self._tokens = list(model.model.token_list)
        self._model, self._scale, self._closed = model, options.emission_scale, words is not None
        silence = next((token for token in _SILENCES if token in tokens), tokens[model.model.blank_id])
        self._silence_id = tokens.index(silence)
        with tempfile.NamedTemporaryFile("w", suffix=".lexicon", encoding="utf-8") as file:
            if words is not None:  # the decoder takes a file only
                file.writelines(f"{word} {' '.join(spelling)}\n" for word, spelling in spell(model, words).items())
                file.flush()
            self._decoder = self._build(ctc_decoder, tokens, file.name if words is not None else None, options)

    def _build(
        self, ctc_decoder: Callable, tokens: list[str], lexicon: str | None, options: BeamOptions
    ) -> "CTCDecoder":
        return ctc_decoder(
            lexicon=lexicon,
            tokens=tokens,
            lm=str(options.lm) if options.lm else None,
            beam_size=options.beam_size,
            beam_threshold=options.beam_threshold,
            lm_weight=options.lm_weight if options.lm else 0.0,
            word_score=options.word_score,
            log_add=options.log_add,
            blank_token=tokens[self._model.model.blank_id],
            sil_token=tokens[self._silence_id],
        )

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[Hypothesis]:
        """Returns the best hypothesis of each utterance.

        Args:
            log_probs: (B, T, V) float.
            lengths: (B,) number of valid frames, int.
        """
        log_probs, lengths = self._scale * log_probs.float().cpu(), lengths.cpu().int()
        if self._closed and _SPACE in self._tokens:
            log_probs, lengths = self._end_words(log_probs, lengths)
        return [self._hypothesis(found) for found in self._decoder(log_probs.contiguous(), lengths)]

    def _end_words(self, log_probs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Adds a frame that is surely a space, because an utterance does not end with one but its words do."""
        longer = torch.nn.functional.pad(log_probs, (0, 0, 0, 1))
        end = torch.full_like(longer[0, 0], _IMPOSSIBLE)
        end[self._tokens.index(_SPACE)] = 0.0
        longer[torch.arange(len(longer)), lengths.long()] = end
        return longer, lengths + 1

    def _hypothesis(self, found: list) -> Hypothesis:
        if not found:
            return Hypothesis([], float("-inf"))
        best = found[0]
        if self._closed:
            pieces = self._model.tokenizer.text2tokens(" ".join(best.words)) if best.words else []
            return Hypothesis(self._model.converter.tokens2ids(pieces), float(best.score))
        ids = best.tokens.tolist()
        # The decoder puts silence at both ends, which is no part of a transcript.
        first, last = (ids[:1] == [self._silence_id], len(ids) > 1 and ids[-1] == self._silence_id)
        return Hypothesis(ids[first : len(ids) - last], float(best.score))


def spell(model: CTCModel, words: Sequence[str]) -> dict[str, list[str]]:
    """Returns how each word is written with a model's tokens; words that cannot be are left out.

    A word of single letters ends with a space: without it two words could stand for one (INTO, IN TO).

    Raises:
        UserError: no word can be written.
    """
    tokens = set(model.model.token_list)
    lexicon = {}
    for word in words:
        pieces = model.tokenizer.text2tokens(word)
        if not pieces or not tokens.issuperset(pieces) or "<unk>" in pieces:
            continue
        lexicon[word] = [*pieces, _SPACE] if _SPACE in tokens else pieces
    if not lexicon:
        raise UserError("none of the lexicon's words can be written with the tokens of the model")
    return lexicon


def read_words(path: Path) -> list[str]:
    """Returns the different words of a text file of `utterance-id word ...` lines, or of one word a line, sorted.

    Raises:
        UserError: no such file, or no word in it.
    """
    texts = read_text(path)
    words = sorted({word for text in texts.values() for word in text.split()} or set(texts))
    if not words:
        raise UserError(f"{path}: has no words for the lexicon")
    return words
