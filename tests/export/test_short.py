"""Exported files take audio of any length, from no sample on, in ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
import torch

from espnet_ext.decode.model import load_model
from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.export.onnx_file import write_int8, write_onnx
from espnet_ext.export.sherpa import LevelledCTC
from tests.tiny import model_conf, save_experiment

LENGTHS = (0, 1, 2, 100, 199, 200, 201, 959, 960, 961, 1000, 1599, 1600, 5000, 16000, 48001)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32) / 10


def session(path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def write(folder, **conf):
    """Writes a file that knows of no shortest input and one that does; returns both and that length."""
    model = load_model(save_experiment(folder / "asr", token_type="char", **{**model_conf(1), **conf}), None, "cpu")
    size = 24000
    example = torch.from_numpy(noise(2, size))
    exported = ExportedCTC(model.model)
    shortest = exported.shortest
    for name, exported.shortest in (("before.onnx", 0), ("after.onnx", shortest)):
        write_onnx(exported, (example, torch.tensor([size, size // 2])), folder / name)
    return folder / "before.onnx", folder / "after.onnx", shortest


@pytest.mark.parametrize("normalize", [None, "utterance_mvn"])
@pytest.mark.parametrize("convert", [None, write_int8])
def test_short_audio_has_no_frame_and_other_audio_what_it_had(normalize, convert, tmp_path):
    before, after, shortest = write(tmp_path, normalize=normalize)
    assert shortest == 960
    if convert:
        for path in (before, after):
            convert(path, path.with_suffix(".small"))
        before, after = before.with_suffix(".small"), after.with_suffix(".small")
    before, after = session(before), session(after)
    for samples in LENGTHS:
        feed = {"x": noise(1, samples), "x_lengths": np.array([samples])}
        log_probs, frames = after.run(None, feed)
        assert np.isfinite(log_probs).all()
        if samples < shortest:
            assert frames.tolist() == [0]
            with pytest.raises(Exception, match="Conv|Pad|dimension|shape"):
                before.run(None, feed)
        else:
            expected, expected_frames = before.run(None, feed)
            assert np.array_equal(log_probs, expected) and frames.tolist() == expected_frames.tolist() != [0]


def test_a_short_utterance_in_a_batch_is_as_short_as_alone(tmp_path):
    before, after, shortest = write(tmp_path, normalize="utterance_mvn")
    lengths = np.array([16000, 3, 0, shortest - 1, shortest])
    speech = noise(len(lengths), 16000) * (np.arange(16000) < lengths[:, None])
    feed = {"x": speech, "x_lengths": lengths}
    log_probs, frames = session(after).run(None, feed)
    expected, expected_frames = session(before).run(None, feed)
    assert frames[1:4].tolist() == [0, 0, 0] and frames[[0, 4]].tolist() == expected_frames[[0, 4]].tolist()
    assert np.array_equal(log_probs[[0, 4]], expected[[0, 4]]) and np.isfinite(log_probs).all()


def test_without_lengths_short_audio_says_blank(tmp_path):
    """As in the folder for sherpa-onnx."""
    conf = {**model_conf(1), "normalize": None}
    model = load_model(save_experiment(tmp_path / "asr", token_type="char", **conf), None, "cpu")
    with torch.no_grad():
        model.model.ctc.ctc_lo.bias[:] = torch.tensor([0.0, 0, 9, 0, 0, 0, 0])  # says a word always
    exported = LevelledCTC(ExportedCTC(model.model), 0.1, blank_id=0).eval()
    for name, exported.model.shortest in (("before.onnx", 0), ("after.onnx", 960)):
        write_onnx(exported, (torch.from_numpy(noise(1, 32000)),), tmp_path / name)
    before, after = session(tmp_path / "before.onnx"), session(tmp_path / "after.onnx")
    for samples in LENGTHS:
        (log_probs,) = after.run(None, {"x": noise(1, samples)})
        if samples < 960:
            assert log_probs.argmax(-1).tolist() == [[0]] and np.isfinite(log_probs).all()
        else:
            assert np.array_equal(log_probs, before.run(None, {"x": noise(1, samples)})[0])
            assert set(log_probs.argmax(-1).flatten()) == {2}
