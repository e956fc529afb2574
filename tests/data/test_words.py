"""Tokens are joined as ESPnet's tokenizers join them, and both commands do it."""

import random
from pathlib import Path

import pytest
from espnet2.text.build_tokenizer import build_tokenizer

from espnet_ext.cli import decode as decode_verb
from espnet_ext.cli import transcribe as command
from espnet_ext.data.words import Word, check_token_type, group_words, guess_token_type, join_tokens
from espnet_ext.errors import UserError
from tests.decode.spoken import export, pieces_of, save_spoken, train_bpe

EURO = ["<0xE2>", "<0x82>", "<0xAC>"]


def words(tokens: list[str], token_type: str = "bpe") -> list[Word]:
    """Joins tokens that are said a second apart, in frames of a second."""
    return list(group_words(zip(tokens, range(len(tokens)), strict=True), 1.0, token_type))


@pytest.mark.parametrize(
    "tokens, text",
    [
        (["▁a", "<unk>", "▁b"], "a ⁇  b"),
        (["▁a", "<unk>", "c"], "a ⁇ c"),
        (["<unk>"], " ⁇ "),
        (["▁a", *EURO, "c"], "a€c"),
        (EURO, "€"),
        (["▁a", *EURO[:2], "c", *EURO[1:]], "a��c��"),
        (["▁", "▁a", "▁of▁the"], "a of the"),
        (["<s>", "▁a", "</s>"], "a"),
        (["▁a", "<0x20>", "b"], "a b"),
    ],
)
def test_text_of_pieces(tokens, text):
    assert join_tokens(tokens, "bpe") == text
    assert [word.text for word in words(tokens)] == text.split()


def test_times_of_words_that_tokens_divide():
    assert words(["▁a", "<unk>", "c", *EURO, "▁d"]) == [
        Word("a", 0, 1), Word("⁇", 1, 2), Word("c€", 2, 6), Word("d", 6, 7),
    ]  # fmt: skip
    assert words(["▁", *EURO, "b"]) == [Word("€b", 1, 5)]
    assert words(["▁of▁the", "m"]) == [Word("of", 0, 1), Word("them", 0, 2)]
    # A character that lacks a byte is over when another token comes.
    assert words([*EURO[:2], "▁b"]) == [Word("��", 0, 2), Word("b", 2, 3)]


def test_a_word_comes_when_the_next_one_begins():
    read = []

    def tokens():
        for frame, token in enumerate(["▁a", "b", "▁c", "d"]):
            read.append(token)
            yield token, frame

    assert next(group_words(tokens(), 1.0, "bpe")) == Word("ab", 0, 2)
    assert read == ["▁a", "b", "▁c"]


@pytest.fixture(scope="module")
def bpe_model(tmp_path_factory) -> Path:
    return train_bpe(tmp_path_factory.mktemp("bpe"))


def test_any_pieces_give_sentencepieces_text(bpe_model):
    tokenizer = build_tokenizer("bpe", bpemodel=bpe_model)
    pieces = pieces_of(bpe_model)
    often = ["<unk>", "▁", "<s>", "▁the", "<0xF0>", "<0x9F>", "<0xED>", "<0xA0>", "<0x0A>", *EURO]
    rng = random.Random(0)
    for _ in range(5000):
        tokens = [rng.choice(pieces if rng.random() < 0.4 else often) for _ in range(rng.randint(0, 12))]
        text = tokenizer.tokens2text(tokens)
        assert join_tokens(tokens, "bpe") == text, tokens
        assert [word.text for word in words(tokens)] == text.split(), tokens


@pytest.mark.parametrize(
    "token_type, tokens",
    [
        ("char", ["<space>", "a", "<unk>", "<space>", "▁", "<noise>", "b"]),
        ("word", ["one", "<unk>", "▁two", "three"]),
        ("phn", ["HH", "AY1", "<space>", "<unk>"]),
    ],
)
def test_other_tokens_give_the_text_of_espnets_tokenizers(token_type, tokens):
    text = build_tokenizer(token_type).tokens2text(tokens)
    assert join_tokens(tokens, token_type) == text
    assert [word.text for word in words(tokens, token_type)] == text.split()


def test_type_of_tokens_in_files_that_do_not_name_it():
    assert guess_token_type(["<blank>", "<unk>", "▁a", "b"]) == "bpe"
    assert guess_token_type(["<blank>", "<unk>", "<space>", "a"]) == "char"


def test_both_commands_print_the_same_text(bpe_model, tmp_path, capsys):
    said, text = ["▁the", "<unk>", *EURO, "c", "▁a", "<0xF0>"], "the ⁇ €c a�"
    data = tmp_path / "raw/test"
    data.mkdir(parents=True)
    exp_dir = save_spoken(data, said, pieces_of(bpe_model), token_type="bpe", bpemodel=str(bpe_model))
    options = [
        "--exp_dir",
        exp_dir,
        "--data_dir",
        data.parent,
        "--test_sets",
        "test",
        "--output_dir",
        tmp_path / "greedy",
    ]
    decode_verb.main([*map(str, options), "--audio_format", "wav", "--ctm", "true"])
    (found,) = (tmp_path / "greedy").rglob("text")
    assert found.read_text(encoding="utf-8").split() == ["a", *text.split()]
    ctm = (found.parent / "ctm").read_text(encoding="utf-8").splitlines()
    assert [line.split()[4] for line in ctm] == text.split()
    for model in (exp_dir, export(data)):
        capsys.readouterr()
        command.main(["--model", str(model), str(data / "a.wav")])
        assert capsys.readouterr().out == f"{data}/a.wav\t{text}\n"


def test_words_of_a_word_model_are_words_on_a_device_too(tmp_path, capsys):
    tokens = ["<blank>", "<unk>", "one", "two", "three", "<sos/eos>"]
    save_spoken(tmp_path, ["two", "one", "<unk>"], tokens, token_type="word")
    model = export(tmp_path)
    capsys.readouterr()
    command.main(["--model", str(model), str(tmp_path / "a.wav")])
    assert capsys.readouterr().out.split()[1:] == ["two", "one", "<unk>"]


def test_tokens_that_need_their_tokenizer_are_refused():
    for token_type in ("hugging_face", "whisper_multilingual"):
        with pytest.raises(UserError, match=f"tokens of the type {token_type} cannot be joined"):
            check_token_type(token_type)
