"""What is taken for sclite's own syntax is what the real sclite does not count as it is."""

import shutil
import subprocess
from pathlib import Path

import pytest

from espnet_ext.cli import check as check_verb
from espnet_ext.data.sclite import fold_case, id_problem, text_problem
from espnet_ext.errors import UserError
from espnet_ext.score.results import Score, read_sclite
from tests.recipes.stages import write_data_dir

SCLITE = shutil.which("sclite") or shutil.which("sclite", path="/usr/lib/sctk/bin")
needs_sclite = pytest.mark.skipif(SCLITE is None, reason="sclite is not installed")

# fmt: off
PLAIN = (
    "one two", "}", "a}", "/", "a/b", "( x )", "(x)", "x (y)", "x(2)", "one ;;", "; a", "a ; ; b", "<unk> a", "<", "a>",
    "[x] a", "*", "a ***", "a*b", "&", "%hes", "#", "\\", "a\\b", "|", "~", "^", "$", "`", "'", '"', "-", "--", "_",
    "=", "+", "!", "?", ":", ",", ".", "=>", "NULL", "é", "日本 語", "a-b", "100 %", "ß",
)
SYNTAX = (
    "{", "one { two", "a{b", "{ a / b }", "{a/b}", "\\{", "one {", "@", "one @ two", "a@b", "@ @", ";; one", ";;",
    ";;a", "** one", "***", "**a",
)
# fmt: on


def score(directory: Path, ref: dict[str, str], hyp: dict[str, str]) -> Score:
    """Scores texts by identifier with sclite, as asr.sh does."""
    for name, texts in (("ref", ref), ("hyp", hyp)):
        lines = "".join(f"{text}\t({identifier})\n" for identifier, text in texts.items())
        (directory / f"{name}.trn").write_text(lines, encoding="utf-8")
    command = [SCLITE, "-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "rm", "-o", "all", "stdout"]
    ran = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    assert ran.returncode == 0
    (directory / "result.txt").write_bytes(ran.stdout)
    return read_sclite(directory / "result.txt")


def tokens_of(text: str, characters: bool) -> list[str]:
    """Splits as ESPnet's tokenize_text does."""
    return ["<space>" if char == " " else char for char in text] if characters else text.split()


def counts_all(directory: Path, text: str, identifier: str = "s-2") -> bool:
    """Tells whether sclite counts every word and character of a text, and finds them right where they are equal."""
    for characters in (False, True):
        tokens = tokens_of(text, characters)
        ref = {"s-1": "one two", identifier: " ".join(tokens), "s-3": "three four"}
        try:
            result = score(directory, ref, ref)
        except (AssertionError, ValueError):
            return False
        expected = {fold_case(name) for name in ref}
        if (result.words, result.correct) != (4 + len(tokens), 4 + len(tokens)) or result.utterances.keys() != expected:
            return False
    return True


@needs_sclite
@pytest.mark.parametrize("text", PLAIN)
def test_plain_text(tmp_path: Path, text: str):
    assert text_problem(text) is None
    assert counts_all(tmp_path, text)


@needs_sclite
@pytest.mark.parametrize("text", SYNTAX)
def test_text_in_the_syntax_of_sclite(tmp_path: Path, text: str):
    assert text_problem(text)
    assert not counts_all(tmp_path, text)


@needs_sclite
@pytest.mark.parametrize(
    "name", ["ann-a.b", "ann-a)b", "ann-a[1]", "ann-a{b}", "ann-a;b", "ann-a/b@c", "ann-é", "anné-É"]
)
def test_plain_ids(tmp_path: Path, name: str):
    assert id_problem(name) is None
    assert counts_all(tmp_path, "one two", name)


@needs_sclite
@pytest.mark.parametrize("name", ["ann-a(1)", "a(nn-b", "ann-("])
def test_ids_in_the_syntax_of_sclite(tmp_path: Path, name: str):
    assert id_problem(name)
    assert not counts_all(tmp_path, "one two", name)


@needs_sclite
@pytest.mark.parametrize(
    ("one", "other"), [("ONE", "one"), ("É", "é"), ("STRASSE", "straße"), ("İ", "i"), ("K", "\u212a")]
)
def test_case_is_folded_as_by_sclite(tmp_path: Path, one: str, other: str):
    assert (fold_case(one) == fold_case(other)) == (score(tmp_path, {"s-1": one}, {"s-1": other}).wer == 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("text", "b WORDS", "b {WORDS"), "text: b: '{' begins an alternation"),
        (("text", "b WORDS", "b me@home"), "text: b: '@' is no word"),
        (("text", "b WORDS", "b ;; WORDS"), "text: b: ';;' at the beginning"),
        (("utt2spk", "b b", "b b(1)"), "utt2spk: b: '(' begins an identifier"),
        (("utt2spk", "a a\nb b", "a S\nb x"), None),
    ],
)
def test_the_check_finds_it_in_sets_that_are_scored(tmp_path: Path, change: tuple[str, str, str], message: str | None):
    data_dir = write_data_dir(tmp_path, "test", {"a": "/a.flac", "b": "/b.flac"}, text="WORDS")
    file, old, new = change
    path = data_dir / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    check_verb.main(["data", str(data_dir), "--audio", "false"])
    if message is None:
        check_verb.main(["data", str(data_dir), "--audio", "false", "--scored", "true"])
    else:
        with pytest.raises(UserError, match="1 problem") as caught:
            check_verb.main(["data", str(data_dir), "--audio", "false", "--scored", "true"])
        assert message in str(caught.value)


def test_the_check_finds_identifiers_that_are_the_same_for_sclite(tmp_path: Path):
    data_dir = write_data_dir(tmp_path, "test", {"A": "/a.flac", "B": "/b.flac", "a": "/c.flac"})
    (data_dir / "utt2spk").write_text("A s\nB s\na S\n")
    check_verb.main(["data", str(data_dir), "--audio", "false"])
    with pytest.raises(UserError, match="utt2spk: a: its identifier S-a is that of A for sclite"):
        check_verb.main(["data", str(data_dir), "--audio", "false", "--scored", "true"])
