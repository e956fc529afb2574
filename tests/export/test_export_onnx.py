"""Exported files compute what ESPnet computes, in ONNX Runtime, at any batch size and length."""

import hashlib
import json

import numpy as np
import onnx
import pytest
import soundfile
import torch

from espnet_ext.bin import export_onnx
from espnet_ext.decode.model import load_model
from espnet_ext.errors import UserError
from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.export.runtime import OnnxCTC
from espnet_ext.export.static_int8 import write_static_int8
from tests.tiny import TOKENS, model_conf, save_experiment

CONFORMER = model_conf(2)
ENCODERS = {
    "conformer": CONFORMER,
    "absolute_positions": model_conf(2, pos_enc_layer_type="abs_pos", selfattention_layer_type="selfattn"),
    "intermediate_ctc": model_conf(2, interctc_layer_idx=[1]),
    "e_branchformer": {
        **CONFORMER,
        "encoder": "e_branchformer",
        "encoder_conf": {"output_size": 8, "attention_heads": 2, "linear_units": 16, "num_blocks": 2,
                         "cgmlp_linear_units": 16, "cgmlp_conv_kernel": 3},
    },
    "torchaudio_conformer": {
        **CONFORMER,
        "encoder": "torchaudio_conformer",
        "encoder_conf": {"output_size": 8, "attention_heads": 2, "linear_units": 16, "num_blocks": 2,
                         "cnn_module_kernel": 3},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Noise of several lengths with transcripts."""
    folder = tmp_path_factory.mktemp("raw") / "dev"
    folder.mkdir()
    rng = np.random.default_rng(0)
    samples = {f"u{i}": int(16000 * seconds) for i, seconds in enumerate((0.6, 0.9, 1.3, 2.1, 0.75))}
    for name, count in samples.items():
        soundfile.write(folder / f"{name}.wav", rng.standard_normal(count) / 10, 16000)
    (folder / "wav.scp").write_text("".join(f"{name} {folder / name}.wav\n" for name in samples))
    (folder / "utt2num_samples").write_text("".join(f"{name} {n}\n" for name, n in samples.items()))
    (folder / "text").write_text("".join(f"{name} a b\n" for name in samples))
    return folder


def run(exp_dir, data_dir, output, *options):
    cmd = ["--exp_dir", exp_dir, "--data_dir", data_dir, "--output_dir", output, *options]
    export_onnx.main([str(word) for word in cmd])
    return json.loads((output / "report.json").read_text())["files"]


@pytest.mark.parametrize("name", ENCODERS)
def test_files_compute_what_espnet_computes(name, data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **ENCODERS[name])
    files = run(exp_dir, data_dir, tmp_path / "onnx", "--max_wer_loss", 1000)
    assert set(files) == {"features.onnx", "model.onnx", "model.fp16.onnx", "model.int8.onnx"}
    for file in ("features.onnx", "model.onnx"):
        assert files[file]["max_difference"] < 1e-3 and files[file]["equal_utterances"] == 1
    assert 1e-6 < files["model.int8.onnx"]["max_difference"] < 1
    assert sorted(path.name for path in (tmp_path / "onnx").iterdir()) == sorted([*files, "report.json", "tokens.txt"])
    assert (tmp_path / "onnx/tokens.txt").read_text().split() == [w for i, t in enumerate(TOKENS) for w in (t, str(i))]


def test_static_int8_leaves_out_what_it_damages_most(data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **CONFORMER)
    files = run(exp_dir, data_dir, tmp_path / "onnx", "--precisions", "int8_static", "--max_wer_loss", 1000)
    assert 1e-6 < files["model.int8_static.onnx"]["max_difference"] < 1
    source = tmp_path / "onnx/model.onnx"
    signals = [torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in sorted(data_dir.glob("*.wav"))]
    every, _ = write_static_int8(source, tmp_path / "every.onnx", signals, agreement=0.0)
    fewer, same = write_static_int8(source, tmp_path / "fewer.onnx", signals, agreement=2.0)  # never enough
    assert every == [] and 0 <= same <= 1
    names = {node.name for node in onnx.load(source).graph.node if node.op_type in ("MatMul", "Conv")}
    assert set(fewer) <= names and 0 < len(fewer) < len(names)

    def quantised(path):
        return sum(node.op_type == "DequantizeLinear" for node in onnx.load(path).graph.node)

    assert 0 < quantised(tmp_path / "fewer.onnx") < quantised(tmp_path / "every.onnx")


def test_audio_longer_than_the_table_of_positions(data_dir, tmp_path):
    """ESPnet's table has 5000 frames; 30 s of trace say nothing of ten minutes."""
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **model_conf(1))
    run(exp_dir, data_dir, tmp_path / "onnx", "--precisions", "fp32")
    feats = torch.randn(1, 20500, 20)
    lengths = torch.tensor([20500])
    with torch.inference_mode():
        expected, _ = ExportedCTC(load_model(exp_dir, None, "cpu").model, from_waveform=False)(feats, lengths)
    found, frames = OnnxCTC(tmp_path / "onnx/features.onnx")(feats, lengths)
    assert int(frames) > 5000
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_metadata_says_what_a_runtime_must_know(data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **CONFORMER)
    run(exp_dir, data_dir, tmp_path / "onnx", "--precisions", "fp32")
    model = onnx.load(tmp_path / "onnx/model.onnx")
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["tokens"]) == TOKENS and metadata["sample_rate"] == "16000"
    assert metadata["input"] == "waveform" and metadata["hop_length"] == "160"


def test_file_that_differs_is_not_kept(data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **CONFORMER)
    with pytest.raises(UserError, match="does not compute what ESPnet does"):
        run(exp_dir, data_dir, tmp_path / "onnx", "--tolerance", "0")
    assert not (tmp_path / "onnx").exists()


def test_report_names_the_checkpoint_and_the_shortest_audio(data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **CONFORMER)
    run(exp_dir, data_dir, tmp_path / "onnx", "--precisions", "int8", "fp32", "--max_wer_loss", 1000)
    report = json.loads((tmp_path / "onnx/report.json").read_text())
    (checkpoint,) = exp_dir.glob("*.pth")
    assert report["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    shortest = report["min_samples"]
    runtime = OnnxCTC(tmp_path / "onnx/model.int8.onnx")
    assert int(runtime(torch.zeros(1, shortest), torch.tensor([shortest]))[1]) == 1
    with pytest.raises(Exception, match="Conv|Pad|dimension"):
        runtime(torch.zeros(1, shortest - 1), torch.tensor([shortest - 1]))


def test_weights_that_are_not_finite_are_refused(data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **CONFORMER)
    (checkpoint,) = exp_dir.glob("*.pth")
    state = torch.load(checkpoint)
    state["ctc.ctc_lo.bias"][:] = float("nan")
    torch.save(state, checkpoint)
    with pytest.raises(UserError, match="log-probabilities are not finite"):
        run(exp_dir, data_dir, tmp_path / "onnx", "--precisions", "fp32")


def test_other_sampling_rates_are_refused(data_dir, tmp_path):
    conf = {**CONFORMER, "frontend_conf": {**CONFORMER["frontend_conf"], "fs": 8000}}
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **conf)
    with pytest.raises(UserError, match="has 16000 Hz, the model takes 8000 Hz"):
        run(exp_dir, data_dir, tmp_path / "onnx")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"normalize": "utterance_mvn"}, None),
        (
            {
                "encoder_conf": {
                    **CONFORMER["encoder_conf"],
                    "num_blocks": 2,
                    "interctc_layer_idx": [1],
                    "interctc_use_conditioning": True,
                },
                "model_conf": {"ctc_weight": 1.0, "interctc_weight": 0.3},
            },
            None,
        ),
        (
            {
                "encoder": "branchformer",
                "encoder_conf": {"output_size": 16, "attention_heads": 2, "cgmlp_linear_units": 32, "num_blocks": 1},
            },
            "BranchformerEncoder cannot be exported",
        ),
        ({"frontend_conf": {**CONFORMER["frontend_conf"], "normalized": True}}, "normalised"),
    ],
)
def test_what_cannot_be_exported_is_named(change, message, data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **{**CONFORMER, **change})
    if message is None:
        files = run(exp_dir, data_dir, tmp_path / "onnx", "--precisions", "fp32")
        assert files["model.onnx"]["max_difference"] < 1e-3
        return
    with pytest.raises(UserError, match=message):
        run(exp_dir, data_dir, tmp_path / "onnx")
