"""Tokens of the teacher in a recipe, and the check that students can be compared with its CTC output."""

import pytest

from espnet_ext.errors import UserError
from espnet_ext.recipe.checks import check_tokens
from espnet_ext.recipe.data import _make_tokens
from espnet_ext.record import Record
from tests.recipes.runs import options, recipe
from tests.recipes.tiny_conf import write_tiny_conf
from tests.teachers.foreign import save

pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A recipe's directory with the transcripts of stage 4, and a teacher beside it."""
    monkeypatch.chdir(tmp_path)
    write_tiny_conf(tmp_path / "tiny", "conformer")
    for name in ("train", "valid"):
        (tmp_path / "dump/raw" / name).mkdir(parents=True)
        (tmp_path / "dump/raw" / name / "text").write_text("utt0 ABC CAB\nutt1 BA A\n")
    save(tmp_path / "wavlm", "wavlm")
    return tmp_path


def run(folder, *words: str):
    return recipe(folder, "--conf_dir", "tiny", "--students", "e1", "--teacher", f"transformers:{folder}/wavlm", *words)


def test_options_that_cannot_be():
    with pytest.raises(UserError, match="--token_type teacher needs --teacher"):
        options("--token_type", "teacher")
    with pytest.raises(UserError, match="'letters' is not bpe, char, word or teacher"):
        options("--token_type", "letters")


def test_each_teacher_has_tokens_and_statistics_of_its_own(folder):
    one, two = run(folder, "--token_type", "teacher"), run(folder, "--token_type", "teacher", "--teacher", "x")
    assert one.names.token_lists != two.names.token_lists and one.names.stats_dir != two.names.stats_dir
    assert one.names.token_lists.name == f"{one.names.lang}_token_list"


@pytest.mark.slow
def test_stage_5_takes_the_tokens_of_the_teacher(folder, capsys):
    given = run(folder, "--token_type", "teacher")
    _make_tokens(given)
    names = given.names
    words = given.asr(10, 10)
    said = {name: words[words.index(f"--{name}") + 1] for name in ("lang", "token_type")}
    assert said == {"lang": names.lang, "token_type": "char"}
    tokens = folder / "data" / f"{names.lang}_token_list/char/tokens.txt"  # where asr.sh looks for them
    assert names.token_dir / "tokens.txt" == tokens.relative_to(folder)
    assert tokens.read_text().split() == ["<blank>", "<unk>", "<space>", "A", "B", "C", "<sos/eos>"]
    check_tokens(given)
    before = Record.read(names.token_lists).content["started"], tokens.stat().st_mtime_ns
    _make_tokens(given)
    assert (Record.read(names.token_lists).content["started"], tokens.stat().st_mtime_ns) == before
    assert "tokens are as they were made" in capsys.readouterr().out
    (folder / "dump/raw/train/text").write_text("utt0 abc cab\n")
    with pytest.raises(UserError, match="--token_type teacher: 85.7 % of the tokens .* most often: a b c"):
        _make_tokens(given)
    assert not Record.read(names.token_lists).is_finished


@pytest.mark.slow
def test_other_tokens_are_refused_before_the_training(folder):
    given = run(folder)  # of characters of its own
    check_tokens(given)  # not there yet
    tokens = folder / "data/en_token_list/char/tokens.txt"
    tokens.parent.mkdir(parents=True)
    tokens.write_text("<blank>\n<unk>\nE\n<space>\nA\n<sos/eos>\n")
    with pytest.raises(UserError, match="'kld' on log_probs .* e1 alone has 'E'; give --token_type teacher, or"):
        check_tokens(given)
    tokens.write_text("<blank>\n<unk>\nC\n<space>\nA\nB\n<sos/eos>\n")  # the same in another order
    check_tokens(given)
    save(folder / "encoder", "wavlm_encoder")
    with pytest.raises(UserError, match="'kld' on log_probs .* has no CTC output whose tokens are known"):
        check_tokens(run(folder, "--teacher", f"transformers:{folder}/encoder"))
    frames = folder / "tiny/encrl.yaml"
    frames.write_text(frames.read_text().replace("log_probs", "encoder").replace("kld", "cosine"))
    check_tokens(run(folder, "--teacher", f"transformers:{folder}/encoder"))
