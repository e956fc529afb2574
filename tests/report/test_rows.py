"""The rows of a report from a file."""

import csv
import re
from pathlib import Path

import pytest
import yaml

from espnet_ext.cli import report
from espnet_ext.errors import UserError

CTC = [{"loss": 9.0, "cer_ctc": 0.5}, {"loss": 4.0, "cer_ctc": 0.2}]
TEXTS = {f"utt{n}": "one two three four five six seven eight nine ten" for n in range(12)}


def write(content):
    Path("rows.yaml").write_text(yaml.safe_dump(content))
    report.main(["--rows", "rows.yaml"])


def table(name="RESULTS.csv"):
    with open(name, encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def decoded(recipe, name, wrong, blocks=1, seconds=10.0):
    """Trains, decodes and scores; 12 utterances of 10 words and 6 speakers."""
    exp_dir = recipe.train(name, blocks, CTC, seconds, {"model": "e1", "source": "scratch", "parents": []})
    recipe.score(exp_dir, "test", wrong, TEXTS, speakers=6)
    return f"{exp_dir}/decode"


@pytest.fixture
def content(recipe):
    """Row b has two seeds, 24 and 36 errors of 120 words; row a one, 60 errors."""
    return {
        "title": "Table 1",
        "test_sets": ["test"],
        "rows": [
            {"label": "b", "compare_to": "a", "published": {"clean": 6.27, "other": 17.47}, "note": "a *free* note.",
             "decode_dirs": [decoded(recipe, "seed1/asr_b", 24), decoded(recipe, "seed2/asr_b", 36, seconds=30.0)]},
            {"label": "a", "decode_dirs": [decoded(recipe, "seed1/asr_a", 60, blocks=2)], "published": {"clean": 8}},
            {"label": "c", "decode_dirs": ["exp/seed1/asr_c/decode"], "compare_to": "a"},
        ],
    }  # fmt: skip


def test_seeds_comparison_and_published(content, capsys):
    write(content)
    b, a, c = table()
    assert [row["system"] for row in (b, a, c)] == ["b", "a", "c"]  # the order of the file, not of the sizes
    assert float(b["wer_percent"]) == pytest.approx(25) and b["seeds"] == "2"
    assert (float(b["wer_seed_min"]), float(b["wer_seed_max"])) == pytest.approx((20, 30))
    assert float(b["wer_low"]) < 25 < float(b["wer_high"])
    assert float(b["training_sec"]) == pytest.approx((20 + 60) / 2)
    assert b["compared_to"] == "a" and float(b["wer_difference_points"]) == pytest.approx(-25)
    assert float(b["relative_difference_percent"]) == pytest.approx(-50)
    assert float(b["wer_difference_low"]) < -25 < float(b["wer_difference_high"])
    assert (b["published clean"], b["published other"], a["published other"]) == ("6.27", "17.47", "")
    assert b["resampled"] == "6 speakers"
    assert a["compared_to"] == a["wer_difference_points"] == c["wer_percent"] == c["parameters"] == ""

    printed = capsys.readouterr().out
    line = next(row for row in printed.splitlines() if row.startswith("| b "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[3].startswith("25.00 [") and cells[4] == "20.00 to 30.00 (2)" and cells[5].startswith("-25.00 (p=")
    assert cells[6] == "a" and cells[9:] == ["40.0", "6.27 / 17.47"]
    assert re.search(r"\*published\* \|\n", printed) and "on clean / other" in printed
    assert "b: a *free* note." in printed
    assert "c (exp/seed1/asr_c): does not exist (yet)." in printed
    assert "6 speakers are few" in printed


def test_pairs(content):
    content["rows"][2] |= {"decode_dirs": content["rows"][1]["decode_dirs"]}
    write(content)
    pairs = [row for row in table("RESULTS_pairwise.csv") if row["kind"] == "wer"]
    assert [(row["first"], row["second"]) for row in pairs] == [("b", "a"), ("b", "c"), ("a", "c")]
    assert float(pairs[0]["difference_points"]) == pytest.approx(-25)
    assert (float(pairs[2]["difference_points"]), float(pairs[2]["p_value"])) == (0, 1)  # the same model
    assert pairs[0]["p_value"] == pairs[1]["p_value"] == table()[0]["wer_p_value"]
    page = Path("RESULTS.html").read_text()
    assert "p-values of the WER of every two systems" in page and ">1.000</td>" in page
    assert "p-values" not in Path("RESULTS.md").read_text().partition("\n## ")[2]


def test_a_row_with_published_numbers_only(content):
    content["rows"] = [{"label": "paper", "published": {"clean": 5.6}}, *content["rows"][:2]]
    write(content)
    assert table()[0]["published clean"] == "5.6" and table()[0]["wer_percent"] == ""


def test_nothing_is_there_yet(recipe):
    write({"test_sets": ["test"], "rows": [{"label": "a", "decode_dirs": ["exp/asr_a/decode"]}]})
    assert (
        Path("RESULTS.md").read_text().startswith("# Results\n")
        and "Not scored yet: test." in Path("RESULTS.html").read_text()
    )
    assert not list(recipe.root.rglob("*.png"))


def test_seeds_of_different_size_are_refused(content):
    content["rows"][0]["decode_dirs"] += content["rows"][1]["decode_dirs"]
    with pytest.raises(
        UserError, match=r"row 1 \('b'\): decode_dirs are models of different size \(\d+, \d+ parameters\)"
    ):
        write(content)


ROW = {"label": "first", "decode_dirs": []}


@pytest.mark.parametrize(
    "content, message",
    [
        ({"test_set": ["test"]}, "rows.yaml: unknown key 'test_set'; did you mean 'test_sets'"),
        ({"test_sets": [], "rows": [ROW]}, "test_sets is empty"),
        ({"test_sets": "test", "rows": [ROW]}, "test_sets must be a list"),
        ({"test_sets": ["test"], "rows": {"label": "x"}}, "rows must be a list"),
        ({"test_sets": ["test"], "rows": [ROW | {"decode_dir": []}]},
         "row 1: unknown key 'decode_dir'; did you mean 'decode_dirs'"),
        ({"test_sets": ["test"], "rows": [ROW, {"decode_dirs": []}]}, "row 2: has no label"),
        ({"test_sets": ["test"], "rows": [ROW, ROW]}, "the label 'first' occurs twice"),
        ({"test_sets": ["test"], "rows": [ROW, {"label": "b", "compare_to": "frist"}]},
         "no row 'frist'; did you mean 'first'"),
        ({"test_sets": ["test"], "rows": [ROW | {"decode_dirs": "exp/x"}]},
         r"row 1 \('first'\): decode_dirs must be a list"),
        ({"test_sets": ["test"], "rows": [ROW | {"published": {"clean": "6 %"}}]}, "published must be"),
    ],
)  # fmt: skip
def test_bad_files_are_explained(recipe, content, message):
    with pytest.raises(UserError, match=message):
        write(content)
    assert not Path("RESULTS.md").exists()


def test_options_that_do_not_go_together(recipe, capsys):
    Path("rows.yaml").write_text(yaml.safe_dump({"test_sets": ["test"], "rows": [ROW]}))
    with pytest.raises(UserError, match="--test_sets: belongs to --exp_dirs"):
        report.main(["--rows", "rows.yaml", "--test_sets", "test"])
    with pytest.raises(UserError, match="--inference_tag: is missing"):
        report.main(["--exp_dirs", "exp/x"])
    with pytest.raises(UserError, match="not allowed with argument"):
        report.main(["--rows", "rows.yaml", "--exp_dirs", "exp/x"])
    with pytest.raises(UserError, match="nowhere.yaml does not exist"):
        report.main(["--rows", "nowhere.yaml"])
