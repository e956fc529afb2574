"""The decoding graph for sherpa-onnx, searched by sherpa-onnx."""

import pytest
import torch

from espnet_ext.decode.beam import BeamOptions, BeamSearch
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from espnet_ext.export.graph import write_graph
from espnet_ext.export.onnx_file import add_metadata, write_onnx
from espnet_ext.export.sherpa import transcribe
from tests.tiny import save_experiment, model_conf

pytest.importorskip("kaldifst", reason="extra 'graph': pip install kaldifst kaldilm")
pytest.importorskip("kaldilm", reason="extra 'graph': pip install kaldifst kaldilm")
TOKENS = ["<blank>", "<unk>", "<space>", *"ABCDE", "<sos/eos>"]
WORDS = ["A", "AB", "ABBA", "BAD", "CAB", "DEAD", "BEE", "E"]


class Says(torch.nn.Module):
    """A model in sherpa-onnx's slot that gives chosen log-probabilities, whatever it hears.

    Args:
        log_probs: (T, V) float.
    """

    def __init__(self, log_probs):
        super().__init__()
        self.register_buffer("log_probs", log_probs)

    def forward(self, speech):
        return self.log_probs[None] + 0 * speech[:, :1, None]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "asr"
    return load_model(save_experiment(folder, tokens=TOKENS, token_type="char", **model_conf(1)), None, "cpu")


def arpa(path, unigrams, bigrams):
    """Writes a bigram of log-probabilities to the base 10; backoff weights are -0.2."""
    lines = ["\\data\\", f"ngram 1={len(unigrams)}", f"ngram 2={len(bigrams)}", "", "\\1-grams:"]
    lines += [f"{score}\t{word}" + ("" if word == "</s>" else "\t-0.2") for word, score in unigrams.items()]
    lines += ["", "\\2-grams:", *(f"{score}\t{words}" for words, score in bigrams.items()), "", "\\end\\", ""]
    path.write_text("\n".join(lines))
    return path


def random_output(seed, frames=40, peaky=4.0):
    logits = peaky * torch.randn(frames, len(TOKENS), generator=torch.Generator().manual_seed(seed))
    logits[:, [1, len(TOKENS) - 1]] = -50
    return logits.log_softmax(-1)


def through_sherpa(folder, log_probs):
    folder.mkdir(exist_ok=True)
    write_onnx(Says(log_probs).eval(), (torch.zeros(1, 16000),), folder / "model.onnx")
    add_metadata(folder / "model.onnx", {})
    tokens = ["▁" if token == "<space>" else token for token in TOKENS]
    (folder / "tokens.txt").write_text("".join(f"{token} {i}\n" for i, token in enumerate(tokens)), encoding="utf-8")
    return transcribe(folder, "model.onnx", [torch.ones(16000) + torch.arange(16000) % 2], 16000, graph=True)[0]


LMS = {
    "none": None,
    "bigram": ({"<s>": -99, "</s>": -1.0} | {word: -0.5 - 0.1 * n for n, word in enumerate(WORDS)},
               {"<s> BAD": -0.1, "BAD CAB": -0.2, "CAB </s>": -0.1, "A A": -0.3, "E AB": -0.1}),
    "with unknown words": ({"<unk>": -2.0, "<s>": -99, "</s>": -1.0, "A": -0.6, "CAB": -0.4}, {"A CAB": -0.1}),
}  # fmt: skip


@pytest.mark.parametrize("lm", LMS)
@pytest.mark.parametrize("scores", [{}, {"emission_scale": 2.0, "word_score": -1.5, "lm_weight": 2.0}])
def test_sherpa_finds_what_the_beam_search_finds(lm, scores, model, tmp_path):
    """Of the best path, over many outputs that say little, where n-gram and word score decide."""
    options = BeamOptions(beam_size=500, beam_threshold=200.0, log_add=False, **scores)
    if LMS[lm]:
        options = BeamOptions(
            beam_size=500, beam_threshold=200.0, log_add=False, lm=arpa(tmp_path / "lm.arpa", *LMS[lm]), **scores
        )
    (tmp_path / "sherpa").mkdir()
    assert write_graph(model, WORDS, options, tmp_path / "sherpa/graph.fst") == len(WORDS)
    search = BeamSearch(model, WORDS, options)
    same = 0
    for seed in range(12):
        log_probs = random_output(seed)
        (found,) = search(log_probs[None], torch.tensor([len(log_probs)]))
        expected = model.text(model.tokens(found.token_ids))
        text = through_sherpa(tmp_path / "sherpa", log_probs)
        print(repr(text), repr(expected))
        same += text == expected
        assert set(text.split()) <= set(WORDS)
    assert same >= 11
