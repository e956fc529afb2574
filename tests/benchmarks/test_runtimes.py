"""Real files are measured in their real runtimes."""

import json

import pytest
import torch

from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.export.onnx_file import write_int8, write_onnx
from espnet_ext.export.sherpa import write_sherpa
from espnet_ext.files import file_sha256
from runtimes import Measured, Subject, main, model_names
from tests.export.test_sherpa import signal
from tests.tiny import model_conf, save_experiment


def write_report(exp_dir):
    checkpoint = file_sha256(exp_dir / "valid.cer_ctc.ave.pth")
    (exp_dir / "onnx/report.json").write_text(json.dumps({"checkpoint_sha256": checkpoint}))


@pytest.mark.slow
def test_every_runtime_is_a_row(tmp_path):
    exp_dir = save_experiment(tmp_path / "asr_tiny", token_type="char", **model_conf(1))
    model = load_model(exp_dir, None, "cpu")
    folder = exp_dir / "onnx"
    folder.mkdir()
    example = (signal(1.5, 0.1)[None].repeat(2, 1), torch.tensor([24000, 12000]))
    write_onnx(ExportedCTC(model.model), example, folder / "model.onnx")
    write_int8(folder / "model.onnx", folder / "model.int8.onnx")
    write_sherpa(model, 0.1, 640, folder / "sherpa_onnx")
    write_report(exp_dir)
    main(["--exp_dirs", str(exp_dir), "--runs", "2", "--output", str(tmp_path / "table.md")])
    lines = [line.split("|")[1:-1] for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith("|")]
    head, _, *cells = [[cell.strip() for cell in line] for line in lines]
    rows = [dict(zip(head, line, strict=True)) for line in cells]
    assert [(row["runtime"], row["precision"]) for row in rows] == [
        ("espnet", "fp32"), ("onnx", "fp32"), ("onnx", "int8"), ("sherpa", "fp32"), ("sherpa", "int8"),
    ]  # fmt: skip
    size, ctc = (sum(p.numel() for p in part.parameters()) for part in (model.model, model.model.ctc))
    for row in rows:
        found = (float(row[key]) for key in ("params (M)", "of them head (M)"))
        assert list(found) == pytest.approx([size / 1e6, ctc / 1e6], rel=5e-3)
        assert float(row["RTF"]) > 0 and float(row["15 s (ms)"]) > 0
    assert float(rows[2]["file (MB)"]) == pytest.approx((folder / "model.int8.onnx").stat().st_size / 1e6, rel=5e-3)
    memory = [float(row["peak memory (MB)"]) for row in rows]
    assert memory[1] < memory[0] / 2  # without PyTorch


def test_rtf_is_of_all_lengths_together(tmp_path):
    subject = Subject("m", "onnx", "fp32", tmp_path, tmp_path, 16000)
    measured = Measured(subject, 1, {1.0: [0.1, 0.2], 3.0: [0.3, 0.2]}, 1)
    assert measured.rtf == pytest.approx([0.1, 0.1])


def test_models_of_one_name_are_told_apart_without_the_way_to_them(tmp_path):
    exp_dirs = [tmp_path / name for name in ("me/seed1/asr_x", "me/seed2/asr_x", "other/asr_y")]
    assert list(model_names(exp_dirs).values()) == ["seed1/asr_x", "seed2/asr_x", "other/asr_y"]
    assert list(model_names(exp_dirs[1:]).values()) == ["asr_x", "asr_y"]


@pytest.mark.slow
def test_a_file_that_does_not_run_is_named(tmp_path):
    exp_dir = save_experiment(tmp_path / "asr_tiny", token_type="char", **model_conf(1))
    (exp_dir / "onnx").mkdir()
    (exp_dir / "onnx/model.onnx").write_bytes(b"no model")
    write_report(exp_dir)
    with pytest.raises(UserError, match=r"onnx/model.onnx does not run in onnx"):
        main(["--exp_dirs", str(exp_dir), "--runs", "1", "--output", str(tmp_path / "table.md")])


def test_files_of_an_earlier_model_are_refused(tmp_path):
    exp_dir = save_experiment(tmp_path / "asr_tiny", token_type="char", **model_conf(1))
    (exp_dir / "onnx").mkdir()
    write_report(exp_dir)
    other = save_experiment(tmp_path / "other", seed=1, token_type="char", **model_conf(1))
    (other / "valid.cer_ctc.ave.pth").replace(exp_dir / "valid.cer_ctc.ave.pth")
    with pytest.raises(UserError, match=r"onnx was not made of .*valid\.cer_ctc\.ave\.pth"):
        main(["--exp_dirs", str(exp_dir), "--runs", "1", "--output", str(tmp_path / "table.md")])
