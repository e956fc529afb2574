"""The decoding graph for sherpa-onnx, searched by sherpa-onnx."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
import soundfile
import torch
import yaml
from torchaudio.functional import forced_align

from espnet_ext.cli import export as export_verb
from espnet_ext.decode.beam import BeamOptions, BeamSearch
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from espnet_ext.export.graph import read_search, write_graph
from espnet_ext.export.onnx_file import add_metadata, write_onnx
from espnet_ext.export.sherpa import transcribe
from espnet_ext.export.sherpa_files import COMMAND
from tests.decode.spoken import pieces_of, train_bpe
from tests.tiny import model_conf, save_experiment

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


def random_output(seed, frames=40, size=9):
    return (4 * torch.randn(frames, size, generator=torch.Generator().manual_seed(seed))).log_softmax(-1)


def through_sherpa(folder, log_probs, tokens=TOKENS):
    folder.mkdir(exist_ok=True)
    write_onnx(Says(log_probs).eval(), (torch.zeros(1, 16000),), folder / "model.onnx")
    add_metadata(folder / "model.onnx", {})
    tokens = ["▁" if token == "<space>" else token for token in tokens]
    (folder / "tokens.txt").write_text("".join(f"{token} {i}\n" for i, token in enumerate(tokens)), encoding="utf-8")
    return transcribe(folder, "model.onnx", [torch.ones(16000) + torch.arange(16000) % 2], 16000, graph=True)[0]


LMS = {
    "none": None,
    "bigram": ({"<s>": -99, "</s>": -1.0} | {word: -0.5 - 0.1 * n for n, word in enumerate(WORDS)},
               {"<s> BAD": -0.1, "BAD CAB": -0.2, "CAB </s>": -0.1, "A A": -0.3, "E AB": -0.1}),
    "with unknown words": ({"<unk>": -2.0, "<s>": -99, "</s>": -1.0, "A": -0.6, "CAB": -0.4}, {"A CAB": -0.1}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("lm", LMS)
@pytest.mark.parametrize("scores", [{}, {"emission_scale": 2.0, "word_score": -1.5, "lm_weight": 2.0}])
def test_sherpa_finds_what_the_beam_search_finds(lm, scores, model, tmp_path):
    """Of the best path, over outputs that say little, so that n-gram and word score decide."""
    options = BeamOptions(beam_size=500, beam_threshold=200.0, log_add=False, **scores)
    if LMS[lm]:
        options = replace(options, lm=arpa(tmp_path / "lm.arpa", *LMS[lm]))
    assert write_graph(model, WORDS, options, tmp_path / "sherpa/graph.fst") == len(WORDS)
    search = BeamSearch(model, WORDS, options)
    for seed in range(10):
        log_probs = random_output(seed)
        (found,) = search(log_probs[None], torch.tensor([len(log_probs)]))
        text = through_sherpa(tmp_path / "sherpa", log_probs)
        assert text == model.text(model.tokens(found.token_ids)) and len(text.split()) > 2


def test_the_scores_decide(model, tmp_path):
    """Without any word is heard; a score against words leaves fewer."""
    log_probs = random_output(0)
    counts = []
    for word_score in (2.0, 0.0, -8.0):
        write_graph(model, WORDS, BeamOptions(word_score=word_score), tmp_path / "graph.fst")
        counts.append(len(through_sherpa(tmp_path, log_probs).split()))
    assert counts[0] > counts[1] > counts[2] > 0


def test_a_word_that_is_cut_off_is_written_all_the_same(model, tmp_path):
    write_graph(model, ["DEAD"], BeamOptions(), tmp_path / "graph.fst")
    log_probs = torch.full((6, len(TOKENS)), -300.0)
    for frame, token in enumerate("DEEA"):
        log_probs[frame, TOKENS.index(token)] = 0.0
    log_probs[4:, 0] = 0.0
    assert through_sherpa(tmp_path, log_probs) == "DEA"


def best_score(log_probs, ids):
    """Returns the log-probability of the best alignment of tokens."""
    _, scores = forced_align(log_probs[None], torch.tensor([ids]))
    return float(scores.sum())


def test_pieces_of_words(tmp_path):
    """Their marks tell where words begin. flashlight may miss the best path: it lets no last token of a word last."""
    bpe = train_bpe(tmp_path / "bpe")
    tokens = pieces_of(bpe)
    exp_dir = save_experiment(tmp_path / "asr", tokens=tokens, token_type="bpe", bpemodel=str(bpe), **model_conf(1))
    model = load_model(exp_dir, None, "cpu")
    words = ["one", "two", "cat", "sat", "at", "a"]
    options = BeamOptions(beam_size=500, beam_threshold=200.0, log_add=False)
    write_graph(model, words, options, tmp_path / "sherpa/graph.fst")
    search = BeamSearch(model, words, options)
    for seed in range(3):
        log_probs = random_output(seed, frames=20, size=len(tokens))
        log_probs[:, tokens.index("▁")] = -100  # which may stand between words
        (found,) = search(log_probs[None], torch.tensor([len(log_probs)]))
        text = through_sherpa(tmp_path / "sherpa", log_probs, tokens)
        assert len(text.split()) > 2 and set(text.split()) <= set(words)
        ids = model.converter.tokens2ids(model.tokenizer.text2tokens(text))
        assert best_score(log_probs, ids) >= best_score(log_probs, found.token_ids) - 1e-3


def test_the_export_writes_and_measures_it(model, tmp_path, capsys):
    data = tmp_path / "dev"
    data.mkdir()
    for name in "ab":
        soundfile.write(data / f"{name}.wav", torch.randn(20000).numpy() / 10, 16000)
    (data / "wav.scp").write_text("".join(f"{name} {data / name}.wav\n" for name in "ab"))
    (data / "text").write_text("a BAD CAB\nb A\n")
    lm = arpa(tmp_path / "3gram.arpa", *LMS["bigram"])
    scores = {
        "search": "lexicon",
        "beam_size": 500,
        "log_add": False,
        "emission_scale": 1.5,
        "word_score": -1.0,
        "lm": str(lm.with_suffix(".bin")),
    }
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(scores))
    exp_dir = save_experiment(tmp_path / "asr", tokens=TOKENS, token_type="char", **model_conf(1))
    words = ["--exp_dir", exp_dir, "--data_dir", data, "--output_dir", tmp_path / "onnx", "--audio_format", "wav"]
    words += ["--sherpa", "true", "--lexicon_text", data / "text", "--search_config", tmp_path / "search.yaml"]
    export_verb.main([*map(str, words), "--max_wer_loss", "1000"])
    entry = json.loads((tmp_path / "onnx/report.json").read_text())["files"]["sherpa_onnx/graph.fst"]
    assert entry["bytes"] == (tmp_path / "onnx/sherpa_onnx/graph.fst").stat().st_size and entry["words"] == 3
    assert entry["wer_percent"] == pytest.approx(entry["beam_search_wer_percent"], abs=0.5)
    assert "graph.fst" in capsys.readouterr().out
    folder = tmp_path / "onnx/sherpa_onnx"
    assert "--ctc.graph=graph.fst" in (folder / "README.md").read_text()
    # The example and the program use it.
    recordings = [str(data / f"{name}.wav") for name in "ab"]
    run = subprocess.run([sys.executable, folder / "run.py", *recordings], capture_output=True, text=True, check=True)
    signals = [torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in recordings]
    expected = transcribe(folder, "model.int8.onnx", signals, 16000, graph=True)
    assert [" ".join(line.split()[1:]) for line in run.stdout.splitlines()] == expected
    assert {word for text in expected for word in text.split()} <= {"A", "BAD", "CAB"}
    command = [*shlex.split(COMMAND), "--ctc.graph=graph.fst", recordings[0]]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    found = next(json.loads(line) for line in (run.stdout + run.stderr).splitlines() if line.startswith("{"))
    assert " ".join(found["text"].split()) == expected[0]


@pytest.mark.parametrize(
    "words, message",
    [
        (["--lexicon_text", "text"], "--lexicon_text belongs to --sherpa true"),
        (["--sherpa", "true", "--lm", "lm.arpa"], "--search_config and --lm need --lexicon_text"),
        (["--sherpa", "true", "--lexicon_text", "text", "--lm", "lm.bin"], "made of an ARPA file, and .*lm.arpa"),
    ],
)
def test_options_that_do_not_belong_together(words, message, tmp_path):
    general = ["--exp_dir", "asr", "--data_dir", "dev", "--output_dir", str(tmp_path / "onnx")]
    with pytest.raises(UserError, match=message):
        export_verb.main([*general, *words])


def test_the_packages_are_asked_for_before_any_work(tmp_path):
    """In a process that cannot import them."""
    code = (
        "import sys, importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n[:5] == 'kaldi' else f(n)\n"
    )
    code += "from espnet_ext.cli import export; export.main(sys.argv[1:])"
    words = [
        "--exp_dir",
        "asr",
        "--data_dir",
        "dev",
        "--output_dir",
        "onnx",
        "--sherpa",
        "true",
        "--lexicon_text",
        "text",
    ]
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
    assert re.search(
        "extra 'graph': kaldifst and kaldilm are not installed; get them with: .* -m pip install", run.stderr
    )


def test_a_configuration_of_another_search_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("search: beam\n")
    with pytest.raises(UserError, match="a graph needs a configuration with 'search: lexicon'"):
        read_search(tmp_path / "a.yaml", None)


def test_an_n_gram_of_other_words_is_refused(model, tmp_path):
    lm = arpa(tmp_path / "lm.arpa", {"<s>": -99, "</s>": -1.0, "OTHER": -0.5}, {"OTHER </s>": -0.1})
    with pytest.raises(UserError, match="has none of the words"):
        write_graph(model, WORDS, BeamOptions(lm=lm), tmp_path / "graph.fst")
    lm.write_text("no n-gram")
    with pytest.raises(UserError, match=r"lm.arpa is no n-gram in ARPA: .*data. section missing"):
        write_graph(model, WORDS, BeamOptions(lm=lm), tmp_path / "graph.fst")
