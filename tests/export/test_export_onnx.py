"""Exported files compute what ESPnet computes, in ONNX Runtime, at any batch size and length."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch
from espnet2.legacy.nets.pytorch_backend.transformer.embedding import PositionalEncoding

from espnet_ext.cli import export as export_verb
from espnet_ext.decode.model import load_model
from espnet_ext.decode.runtime import OnnxSession
from espnet_ext.errors import UserError
from espnet_ext.export.rewrite import rewrite
from espnet_ext.export.runtime import OnnxCTC
from tests.tiny import TOKENS, model_conf, save_experiment

CONFORMER = model_conf(2)
ENCODERS = {
    "conformer": CONFORMER,
    "absolute_positions": model_conf(2, pos_enc_layer_type="abs_pos", selfattention_layer_type="selfattn"),
    "intermediate_ctc": model_conf(2, interctc_layer_idx=[1]),
    "legacy_positions": model_conf(2, rel_pos_type="legacy"),
    "scaled_positions": model_conf(2, pos_enc_layer_type="scaled_abs_pos", selfattention_layer_type="selfattn"),
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
    export_verb.main([str(word) for word in cmd])
    return json.loads((output / "report.json").read_text())["files"]


@pytest.mark.parametrize("name", ENCODERS)
def test_files_compute_what_espnet_computes(name, data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **ENCODERS[name])
    files = run(exp_dir, data_dir, tmp_path / "onnx", "--max_wer_loss", 1000)
    assert set(files) == {"model.onnx", "model.int8.onnx"}
    assert files["model.onnx"]["max_difference"] < 1e-3 and files["model.onnx"]["equal_utterances"] == 1
    assert 1e-6 < files["model.int8.onnx"]["max_difference"] < 1
    assert sorted(path.name for path in (tmp_path / "onnx").iterdir()) == sorted([*files, "report.json", "tokens.txt"])
    assert (tmp_path / "onnx/tokens.txt").read_text().split() == [w for i, t in enumerate(TOKENS) for w in (t, str(i))]


@pytest.mark.parametrize("normalize", [None, "utterance_mvn"])
@pytest.mark.parametrize("name", ENCODERS)
def test_a_file_without_free_dimensions(name, normalize, data_dir, tmp_path):
    """Of one second, which three of the five utterances fit into."""
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **ENCODERS[name] | {"normalize": normalize})
    entry = run(exp_dir, data_dir, tmp_path / "onnx", "--precisions", "fp32", "--fixed_seconds", 1)["model.fixed.onnx"]
    assert entry["max_difference"] < 1e-3 and entry["equal_utterances"] == 1 and "wer_percent" not in entry
    model = onnx.shape_inference.infer_shapes(onnx.load(str(tmp_path / "onnx/model.fixed.onnx")), strict_mode=True)
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    assert len(values) > 100
    for value in values:
        assert all(size.dim_value > 0 for size in value.type.tensor_type.shape.dim), value.name
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim] == [1, 16000]
    assert [entry.domain for entry in model.opset_import] == [""]  # operators of ONNX only
    assert not {"Shape", "If", "Loop", "NonZero", "Range"} & {node.op_type for node in model.graph.node}
    metadata = {one.key: one.value for one in model.metadata_props}
    assert metadata["fixed_samples"] == "16000" and metadata["input"] == "waveform"


def test_seconds_that_no_utterance_fits_into_are_refused(data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **CONFORMER)
    with pytest.raises(UserError, match=r"--fixed_seconds 0.5: every utterance of .*dev is longer"):
        run(exp_dir, data_dir, tmp_path / "onnx", "--fixed_seconds", 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder_conf",
    [
        {},
        {"rel_pos_type": "legacy"},
        {"pos_enc_layer_type": "abs_pos", "selfattention_layer_type": "selfattn"},
        {"pos_enc_layer_type": "scaled_abs_pos", "selfattention_layer_type": "selfattn"},
    ],
    ids=lambda conf: "-".join(conf.values()) or "relative",
)
def test_audio_longer_than_the_table_of_positions(encoder_conf, data_dir, tmp_path):
    """ESPnet's table has 5000 frames; seconds of trace say nothing of ten minutes."""
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **model_conf(1, **encoder_conf))
    run(exp_dir, data_dir, tmp_path / "onnx", "--precisions", "fp32")
    runtime = OnnxCTC(tmp_path / "onnx/model.onnx")
    model = load_model(exp_dir, None, "cpu").model
    for size in (3000 * 160, 20500 * 160):
        speech, lengths = torch.randn(1, size) / 10, torch.tensor([size])
        with torch.inference_mode():
            expected = model.ctc.log_softmax(model.encode(speech, lengths)[0])
        found, frames = runtime(speech, lengths)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    assert int(frames) > 5000


def test_positions_in_a_table_are_refused():
    """Of a class that is not known here, and so may have an end."""

    class Unknown(PositionalEncoding):
        pass

    with pytest.raises(UserError, match="positions of the kind Unknown cannot be exported"):
        rewrite(torch.nn.Sequential(Unknown(8, 0.0)))


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
    path = tmp_path / "onnx/model.int8.onnx"
    runtime = OnnxCTC(path)
    shortest = report["min_samples"]
    assert int(OnnxSession(path).metadata["min_samples"]) == shortest == 960
    for samples, frames in ((shortest, 1), (shortest - 1, 0)):
        assert int(runtime(torch.zeros(1, samples), torch.tensor([samples]))[1]) == frames


def add_utterance(data_dir, folder, samples, counted=None):
    """Returns a copy of the set with a short utterance more."""
    folder.mkdir()
    soundfile.write(folder / "short.wav", np.random.default_rng(1).standard_normal(samples) / 10, 16000)
    lines = {
        "wav.scp": f"short {folder}/short.wav",
        "utt2num_samples": f"short {counted or samples}",
        "text": "short a",
    }
    for name, line in lines.items():
        (folder / name).write_text(f"{(data_dir / name).read_text()}{line}\n")
    return folder


@pytest.mark.parametrize(
    "samples, counted, precision",
    [(1, 1, "fp32"), (959, 959, "int8"), (1599, 1599, "fp32"), (500, 20000, "fp32")],
)
def test_utterances_too_short_for_the_model_are_left_out(samples, counted, precision, data_dir, tmp_path, capsys):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **CONFORMER)
    folder = add_utterance(data_dir, tmp_path / "dev", samples, counted)
    files = run(exp_dir, folder, tmp_path / "onnx", "--precisions", precision, "--max_wer_loss", 1000)
    printed = capsys.readouterr().out
    assert f"1 utterances of {folder} are too short for the model and are not compared, e.g. short" in printed
    assert "100.0 % of 5 utterances" in printed and files["model.onnx"]["max_difference"] < 1e-3


def test_a_set_of_short_utterances_only_is_refused(data_dir, tmp_path):
    exp_dir = save_experiment(tmp_path / "exp", token_type="char", **CONFORMER)
    folder = add_utterance(data_dir, tmp_path / "dev", 500)
    for name in ("wav.scp", "text", "utt2num_samples"):
        (folder / name).write_text((folder / name).read_text().splitlines()[-1] + "\n")
    with pytest.raises(UserError, match="every utterance is shorter than the model's shortest, 1600 samples"):
        run(exp_dir, folder, tmp_path / "onnx")


@pytest.mark.slow
def test_published_files_name_no_path_of_this_machine(data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exp_dir = save_experiment(tmp_path / "home/me/exp/asr_tiny", token_type="char", **CONFORMER)
    options = ("--sherpa", "true", "--max_wer_loss", 1000)
    run(exp_dir, data_dir, tmp_path / "home/me/onnx", *options)
    report = json.loads((tmp_path / "home/me/onnx/report.json").read_text())
    assert (report["source"], report["data"]) == ("asr_tiny/valid.cer_ctc.ave.pth", "dev")
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "home/me/onnx/model.onnx").metadata_props}
    assert metadata["source"] == "asr_tiny/valid.cer_ctc.ave.pth"
    files = [path for path in (tmp_path / "home/me/onnx").rglob("*") if path.is_file()]
    assert len(files) == 9
    for path in files:
        content = path.read_bytes()
        for local in (tmp_path, "home/me", data_dir.parent, Path.home(), Path(torch.__file__).parents[1], Path.cwd()):
            assert f"{local}".encode() not in content, (path, local)


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
