"""The comparison of trained models."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from espnet_ext.cli import report
from espnet_ext.errors import UserError

CTC = [{"loss": 9.0, "cer_ctc": 0.5}, {"loss": 4.0, "cer_ctc": 0.2}]
ENCRL = [{"loss": 3.0, "e4_loss": 2.0, "e4_mse": 1.5, "e2_loss": 1.0, "e2_mse": 0.5}] * 3


def run(exp_dirs, test_sets="test"):
    options = {"inference_tag": "decode", "inference_asr_model": "valid.cer_ctc.ave.pth", "test_sets": test_sets}
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    report.main(["--exp_dirs", *map(str, exp_dirs), *words])


def rows(name="RESULTS.csv"):
    with open(name, encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def three_models(recipe):
    teacher = recipe.train("asr_teacher_x", 3, CTC, 50.0, {"model": "teacher", "source": "teacher", "parents": []})
    recipe.train("encrl_e4_e2_x", 1, ENCRL, 20.0, None, teacher="exp/asr_teacher_x/valid.cer_ctc.ave.pth")
    encrl = recipe.train("asr_e2_encrl_x", 2, CTC, 10.0, {"model": "e2", "source": "encrl",
                                                          "parents": ["exp/encrl_e4_e2_x"]})  # fmt: skip
    scratch = recipe.train("asr_e2_scratch_x", 2, CTC[:1], 10.0, {"model": "e2", "source": "scratch", "parents": []})
    recipe.score(teacher, "test", 1)
    recipe.score(encrl, "test", 3)
    recipe.score(scratch, "test", 4)
    return recipe, teacher, encrl, scratch


def test_numbers_of_the_table(three_models, capsys):
    _, *exp_dirs = three_models
    run(exp_dirs)
    by_dir = {row["exp_dirs"]: row for row in rows()}
    encrl, scratch, teacher = (by_dir[f"exp/asr_{name}_x"] for name in ("e2_encrl", "e2_scratch", "teacher"))
    assert float(encrl["wer_percent"]) == pytest.approx(7.5)  # 3 of 40 words
    assert float(scratch["wer_percent"]) == pytest.approx(10.0)
    assert float(encrl["relative_difference_percent"]) == pytest.approx(-25.0)
    assert encrl["compared_to"] == "e2 scratch"
    assert float(encrl["wer_difference_points"]) == pytest.approx(-2.5)
    assert scratch["relative_difference_percent"] == teacher["relative_difference_percent"] == ""
    assert float(encrl["wer_low"]) <= 7.5 <= float(encrl["wer_high"])
    # one, two, three -> wrong: by hand 5 - 1 (the o), 5 - 1 (the w), 5 - 1 (the r) edits of 4 * 48 characters
    assert float(encrl["cer_percent"]) == pytest.approx(100 * 12 / (4 * 48), abs=0.6)
    assert float(encrl["training_sec"]) == pytest.approx(2 * 10 + 3 * 20 / 2)  # half of EncRL: two students share it
    assert float(encrl["encrl_whole_sec"]) == pytest.approx(60)
    assert (encrl["epochs"], encrl["encrl_epochs"], scratch["epochs"]) == ("2", "3", "1")
    assert float(teacher["training_sec"]) == float(teacher["training_with_teacher_sec"]) == pytest.approx(100)
    assert (float(encrl["own_sec"]), float(encrl["encrl_share_sec"])) == pytest.approx((20, 30))
    assert (float(encrl["teacher_sec"]), float(encrl["training_with_teacher_sec"])) == pytest.approx((100, 150))
    assert scratch["teacher_sec"] == teacher["teacher_sec"] == ""
    assert float(teacher["macs_per_sec"]) > float(encrl["macs_per_sec"]) == float(scratch["macs_per_sec"]) > 0
    assert (teacher["layers"], encrl["layers"]) == ("3", "2")

    printed = capsys.readouterr().out
    markdown = Path("RESULTS.md").read_text(encoding="utf-8")
    row = next(line for line in printed.splitlines() if line.startswith("| e2") and "encrl" in line)
    assert row in markdown
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[10] == "50.0" and re.fullmatch(r"7\.50 \[\d+\.\d, \d+\.\d\] \(jiwer\)", cells[4])
    assert re.fullmatch(r"\+5\.00 \(p=\d\.\d{3}\)", cells[5])  # the teacher has 1 of 40 words
    assert re.fullmatch(r"-25\.0 % \(p=\d\.\d{3}\)", cells[6])
    assert cells[3] == "-"  # no log of the speed here
    assert "test: fewer than 5 known speakers (0), so utterances are resampled" in printed
    cost = markdown.partition("## Training cost")[2].splitlines()
    assert [cell.strip() for cell in cost[5].strip("|").split("|")] == [
        "e2", "encrl", "1", "2", "20.0", "3", "30.0", "50.0", "60 %", "100",
    ]  # fmt: skip
    assert "negative = fewer errors" in printed
    for name in ("espnet", "torch", "python"):
        assert f"- {name} " in markdown


def test_parameters_are_those_of_the_checkpoint_without_buffers(three_models):
    _, *exp_dirs = three_models
    run(exp_dirs)
    for row in rows():
        model = torch.load(f"{row['exp_dirs']}/checkpoint.pth", weights_only=True)["model"]
        # the only buffers of this network: running statistics of the batch normalisation, and the mel filters
        buffers = ("running_mean", "running_var", "num_batches_tracked", "melmat")
        counted = sum(value.numel() for key, value in model.items() if not key.endswith(buffers))
        assert int(row["parameters"]) == counted


def test_figures_are_written_whole(three_models):
    from matplotlib.image import imread

    recipe, *exp_dirs = three_models
    run(exp_dirs)
    for name in ("wer_vs_params", "wer_vs_cost", "training_curves"):
        image = imread(recipe.root / "exp" / f"{name}.png")
        assert image[..., :3].std() > 0.05  # not an empty canvas
        assert f"(exp/{name}.png)" in (recipe.root / "RESULTS.md").read_text()
    assert not list(recipe.root.rglob(".tmp.*"))


def test_what_is_missing_is_a_dash_with_a_reason(recipe, capsys):
    (recipe.root / "exp" / "asr_e2_encrl_x").mkdir(parents=True)
    trained = recipe.train("asr_e4_scratch_x", 1, CTC, 1.0, {"model": "e4", "source": "scratch", "parents": []})
    recipe.score(trained, "test", 2)
    run(["exp/asr_e2_encrl_x", trained], "test other")
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if line.startswith("| e2_encrl_x"))
    assert {cell.strip() for cell in row.strip("|").split("|")[1:]} == {"-"}
    assert "asr_e2_encrl_x: not scored on test, other" in printed
    assert "asr_e2_encrl_x: no finished epoch" in printed
    assert "asr_e4_scratch_x: not scored on other" in printed


def test_a_model_that_cannot_be_built_does_not_stop_the_report(recipe, capsys):
    trained = recipe.train("asr_e2_scratch_x", 1, CTC, 1.0, {"model": "e2", "source": "scratch", "parents": []})
    config = recipe.root / trained / "config.yaml"
    config.write_text(config.read_text().replace("encoder: conformer", "encoder: no_such_encoder"))
    run([trained])
    assert "cannot be built here" in capsys.readouterr().out


def test_missing_directory_is_named(recipe):
    with pytest.raises(UserError, match="exp/asr_nowhere does not exist"):
        run(["exp/asr_nowhere"])


def test_different_references_are_refused(recipe):
    one = recipe.train("asr_e2_scratch_x", 1, CTC, 1.0, None)
    two = recipe.train("asr_e2_encrl_x", 1, CTC, 1.0, None)
    recipe.score(one, "test", 1)
    recipe.score(two, "test", 1, {"utt0": "one two three"})
    with pytest.raises(UserError, match=r"asr_e2_scratch_x.*asr_e2_encrl_x.*utterance utt0 has length 10 in one, 3 in"):
        run([one, two])
    assert not (recipe.root / "RESULTS.md").exists()


class Page(HTMLParser):
    """Collects what a page loads and whether its tags are balanced."""

    def __init__(self):
        super().__init__()
        self.sources, self.links, self.open, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "srcset", "data")]
        self.links += [value for name, value in attrs if name == "href"]
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(three_models):
    _, *exp_dirs = three_models
    run(exp_dirs)
    text = Path("RESULTS.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert not page.open and not page.sources and not {"link", "iframe", "img"} & set(page.tags)
    assert page.links == [f"exp/{path.name}/config.yaml" for path in exp_dirs if path]
    assert "default-src 'none'" in text and len(text) < 400_000
    without_libraries = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?:|url\(|@import|src=", without_libraries)
    for words in ("<h1>Results</h1>", "p-values of the CER", "Training cost", "<li>espnet ", "vs scratch"):
        assert words in without_libraries


def test_size_and_speed_of_a_model(three_models, capsys):
    _, teacher, encrl, scratch = three_models
    for name, seconds in (("test", 3.0), ("other", 1.0)):
        log = encrl / "decode" / name / "logdir" / "calculate_rtf.log"
        log.parent.mkdir(parents=True)
        log.write_text(f"Total audio duration: 100.000 [sec]\nTotal decoding time: {seconds:.3f} [sec]\nRTF: 0.030\n")
    (encrl / "onnx").mkdir()
    (encrl / "onnx" / "model.int8.onnx").write_bytes(bytes(1_250_000))
    run([teacher, encrl, scratch], "test other")
    table = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in capsys.readouterr().out.splitlines() if line.startswith("|")]  # fmt: skip
    assert table[0][2:5] == ["MB", "MB int8", "RTF"]
    row = next(row for row in table if row[:2] == ["e2", "encrl"])
    weights = torch.load(encrl / "checkpoint.pth", weights_only=True)["model"]
    learnt = sum(value.numel() for key, value in weights.items() if value.is_floating_point()
                 and not key.endswith(("running_mean", "running_var", "melmat")))  # fmt: skip
    assert row[2:5] == [f"{4 * learnt / 1e6:.2f}", "1.25", "0.0200"]


def test_labels_are_escaped_in_the_page(recipe):
    trained = recipe.train("asr_x", 1, CTC, 1.0, {"model": "<b>&", "source": "scratch", "parents": []})
    recipe.score(trained, "test", 1)
    run([trained])
    text = Path("RESULTS.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;" in text and "<b>" not in text


def test_scores_of_an_earlier_version(three_models, capsys):
    """Without counts per utterance there is no interval, but a note; the others keep theirs."""
    _, teacher, encrl, scratch = three_models
    path = encrl / "decode/test/score_wer/result_jiwer.json"
    content = json.loads(path.read_text())
    del content["utterances"]
    path.write_text(json.dumps(content))
    run([teacher, encrl, scratch])
    printed = capsys.readouterr().out
    assert re.search(r"\| +7\.50 \(jiwer\) \| +\+5\.00 \| +-25\.0 % \|", printed)
    assert "asr_e2_encrl_x: WER of test without interval: the score file has no counts per utterance" in printed
    by_dir = {row["exp_dirs"]: row for row in rows()}
    assert by_dir[str(encrl)]["wer_low"] == by_dir[str(encrl)]["wer_p_value"] == ""
    assert by_dir[str(encrl)]["cer_low"] != "" and by_dir[str(scratch)]["wer_low"] != ""


def test_the_report_is_reproducible(three_models):
    _, *exp_dirs = three_models
    run(exp_dirs)
    first = {path: Path(path).read_bytes() for path in ("RESULTS.md", "RESULTS.csv", "RESULTS_pairwise.csv")}
    run([*exp_dirs[1:], exp_dirs[0]])  # rows of one size keep their order; the teacher is largest
    assert first == {path: Path(path).read_bytes() for path in first}


def test_curves_of_every_criterion_and_student(three_models, monkeypatch):
    from espnet_ext.report import curves

    drawn = []
    monkeypatch.setattr(curves, "_draw", lambda axes, panel: drawn.append((panel.title, list(panel.curves))))
    _, *exp_dirs = three_models
    run(exp_dirs)
    assert ("EncRL: mse", ["e4", "e2"]) in drawn and ("EncRL: loss", ["e4", "e2"]) in drawn
    assert ("CTC training, start: scratch", ["e2"]) in drawn and len(drawn) == 5
