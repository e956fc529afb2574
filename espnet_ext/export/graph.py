"""A decoding graph for sherpa-onnx: the words of a text and an n-gram, as `encrl decode --search lexicon` has them.

The graph is T o (L o G) of Miao et al. 2015 (EESEN): G is the n-gram, L spells words with the model's tokens, T is the
topology of CTC. sherpa-onnx searches it for the best path (its option `ctc.graph`), and makes text of the tokens on the
path, so the graph has no output labels. Input labels are ids of tokens plus 1; 0 is no token.
"""

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.config import read_config
from espnet_ext.decode.beam import BeamOptions, spell
from espnet_ext.decode.model import CTCModel
from espnet_ext.errors import UserError
from espnet_ext.files import atomic

if TYPE_CHECKING:
    from kaldifst import StdVectorFst

_SPACE = "<space>"
_UNKNOWN = "<unk>"
# Of a path that ends within a word. More than the search is behind the best, so words that end win; without it
# sherpa-onnx would give no text at all where none does.
_CUT = 100.0
_BLANK = 1
Arc = tuple[int, int, float]  # label, next state, cost


def write_graph(model: CTCModel, words: Sequence[str], options: BeamOptions, path: Path) -> int:
    """Writes the graph.

    Args:
        model: whose tokens spell the words; its blank has the id 0.
        words: those that may be said.
        options: n-gram in ARPA, and the scores. Beams and sums of alignments are of other searches.
        path: the file, in OpenFst's format.

    Returns:
        How many words it has.

    Raises:
        UserError: no word can be written with the tokens, or the n-gram is no ARPA file.
    """
    import kaldifst

    tokens = list(model.model.token_list)
    ids = {token: number for number, token in enumerate(tokens, 1)}
    spelled = {word: [ids[token] for token in pieces] for word, pieces in spell(model, words).items()}
    backoff = len(tokens) + 1
    grammar = kaldifst.compile(_text(*_grammar(list(spelled), options)), acceptor=True)
    silence = next((ids[token] for token in (_SPACE, "▁") if token in ids), None)
    lexicon = kaldifst.compile("\n".join(_lexicon(spelled, silence, _SPACE in ids, backoff)), acceptor=False)
    kaldifst.arcsort(lexicon, sort_type="olabel")
    kaldifst.arcsort(grammar, sort_type="ilabel")
    composed = kaldifst.compose(lexicon, grammar)
    # Of tokens alone: each sequence of them is one of words, which is what lets it be determinised.
    spellings = kaldifst.determinize(kaldifst.compile(_text(*_states(composed)), acceptor=True))
    kaldifst.minimize(spellings)
    graph = kaldifst.compile(_text(*_topology(*_states(spellings), backoff), output="0"), acceptor=False)
    with atomic(path) as temporary:
        graph.write(str(temporary))
    return len(spelled)


def read_search(config: Path | None, lm: Path | None) -> BeamOptions:
    """Returns the options of a search: of a configuration of `encrl decode`, with another n-gram if one is given.

    Raises:
        UserError: the configuration is none of a search over words.
    """
    values = read_config(config) if config else {"search": "lexicon"}
    if values.get("search") != "lexicon":
        raise UserError(f"--search_config {config}: a graph needs a configuration with 'search: lexicon'")
    known = {name: values[name] for name in BeamOptions.__dataclass_fields__ if name in values}
    lm = lm or (Path(known["lm"]) if known.get("lm") else None)
    return BeamOptions(**known | {"lm": lm and find_arpa(lm)})


def find_arpa(lm: Path) -> Path:
    """Returns the ARPA file of an n-gram: itself, or what KenLM's binary file beside it was made of.

    Raises:
        UserError: there is none.
    """
    arpa = lm.with_suffix(".arpa")
    if not arpa.is_file():
        raise UserError(f"--lm {lm}: a graph is made of an ARPA file, and {arpa} does not exist")
    return arpa


def _grammar(words: Sequence[str], options: BeamOptions) -> tuple[dict[int, list[Arc]], dict[int, float], int]:
    """Returns arcs, costs of ends, and the first state of the n-gram; the label of a word is its number from 1.

    The label of a step to the shorter history is the next after the words'. Costs are the scores of the beam search,
    whose logarithms are KenLM's, to the base 10, divided by `emission_scale`: here, the log-probabilities of the tokens
    have no factor.
    """
    per_word = -options.word_score / options.emission_scale
    if options.lm is None:
        return {0: [(number, 0, per_word) for number in range(1, len(words) + 1)]}, {0: 0.0}, 0
    weight = options.lm_weight / math.log(10) / options.emission_scale
    backoff, unknown = len(words) + 1, len(words) + 2
    arcs: dict[int, list[Arc]] = {}
    ends: dict[int, float] = {}
    first = None
    for line in _arpa(words, options.lm):
        fields = line.split()
        state = int(fields[0])
        first = state if first is None else first
        if len(fields) < 3:
            ends[state] = weight * float(fields[1]) if len(fields) == 2 else 0.0
            continue
        label, cost = int(fields[2]), weight * float(fields[4]) if len(fields) > 4 else 0.0
        arcs.setdefault(state, []).append((label, int(fields[1]), cost + (0.0 if label == backoff else per_word)))
    known = {label for found in arcs.values() for label, _, _ in found}
    if not known - {backoff}:
        raise UserError(f"--lm {options.lm} has none of the words of the lexicon")
    others = [label for label in range(1, backoff) if label not in known]
    for state, found in arcs.items():
        arcs[state] = [arc for arc in found if arc[0] != unknown]
        arcs[state] += [(other, *arc[1:]) for arc in found if arc[0] == unknown for other in others]
    return arcs, ends, first or 0


def _arpa(words: Sequence[str], lm: Path) -> list[str]:
    """Returns the lines of the n-gram as an automaton, of Kaldi's arpa2fst, which ends its process at bad input."""
    symbols = ["<eps>", *words, "#0", _UNKNOWN, "<s>", "</s>"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as table:
        table.writelines(f"{symbol} {number}\n" for number, symbol in enumerate(symbols))
        table.flush()
        options = ["--disambig-symbol=#0", f"--read-symbol-table={table.name}", "--max-arpa-warnings=0"]
        run = subprocess.run([sys.executable, "-m", "kaldilm", *options, lm], capture_output=True, text=True)
    if run.returncode:
        said = run.stderr.strip().splitlines() or ["no reason given"]
        raise UserError(f"--lm {lm} is no n-gram in ARPA: {said[-1]}")
    return [line for line in run.stdout.splitlines() if line.strip()]


def _lexicon(spelled: Mapping[str, Sequence[int]], silence: int | None, spaced: bool, backoff: int) -> Iterator[str]:
    """Yields the lines of a transducer from tokens to words, in OpenFst's text format.

    Args:
        spelled: labels of the tokens of each word.
        silence: label of a token that may stand between words any number of times; None for none.
        spaced: it is the last token of each word, which the last word of an utterance may lack.
        backoff: label of the n-gram's steps to a shorter history.
    """
    before, after, states = 0, int(spaced), 2
    for number, pieces in enumerate(spelled.values(), 1):
        state, pieces = before, pieces[:-1] if spaced else pieces
        for place, piece in enumerate(pieces):
            last = place == len(pieces) - 1
            following = after if last else states
            yield f"{state} {following} {piece} {0 if place else number}"
            state, states = following, states + (not last)
    for state in {before, after}:
        yield f"{state} {state} {backoff} {len(spelled) + 1}"
        if silence is not None:
            yield f"{state} {before} {silence} 0"
        yield f"{state}"


def _states(fst: "StdVectorFst") -> tuple[dict[int, list[Arc]], dict[int, float], int]:
    """Returns arcs, by their input labels, costs of ends, and the first state."""
    import kaldifst

    arcs, ends = {}, {}
    for state in kaldifst.StateIterator(fst):
        arcs[state] = [(a.ilabel, a.nextstate, float(a.weight.value)) for a in kaldifst.ArcIterator(fst, state)]
        cost = float(fst.final(state).value)
        if math.isfinite(cost):
            ends[state] = cost
    return arcs, ends, fst.start


def _topology(
    arcs: Mapping[int, list[Arc]], ends: Mapping[int, float], first: int, backoff: int
) -> tuple[dict[int, list[Arc]], dict[int, float], int]:
    """Returns the graph in which a token lasts for any number of frames and blanks may stand between tokens.

    A state is one of the spellings, the token of the last frame, and whether a step without a token followed: after
    that a token does not go on, because sherpa-onnx would write it twice.
    """
    numbers = {(first, _BLANK, False): 0}
    waiting = [(first, _BLANK, False)]
    graph: dict[int, list[Arc]] = {}
    costs: dict[int, float] = {}

    def number(state: tuple[int, int, bool]) -> int:
        if state not in numbers:
            numbers[state] = len(numbers)
            waiting.append(state)
        return numbers[state]

    while waiting:
        here = waiting.pop()
        state, last, apart = here
        found = [(_BLANK, number((state, _BLANK, False)), 0.0)]
        if last != _BLANK and not apart:
            found.append((last, numbers[here], 0.0))
        for label, following, cost in arcs[state]:
            if label == backoff:
                found.append((0, number((following, last, last != _BLANK)), cost))
            elif label != last:
                found.append((label, number((following, label, False)), cost))
        graph[numbers[here]] = found
        costs[numbers[here]] = ends.get(state, _CUT)
    return graph, costs, 0


def _text(arcs: Mapping[int, Iterable[Arc]], ends: Mapping[int, float], first: int, output: str = "") -> str:
    """Returns an automaton in OpenFst's text format, whose first line tells the first state."""
    lines = []
    for state in [first, *(state for state in arcs if state != first)]:
        lines += [f"{state} {following} {label} {output} {cost:.6g}" for label, following, cost in arcs.get(state, ())]
    return "\n".join([*lines, *(f"{state} {cost:.6g}" for state, cost in ends.items())])
