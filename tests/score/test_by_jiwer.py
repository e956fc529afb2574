"""The fallback scorer."""

import json
import random
import shutil
import subprocess
from dataclasses import replace

import pytest

from espnet_ext.errors import UserError
from espnet_ext.score.by_jiwer import score_by_jiwer
from espnet_ext.score.by_sclite import sclite_obstacle
from espnet_ext.score.results import read_jiwer, read_sclite

SCLITE = shutil.which("sclite") or shutil.which("sclite", path="/usr/lib/sctk/bin")


@pytest.fixture
def decoded(tmp_path):
    """Writes reference and hypothesis; returns (reference file, decoding directory)."""

    def write(references, hypotheses):
        ref, folder = tmp_path / "ref_text", tmp_path / "test"
        folder.mkdir(exist_ok=True)
        ref.write_text("".join(f"{name} {text}".rstrip() + "\n" for name, text in references.items()))
        (folder / "text").write_text("".join(f"{name} {text}".rstrip() + "\n" for name, text in hypotheses.items()))
        return ref, folder

    return write


def run(ref, folder):
    assert score_by_jiwer(ref, folder).count("WER") == 1
    return [json.loads((folder / f"score_{kind}" / "result_jiwer.json").read_text()) for kind in ("wer", "cer")]


def test_counts(decoded):
    words, characters = run(*decoded({"a": "ONE TWO THREE", "b": "FOUR"}, {"b": "", "a": "one  too three six"}))
    assert (words["substitutions"], words["deletions"], words["insertions"], words["words"]) == (1, 1, 1, 4)
    assert (words["sentences"], words["sentence_errors"]) == (2, 2)
    assert words["error_rate_percent"] == 75.0
    assert characters["words"] == len("ONE TWO THREE") + len("FOUR")


def test_counts_and_speaker_of_every_utterance(decoded):
    hypotheses = {"a": "one too three six", "b": "", "c": "uh oh", "d": "six"}
    ref, folder = decoded({"a": "ONE TWO THREE", "b": "FOUR", "c": "", "d": "SIX"}, hypotheses)
    words, _ = run(ref, folder)
    assert words["utterances"] == {
        "a": [None, 2, 1, 0, 1], "b": [None, 0, 0, 1, 0], "c": [None, 0, 0, 0, 2], "d": [None, 1, 0, 0, 0],
    }  # fmt: skip
    ref.with_name("utt2spk").write_text("a 19-198\nb 19-227\nc Ann\nd Ann\n")
    words, characters = run(ref, folder)
    # the identifiers and speakers of sclite
    assert {name: counts[0] for name, counts in words["utterances"].items()} == {
        "19-198-a": "19", "19-227-b": "19", "ann-c": "ann", "ann-d": "ann",
    }  # fmt: skip
    assert characters["utterances"]["ann-d"] == ["ann", 3, 0, 0, 0]


def test_a_speaker_is_missing(decoded):
    ref, folder = decoded({"a": "one", "b": "two"}, {"a": "one", "b": "two"})
    ref.with_name("utt2spk").write_text("a ann\n")
    with pytest.raises(UserError, match="utt2spk: no speaker of utterance b"):
        run(ref, folder)


@pytest.mark.parametrize(
    "references, hypotheses, message",
    [
        ({"a": "one", "b": "two"}, {"a": "one"}, "test/text: 1 utterances of .*ref_text are not in it .b."),
        ({"a": "one"}, {"a": "one", "c": "x"}, "ref_text: 1 utterances of .*test/text are not in it .c."),
        ({"a": ""}, {"a": "one"}, "no reference word"),
    ],
)
def test_bad_input_is_named(decoded, references, hypotheses, message):
    with pytest.raises(UserError, match=message):
        run(*decoded(references, hypotheses))


def test_an_utterance_twice_is_named(decoded):
    ref, folder = decoded({"a": "one"}, {"a": "one"})
    ref.write_text("a one\na one\n")
    with pytest.raises(UserError, match=r"ref_text:2: utterance a occurs twice"):
        run(ref, folder)


def test_not_decoded_yet(tmp_path):
    with pytest.raises(UserError, match="stage 12"):
        run(tmp_path / "ref", tmp_path / "none")


def test_lines_end_at_line_feeds_alone(decoded):
    references = {"a": "one\x85two", "b": "three\u2028four", "c": "five\x0csix"}
    words, _ = run(*decoded(references, {"a": "one two", "b": "three four", "c": "five six"}))
    assert (words["sentences"], words["words"], words["error_rate_percent"]) == (3, 6, 0.0)


def test_bytes_that_are_not_utf8_are_named(decoded):
    ref, folder = decoded({"a": "one"}, {"a": "one"})
    ref.write_bytes(b"a one\nb \xe9\n")
    with pytest.raises(UserError, match="ref_text is not UTF-8 .*line 2"):
        run(ref, folder)


def test_what_sclite_cannot_score_is_told():
    told = sclite_obstacle
    assert "reference of b: '{' begins" in told({"a": "x", "b": "one {two"}, {"a": "x", "b": "x"}, {"a": "s", "b": "s"})
    assert "hypothesis of a: '@' is no word" in told({"a": "x"}, {"a": "@ x"}, {"a": "s"})
    assert "s(1)-a: '(' begins" in told({"a": "x"}, {"a": "x"}, {"a": "s(1)"})
    assert "S-a: the same identifier" in told({"A": "x", "a": "x"}, {"A": "x", "a": "x"}, {"A": "s", "a": "S"})
    assert told({"a": "x (y) } / é"}, {"a": ""}, {"a": "s"}) is None


@pytest.mark.skipif(SCLITE is None, reason="sclite is not installed")
@pytest.mark.parametrize(("one", "other"), [("ÄRGER Über", "ärger über"), ("É é", "é é"), ("ONE Two", "one TWO")])
def test_case_counts_as_by_sclite(decoded, tmp_path, one, other):
    words, _ = run(*decoded({"s-1": one}, {"s-1": other}))
    for name, text in (("ref", one), ("hyp", other)):
        (tmp_path / f"{name}.trn").write_text(f"{text}\t(s-1)\n")
    trn = ["-r", str(tmp_path / "ref.trn"), "trn", "-h", str(tmp_path / "hyp.trn"), "trn"]
    out = subprocess.run([SCLITE, *trn, "-i", "rm", "-o", "all", "stdout"], check=True, capture_output=True)
    (tmp_path / "result.txt").write_bytes(out.stdout)
    assert words["substitutions"] == read_sclite(tmp_path / "result.txt").substitutions


@pytest.mark.skipif(SCLITE is None, reason="sclite is not installed")
def test_same_counts_as_sclite(decoded, tmp_path):
    """On sentences with few errors the two alignments agree, as do upper and lower case."""
    rng = random.Random(0)
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    references, hypotheses = {}, {}
    for number in range(200):
        words = [rng.choice(names) for _ in range(rng.randint(1, 7))]
        references[f"u{number}"] = " ".join(words).upper()
        kind, place = rng.choice(["none", "sub", "del", "ins"]), rng.randrange(len(words))
        if kind == "sub":
            words[place] = "wrong"
        elif kind == "del":
            del words[place]
        elif kind == "ins":
            words.insert(place, "extra")
        hypotheses[f"u{number}"] = " ".join(words)
    ref, folder = decoded(references, hypotheses)
    speakers = "".join(f"{key} S-{int(key[1:]) % 7}\n" for key in references)  # sclite: one speaker "s"
    ref.with_name("utt2spk").write_text(speakers)
    run(ref, folder)
    words = read_jiwer(folder / "score_wer" / "result_jiwer.json")
    for name, texts in (("ref", references), ("hyp", hypotheses)):
        (tmp_path / f"{name}.trn").write_text(
            "".join(f"{text} (S-{int(key[1:]) % 7}-{key})\n" for key, text in texts.items())
        )
    trn = ["-r", str(tmp_path / "ref.trn"), "trn", "-h", str(tmp_path / "hyp.trn"), "trn"]
    out = subprocess.run([SCLITE, *trn, "-i", "rm", "-o", "all", "stdout"], check=True, capture_output=True)
    (tmp_path / "result.txt").write_bytes(out.stdout)
    official = read_sclite(tmp_path / "result.txt")
    assert official.wer > 5
    assert replace(words, tool="sclite") == official  # every utterance included
