"""Reading of scores."""

from pathlib import Path

import pytest

from espnet_ext.errors import UserError
from espnet_ext.report.scores import find_score, read_sclite

SCLITE_RESULT = Path(__file__).with_name("sclite_result.txt")  # written by sclite 2.10 for two AN4 utterances


def test_rates_come_from_the_counts():
    score = read_sclite(SCLITE_RESULT)
    assert (score.tool, score.sentences, score.words, score.sentence_errors) == ("sclite", 2, 67, 2)
    assert f"{score.wer:.2f}" == "176.12"  # sclite itself prints 176.1
    assert [round(value, 1) for value in score.rows()] == [25.4, 74.6, 0.0, 101.5, 176.1, 100.0]


def test_sclite_goes_before_jiwer_and_org_is_found(tmp_path):
    folder = tmp_path / "org" / "valid" / "score_wer"
    folder.mkdir(parents=True)
    assert find_score(tmp_path, "valid") is None
    (folder / "result_jiwer.json").write_text("{}")
    (folder / "result.txt").write_bytes(SCLITE_RESULT.read_bytes())
    assert find_score(tmp_path, "valid").tool == "sclite"


@pytest.mark.parametrize("name, text", [("result.txt", "sclite: error\n"), ("result_jiwer.json", '{"words": 3}')])
def test_a_broken_result_is_named(tmp_path, name, text):
    folder = tmp_path / "test" / "score_wer"
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=name):
        find_score(tmp_path, "test")
