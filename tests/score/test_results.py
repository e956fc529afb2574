"""Reading of scores."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from espnet_ext.errors import UserError
from espnet_ext.score.results import Score, Utterance, find_score, read_jiwer, read_sclite

# Written by sclite 2.10 for two AN4 utterances; only the tables, as `sclite -o sum rsum` leaves them.
SCLITE_RESULT = Path(__file__).with_name("sclite_result.txt")
SCLITE = shutil.which("sclite") or shutil.which("sclite", path="/usr/lib/sctk/bin")


def alignments(counts="9 22 0 44"):
    """What `sclite -o all` appends to those tables; the identifiers hold a hyphen as those of LibriSpeech do."""
    return f"""
		DUMP OF SYSTEM ALIGNMENT STRUCTURE

Speakers:
    0:  fcaw
    1:  mmxg

Speaker sentences   0:  fcaw   #utts: 1
id: (fcaw-134-fcaw-134-0001)
Scores: (#C #S #D #I) {counts}
REF:  a b
HYP:  a c
Eval:   S

Speaker sentences   1:  mmxg   #utts: 1
id: (mmxg-Cen2)
Scores: (#C #S #D #I) 8 28 0 24
REF:  a b
"""


def test_rates_come_from_the_counts():
    score = read_sclite(SCLITE_RESULT)
    assert (score.tool, score.sentences, score.words, score.sentence_errors) == ("sclite", 2, 67, 2)
    assert f"{score.wer:.2f}" == "176.12"  # sclite itself prints 176.1
    assert [round(score.percent(count), 1) for count in (score.correct, score.substitutions)] == [25.4, 74.6]
    assert score.utterances is None


def test_utterances_with_their_speakers(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text(SCLITE_RESULT.read_text() + alignments())
    score = read_sclite(path)
    assert score.utterances == {
        "fcaw-134-fcaw-134-0001": Utterance("fcaw", 9, 22, 0, 44),
        "mmxg-cen2": Utterance("mmxg", 8, 28, 0, 24),
    }
    first = score.utterances["fcaw-134-fcaw-134-0001"]
    assert (first.words, first.errors) == (31, 66)


def test_utterances_that_do_not_sum_up_are_refused(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text(SCLITE_RESULT.read_text() + alignments("10 21 0 44"))
    with pytest.raises(UserError, match=r"result.txt: the counts of its 2 utterances do not sum up.*stage 13"):
        read_sclite(path)
    path.write_text((SCLITE_RESULT.read_text() + alignments()).partition("Speaker sentences   1")[0])
    with pytest.raises(UserError, match="its 1 utterances do not sum up to its total of 2 sentences"):
        read_sclite(path)


@pytest.mark.skipif(SCLITE is None, reason="sclite is not installed")
def test_real_sclite(tmp_path):
    """Empty references and hypotheses, hyphens in identifiers, a speaker with upper case; random errors."""
    rng = random.Random(0)
    names = [
        f"{speaker}-{speaker}-{number}"
        for speaker in ("1089-134686", "1089-134691", "Ann", "b_2")
        for number in range(9)
    ]
    texts = {name: [rng.choice("abcdefgh") for _ in range(rng.randint(0, 8))] for name in names}
    for file, change in (("ref", 0.0), ("hyp", 0.3)):
        lines = [
            " ".join(rng.choice(["x", "y z", ""]) if rng.random() < change else word for word in words)
            + f"\t({name})\n"
            for name, words in texts.items()
        ]
        (tmp_path / f"{file}.trn").write_text("".join(lines))
    trn = ["-r", str(tmp_path / "ref.trn"), "trn", "-h", str(tmp_path / "hyp.trn"), "trn"]
    out = subprocess.run([SCLITE, *trn, "-i", "rm", "-o", "all", "stdout"], check=True, capture_output=True)
    path = tmp_path / "result.txt"
    path.write_bytes(out.stdout)
    score = read_sclite(path)
    assert list(score.utterances) == [name.lower() for name in names]
    assert {name: utterance.words for name, utterance in score.utterances.items()} == {
        name.lower(): len(words) for name, words in texts.items()
    }
    # sclite's own speaker: up to the first hyphen, so both chapters of a reader are one speaker
    assert {utterance.speaker for utterance in score.utterances.values()} == {"1089", "ann", "b_2"}
    assert sum(utterance.errors for utterance in score.utterances.values()) == round(score.wer * score.words / 100) > 20


def test_json_and_back(tmp_path):
    score = Score(
        "jiwer", 2, 5, 3, 1, 1, 2, 2, {"s-a": Utterance("s", 3, 1, 0, 2), 'q"-b': Utterance(None, 0, 0, 1, 0)}
    )
    path = tmp_path / "result_jiwer.json"
    path.write_text(score.to_json())
    assert read_jiwer(path) == score
    without = Score("jiwer", 2, 5, 3, 1, 1, 2, 2)  # as earlier versions wrote it
    path.write_text(without.to_json())
    assert "utterances" not in path.read_text() and read_jiwer(path) == without


def test_the_newest_score_counts_and_org_is_found(tmp_path):
    folder = tmp_path / "org" / "valid" / "score_cer"
    folder.mkdir(parents=True)
    assert find_score(tmp_path, "valid", "cer") is None
    (folder / "result_jiwer.json").write_text(Score("jiwer", 2, 5, 3, 1, 1, 2, 2).to_json())
    (folder / "result.txt").write_bytes(SCLITE_RESULT.read_bytes())
    os.utime(folder / "result_jiwer.json", (1, 1))
    assert find_score(tmp_path, "valid", "cer").tool == "sclite"
    os.utime(folder / "result.txt", (0, 0))  # scored again where there was no sclite
    assert find_score(tmp_path, "valid", "cer").tool == "jiwer"
    assert find_score(tmp_path, "valid", "wer") is None


@pytest.mark.parametrize("name, text", [("result.txt", "sclite: error\n"), ("result_jiwer.json", '{"words": 3}')])
def test_a_broken_result_is_named(tmp_path, name, text):
    folder = tmp_path / "test" / "score_wer"
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=name):
        find_score(tmp_path, "test")
