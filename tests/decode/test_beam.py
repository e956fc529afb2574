"""Beam search by the real decoder."""

import math

import pytest
import torch
import yaml

from espnet_ext.cli import decode as decode_verb
from espnet_ext.cli.options import parse_with_config
from espnet_ext.decode.beam import BeamOptions, BeamSearch, read_words, spell
from espnet_ext.decode.greedy import best_paths
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from tests.decode.test_ctc_decode import data_dir  # noqa: F401
from tests.tiny import TOKENS, model_conf, save_experiment

pytest.importorskip("flashlight.lib.text", reason="beam search needs flashlight-text")
LETTERS = ["<blank>", "<unk>", "<space>", "A", "B", "C", "<sos/eos>"]


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory):
    return save_experiment(tmp_path_factory.mktemp("exp") / "asr", token_type="char", tokens=LETTERS, **model_conf(1))


@pytest.fixture(scope="module")
def model(exp_dir):
    return load_model(exp_dir, None, "cpu")


def frames(*tokens: str, sure: float = 0.9) -> torch.Tensor:
    """Returns log-probabilities, (1, T, V), in which each frame's token is rather sure."""
    rest = (1 - sure) / (len(LETTERS) - 1)
    log_probs = torch.full((1, len(tokens), len(LETTERS)), math.log(rest))
    for frame, token in enumerate(tokens):
        log_probs[0, frame, LETTERS.index(token)] = math.log(sure)
    return log_probs


def text(model, search, log_probs) -> str:
    (found,) = search(log_probs, torch.tensor([log_probs.size(1)]))
    return model.text(model.tokens(found.token_ids))


def test_free_search_of_sure_frames_is_greedy(model):
    log_probs = frames("A", "A", "<blank>", "A", "<space>", "B", "C", sure=0.99)
    assert text(model, best_paths, log_probs) == "AA BC"
    assert text(model, BeamSearch(model, None, BeamOptions()), log_probs) == "AA BC"


def test_lexicon_allows_its_words_only(model):
    log_probs = frames("A", "B", "<space>", "C", "A", sure=0.6)
    assert text(model, best_paths, log_probs) == "AB CA"
    assert text(model, BeamSearch(model, ["AB", "CB"], BeamOptions()), log_probs) == "AB CB"


def test_a_word_is_not_split_where_no_space_is_said(model):
    """Whatever words are worth: AB is not A B."""
    log_probs = frames("A", "B").repeat(2, 1, 1)
    search = BeamSearch(model, ["A", "B", "AB"], BeamOptions(word_score=1.0))
    found = search(torch.nn.functional.pad(log_probs, (0, 0, 0, 2)), torch.tensor([2, 2]))  # padding behind it
    assert [model.text(model.tokens(one.token_ids)) for one in found] == ["AB", "AB"]


def test_word_score_and_scale_weigh_words_against_frames(model):
    """Two words if words are cheap, fewer if they are dear, two again if the frames weigh more."""
    log_probs = frames("A", "<space>", "B", sure=0.6)
    words = ["A", "B", "AB"]
    assert text(model, BeamSearch(model, words, BeamOptions(word_score=0.0)), log_probs) == "A B"
    dear = BeamOptions(word_score=-4.0)
    assert len(text(model, BeamSearch(model, words, dear), log_probs).split()) < 2
    scaled = BeamOptions(word_score=-4.0, emission_scale=6.0)
    assert text(model, BeamSearch(model, words, scaled), log_probs) == "A B"


def test_an_n_gram_decides_between_words(model, tmp_path):
    arpa = tmp_path / "lm.arpa"
    words = [("-9", "<unk>"), ("-9", "<s>"), ("-0.5", "</s>"), ("-3", "AB"), ("-0.1", "CB")]
    unigrams = "".join(f"{score}\t{word}\t0\n" for score, word in words)
    head = "\\data\\\nngram 1=5\nngram 2=1\n\n"
    arpa.write_text(f"{head}\\1-grams:\n{unigrams}\n\\2-grams:\n-0.1\t<s> CB\n\n\\end\\\n")
    log_probs = frames("A", "B", sure=0.5)
    words = ["AB", "CB"]
    assert text(model, BeamSearch(model, words, BeamOptions()), log_probs) == "AB"
    assert text(model, BeamSearch(model, words, BeamOptions(lm=arpa, lm_weight=2.0)), log_probs) == "CB"
    with pytest.raises(UserError, match="does not exist; KenLM builds it: stage 9"):
        BeamSearch(model, words, BeamOptions(lm=tmp_path / "none.arpa"))


def test_words_are_spelled_with_the_models_tokens(model, tmp_path_factory):
    assert spell(model, ["AB", "AX"]) == {"AB": ["A", "B", "<space>"]}
    with pytest.raises(UserError, match="none of the lexicon's words"):
        spell(model, ["XY"])
    pieces = save_experiment(tmp_path_factory.mktemp("exp") / "p", token_type="char", tokens=TOKENS, **model_conf(1))
    assert spell(load_model(pieces, None, "cpu"), ["cd"]) == {"cd": ["c", "d"]}


def test_set_is_decoded_with_the_words_of_a_text(exp_dir, data_dir, tmp_path):  # noqa: F811
    (tmp_path / "text").write_text("u1 AB CB\nu2 AB\n")
    assert read_words(tmp_path / "text") == ["AB", "CB"]
    cmd = ["--exp_dir", exp_dir, "--data_dir", data_dir.parent, "--test_sets", "test", "--output_dir", tmp_path / "out"]
    decode_verb.main([*map(str, cmd), "--search", "lexicon", "--lexicon_text", str(tmp_path / "text")])
    lines = (tmp_path / "out/test/text").read_text().splitlines()
    said = {word for line in lines for word in line.split()[1:]}
    assert len(lines) == 5 and said and said <= {"AB", "CB"}
    with pytest.raises(UserError, match="belong together"):
        decode_verb.main([*map(str, cmd), "--search", "lexicon"])
    with pytest.raises(UserError, match="--search greedy knows no beam"):
        decode_verb.main([*map(str, cmd), "--beam_size", "10"])
    with pytest.raises(UserError, match="--word_score belongs to --search lexicon"):
        decode_verb.main([*map(str, cmd), "--search", "beam", "--word_score", "1"])


def test_tuning_writes_the_best_of_the_grid(exp_dir, data_dir, tmp_path, capsys):  # noqa: F811
    names = [line.split()[0] for line in (data_dir / "wav.scp").read_text().splitlines()]
    (data_dir / "text").write_text("".join(f"{name} AB\n" for name in names))
    output = tmp_path / "tuned.yaml"
    cmd = ["--exp_dir", exp_dir, "--data_dir", data_dir.parent, "--test_sets", "test", "--search", "lexicon",
           "--lexicon_text", data_dir / "text",
           "--emission_scales", 1, 2, "--word_scores", -50, 0, "--tune", output]  # fmt: skip
    decode_verb.main([str(word) for word in cmd])
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("emission")]
    rates = [float(line.split("WER ")[1].split()[0]) for line in lines]
    assert len(rates) == 4 and min(rates) < max(rates) and f"WER {min(rates):.2f} %" in output.read_text()
    values = yaml.safe_load(output.read_text())
    chosen = f"emission_scale {values['emission_scale']:g}, word_score {values['word_score']:g}:"
    assert values["search"] == "lexicon" and lines[rates.index(min(rates))].startswith(chosen)
    required = [word for name in ("exp_dir", "data_dir", "test_sets", "output_dir") for word in (f"--{name}", "x")]
    assert parse_with_config(decode_verb.get_parser(), ["--config", str(output), *required]).search == "lexicon"


def test_a_search_without_scores_cannot_be_tuned(tmp_path):
    cmd = ["--exp_dir", "x", "--data_dir", "x", "--test_sets", "x", "--tune", str(tmp_path / "tuned.yaml")]
    with pytest.raises(UserError, match="--tune needs --search beam or lexicon"):
        decode_verb.main(cmd)
    with pytest.raises(UserError, match="--tune takes one development set, not --test_sets 'x y'"):
        decode_verb.main([*cmd, "--test_sets", "x y", "--search", "beam"])
    with pytest.raises(UserError, match="--output_dir is missing"):
        decode_verb.main(cmd[:6])
