"""The form of a corpus, into which a teacher's text is brought."""

import pytest
import sentencepiece

from espnet_ext.errors import UserError
from espnet_ext.labels.form import Form, tokenizer

UPPER = ["IT'S THE SAME OLD HOUSE", "QUIET JOKER VEXED BY MY GOLDFINCH PUZZLE"]


@pytest.mark.parametrize(
    ("like", "said", "written"),
    [
        (UPPER, " It\u2019s \u201ctwenty-one\u201d, isn't it?", "IT'S TWENTY ONE ISN'T IT"),
        (["no apostrophe here"], "It's Here.", "its here"),
        (["Both, of Them."], "It is, Mr. X!", "It is, Mr. X "),
        ([], "It's, well\u2026 HERE.", "It's well HERE"),
        (UPPER, "fi\ufb01 \uff21", "FIFI A"),  # compatibility forms
        (UPPER, "\u3000a\t b\n", "A B"),
    ],
)
def test_text_takes_the_form_of_the_transcripts(like, said, written):
    assert Form(like=like)(said) == written.strip()


@pytest.mark.parametrize(("case", "written"), [("upper", "AB C"), ("lower", "ab c"), ("keep", "aB c")])
def test_the_case_can_be_chosen(case, written):
    assert Form(case)("aB, c") == written


def test_what_is_unknown_without_and_with_tokens(tmp_path):
    assert Form(like=UPPER).unknown("I AM 3 MEN") == ["3"]
    assert Form().unknown("I AM 3 MEN") == []
    characters = tokenizer("char", None)
    assert Form(tokenize=characters, tokens=["A", "B", "<space>"]).unknown("AB \u00c4B") == ["\u00c4"]
    assert Form(tokenize=tokenizer("word", None), tokens=["AB"]).unknown("AB ABC") == ["ABC"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b ab ba aab bba"] * 3), model_prefix=str(tmp_path / "bpe"), vocab_size=6
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "bpe.model"))
    pieces = [model.id_to_piece(number) for number in range(3, model.vocab_size())]
    form = Form(tokenize=tokenizer("bpe", tmp_path / "bpe.model"), tokens=["<blank>", "<unk>", *pieces])
    assert form.unknown("ab ba") == [] and form.unknown("ab c") != []


def test_the_cleaner_comes_first():
    pytest.importorskip("whisper")
    assert Form("upper", "whisper_en")("Mr. Smith's, it's 3!") == "MISTER SMITH IS IT IS 3"
    with pytest.raises(UserError, match="cleaner nonsense: .*; give another one, or none"):
        Form(cleaner="nonsense")


def test_a_missing_model_of_sentencepiece_is_said(tmp_path):
    with pytest.raises(UserError, match="tokens of type bpe cannot be made: .*; run stage 5 again"):
        tokenizer("bpe", tmp_path / "none.model")
