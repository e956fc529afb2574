"""Tokens of every family: order, blank, special tokens; students that take them; posteriors that are comparable."""

import io
import json
from pathlib import Path

import pytest
import torch
import yaml
from espnet2.text.build_tokenizer import build_tokenizer
from espnet2.text.token_id_converter import TokenIDConverter

from espnet_ext.errors import UserError
from espnet_ext.teachers import Teacher
from espnet_ext.teachers.load import read_tokens
from espnet_ext.teachers.token_files import check_spelling, copy_tokens
from espnet_ext.teachers.tokens import TokenMap, Tokens, match_tokens
from tests.teachers.foreign import S2T_TOKENS, VOCAB, noise_batch, save, save_owsm_ctc
from tests.tiny import TOKENS, model_conf, save_experiment

SENTENCES = ("the boat left the harbour early in the morning", "a cold wind moved  quickly across the empty valley")
LETTERS = Tokens(("<pad>", "<s>", "</s>", "<unk>", "|", "A", "B", "C"), 0, "char", 3, 4, frozenset({1, 2}))


def save_parakeet(directory: Path, model_type: str = "bpe") -> tuple[Path, object]:
    """Writes a Parakeet with the tokenizer that transformers makes of a model of sentencepiece, the blank last.

    Returns:
        The directory, and sentencepiece's processor of the original model.
    """
    import sentencepiece
    from transformers import ParakeetTokenizer
    from transformers.convert_slow_tokenizer import ParakeetConverter, SpmConverter

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3),
        model_writer=written,
        vocab_size={"bpe": 60, "unigram": 32}[model_type],
        model_type=model_type,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    directory.mkdir(parents=True)
    (directory / "original.model").write_bytes(written.getvalue())
    if model_type == "bpe":
        tokenizer = ParakeetConverter(str(directory / "original.model")).converted()
    else:
        tokenizer = SpmConverter(type("Slow", (), {"vocab_file": str(directory / "original.model")})()).converted()
    tokenizer = ParakeetTokenizer(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")
    save(directory, "parakeet", tokenizer=False, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    tokenizer.save_pretrained(directory)
    return directory, sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


def test_a_list_of_espnet_is_taken_as_it_is(tmp_path):
    exp = save_experiment(tmp_path / "asr", token_type="char", **model_conf(1))
    assert read_tokens(str(exp)).token_list() == TOKENS
    assert read_tokens(str(exp)) == Teacher.from_pretrained(str(exp)).tokens
    assert copy_tokens(str(exp), tmp_path / "lists") == "--token_type char"
    assert (tmp_path / "lists/char/tokens.txt").read_text().split() == TOKENS
    assert match_tokens(read_tokens(str(exp)), TOKENS, 0, "student e1", "asr") is None


def test_letters_of_transformers(tmp_path):
    """`|` is a blank, the padding CTC's blank, begin and end are no text; decoding gives plain words."""
    name = f"transformers:{save(tmp_path / 'model', 'wav2vec2_layer')}"
    assert read_tokens(name) == Teacher.from_pretrained(name).tokens == LETTERS
    assert copy_tokens(name, tmp_path) == "--token_type char"
    listed = (tmp_path / "char/tokens.txt").read_text().splitlines()
    assert listed == ["<blank>", "<unk>", "<space>", "A", "B", "C", "<sos/eos>"]
    tokenizer, converter = build_tokenizer("char"), TokenIDConverter(listed)
    ids = converter.tokens2ids(tokenizer.text2tokens("AB CAB"))
    change = match_tokens(LETTERS, listed, 0, "student e1", name)
    assert [LETTERS.symbols[change.order[i]] for i in ids] == list("AB|CAB")
    assert tokenizer.tokens2text(converter.ids2tokens(ids)) == "AB CAB"
    assert Teacher.from_pretrained(name).text([change.order[i] for i in ids]) == "AB CAB"


def test_posteriors_of_letters_are_those_of_the_teacher():
    """What is no text is blank to students; what the teacher lacks is as improbable as its least probable token."""
    listed = LETTERS.token_list()
    logits = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    change = match_tokens(LETTERS, listed, 0, "student e1", "x")
    theirs, ours = logits.softmax(-1), change(logits).softmax(-1)
    extra = 1 - ours[..., -1:]  # without <sos/eos>
    torch.testing.assert_close(ours[..., :1] / extra, theirs[..., :3].sum(-1, keepdim=True))
    torch.testing.assert_close(ours[..., 1:-1] / extra, theirs[..., 3:])
    mapped = change(logits)
    assert torch.equal(mapped[..., -1], mapped[..., :-1].amin(-1)) and mapped.isfinite().all()
    assert torch.equal(logits, torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)))  # is left as it was


def test_students_with_letters_of_their_own_recipe_are_compared_too():
    own = ["<blank>", "<unk>", "C", "<space>", "B", "A", "<sos/eos>"]
    assert match_tokens(LETTERS, own, 0, "student e1", "x") == TokenMap((0, 3, 7, 4, 6, 5, 8), (1, 2), 0)


@pytest.mark.parametrize(
    "ours, blank, message",
    [
        ([*LETTERS.token_list(), "Z"], 0, "x has 8 tokens, student e1 8 .same number, other tokens.: .* alone has 'Z'"),
        (["<blank>", "<unk>", "<space>", "A", "B"], 0, "student e1 5: the teacher alone has 'C'"),
        ([*LETTERS.token_list(), "|"], 0, "student e1 has one of them twice"),
        (
            ["A", "<blank>", "<unk>", "<space>", "B", "C"],
            0,
            "the blank is token 0 of teacher x and token 0 of student e1",
        ),
    ],
)
def test_other_tokens_are_refused(ours, blank, message):
    with pytest.raises(UserError, match=message):
        match_tokens(LETTERS, ours, blank, "student e1", "x")


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_pieces_of_parakeet(tmp_path, model_type):
    """The blank is last there and first here; text becomes the same pieces, and pieces the same text."""
    directory, original = save_parakeet(tmp_path / "model", model_type)
    name = f"transformers:{directory}"
    tokens = read_tokens(name)
    size = len(tokens.symbols)
    assert tokens.blank == size - 1 and tokens.kind == "bpe" and tokens.symbols[0] == "<unk>"
    assert copy_tokens(name, tmp_path) == f"--token_type bpe --nbpe {size + 1} --bpemode unigram"
    folder = tmp_path / f"bpe_unigram{size + 1}"
    listed = (folder / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert listed == ["<blank>", *tokens.symbols[:-1], "<sos/eos>"]
    change = match_tokens(tokens, listed, 0, "student e1", name)
    assert change.order == (size - 1, *range(size - 1), size) and not change.folded
    tokenizer, converter = build_tokenizer("bpe", bpemodel=str(folder / "bpe.model")), TokenIDConverter(listed)
    teacher = Teacher.from_pretrained(name)
    for text in (*SENTENCES, "the wind left", "harbour", "a b  c d", "moved over"):
        pieces = tokenizer.text2tokens(text)
        assert pieces == original.encode(text, out_type=str)
        theirs = [change.order[i] for i in converter.tokens2ids(pieces)]
        assert theirs == teacher.tokenizer(text, add_special_tokens=False)["input_ids"]
        if 0 not in theirs:
            assert tokenizer.tokens2text(pieces) == teacher.text(theirs) == " ".join(text.split())


def test_owsm_ctc_says_no_languages_to_students(tmp_path):
    name = f"owsm_ctc:{save_owsm_ctc(tmp_path / 'exp')}"
    tokens = read_tokens(name)
    assert tokens == Teacher.from_pretrained(name).tokens
    assert copy_tokens(name, tmp_path) == "--token_type word"
    listed = (tmp_path / "word/tokens.txt").read_text().splitlines()
    assert listed == ["<blank>", "<unk>", "one", "two", "three", "<sos/eos>"]
    change = match_tokens(tokens, listed, 0, "student e1", name)
    assert {S2T_TOKENS[i] for i in change.folded} == {name for name in S2T_TOKENS if name[0] == "<"} - {
        "<blank>",
        "<unk>",
    }
    speech, lengths = noise_batch()
    logits = Teacher.from_pretrained(name)(speech, lengths, ["logits"]).logits
    assert change(logits).shape[-1] == 6
    assert match_tokens(tokens, S2T_TOKENS, 0, "student e1", name) is None  # the whole list as before


def test_what_has_no_tokens_is_said(tmp_path):
    encoder = f"transformers:{save(tmp_path / 'encoder', 'wavlm_encoder')}"
    untold = f"transformers:{save(tmp_path / 'untold', 'wavlm', tokenizer=False)}"
    for name in (encoder, untold, "whisper:base"):
        assert read_tokens(name) is None
        with pytest.raises(UserError, match="has no CTC output whose tokens are known, not bpe, char, word"):
            copy_tokens(name, tmp_path)
    exp = save_experiment(tmp_path / "att", **model_conf(1))
    config = yaml.safe_load((exp / "config.yaml").read_text())
    (exp / "config.yaml").write_text(yaml.safe_dump(config | {"model_conf": {"ctc_weight": 0.0}}))
    assert read_tokens(str(exp)) is None


def test_transcripts_of_another_spelling_are_refused(tmp_path):
    copy_tokens(f"transformers:{save(tmp_path / 'model', 'wavlm')}", tmp_path)
    folder = tmp_path / "char"
    assert check_spelling(["ABC CAB", "A"], folder, "char", "none") == ""
    said = check_spelling(["ABC CAB ABC BA A", "A'"], folder, "char", "none")
    assert said.startswith("5.6 % of the tokens") and said.endswith("most often: '")
    with pytest.raises(UserError, match="85.7 % of the tokens .* most often: a b c; write the transcripts"):
        check_spelling(["abc cab"], folder, "char", "none")


def test_the_list_of_a_family_is_written_by_the_verb(tmp_path, capsys):
    from espnet_ext.cli import derive

    name = f"transformers:{save(tmp_path / 'model', 'hubert')}"
    derive.main(["tokens", "--teacher", name, "--token_dir", str(tmp_path / "lists")])
    assert capsys.readouterr().out == "--token_type char\n"
    assert json.loads((tmp_path / "model/vocab.json").read_text()) == VOCAB
