"""The comparison of trained models."""

import csv
from pathlib import Path

import pytest
import torch

from espnet_ext.bin import report
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
    recipe.train("encrl_e4_e2_x", 1, ENCRL, 20.0, None)
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
    by_dir = {row["exp_dir"]: row for row in rows()}
    encrl, scratch, teacher = (by_dir[f"exp/asr_{name}_x"] for name in ("e2_encrl", "e2_scratch", "teacher"))
    assert float(encrl["wer_percent"]) == pytest.approx(7.5)  # 3 of 40 words
    assert float(scratch["wer_percent"]) == pytest.approx(10.0)
    assert float(encrl["relative_to_scratch_percent"]) == pytest.approx(-25.0)
    assert scratch["relative_to_scratch_percent"] == teacher["relative_to_scratch_percent"] == ""
    assert float(encrl["training_sec"]) == pytest.approx(2 * 10 + 3 * 20 / 2)  # half of EncRL: two students share it
    assert float(encrl["encrl_whole_sec"]) == pytest.approx(60)
    assert (encrl["epochs"], encrl["encrl_epochs"], scratch["epochs"]) == ("2", "3", "1")
    assert float(teacher["training_sec"]) == pytest.approx(100)
    assert (teacher["layers"], encrl["layers"]) == ("3", "2")

    printed = capsys.readouterr().out
    markdown = Path("RESULTS.md").read_text(encoding="utf-8")
    row = next(line for line in printed.splitlines() if line.startswith("| e2") and "encrl" in line)
    assert row in markdown
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4:] == ["2", "3", "50.0", "30.0 (60 %)", "7.50 (jiwer)", "-25.0"]
    assert "negative = fewer errors" in printed
    for name in ("espnet", "torch", "python"):
        assert f"- {name} " in markdown


def test_parameters_are_those_of_the_checkpoint_without_buffers(three_models):
    _, *exp_dirs = three_models
    run(exp_dirs)
    for row in rows():
        model = torch.load(f"{row['exp_dir']}/checkpoint.pth", weights_only=True)["model"]
        # the only buffers of this network: running statistics of the batch normalisation, and the mel filters
        buffers = ("running_mean", "running_var", "num_batches_tracked", "melmat")
        counted = sum(value.numel() for key, value in model.items() if not key.endswith(buffers))
        assert int(row["parameters"]) == counted


def test_figures_are_written_whole(three_models):
    from matplotlib.image import imread

    recipe, *exp_dirs = three_models
    run(exp_dirs)
    for name in ("wer_vs_params", "training_curves"):
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
    with pytest.raises(UserError, match=r"asr_e2_scratch_x.*4 sentences with 40 words.*asr_e2_encrl_x.*1 with 3"):
        run([one, two])
    assert not (recipe.root / "RESULTS.md").exists()
