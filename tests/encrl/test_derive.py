"""A derived student computes what the source computes with the other layers taken out."""

import pytest
import torch
import yaml
from espnet2.tasks.asr import ASRTask

from espnet_ext.bin import derive_student
from espnet_ext.encrl.derive import select_layers
from espnet_ext.errors import UserError
from espnet_ext.model_files import find_model_files
from tests.tiny import make_batch, model_conf, save_experiment

PAPER = {
    "encoder": "torchaudio_conformer",
    "encoder_conf": {
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 16,
        "num_blocks": 5,
        "cnn_module_kernel": 3,
    },
}


def encode(exp_dir, checkpoint="model.pth", keep=None):
    model, _ = ASRTask.build_model_from_file(exp_dir / "config.yaml", exp_dir / checkpoint)
    model.eval()
    if keep is not None:  # truncate by hand
        layers = model.encoder.encoders
        for index in reversed(range(len(layers))):
            if index not in keep:
                del layers[index]
    batch = make_batch()
    with torch.no_grad():
        out, _ = model.encode(batch["speech"], batch["speech_lengths"])
        return model.ctc.log_softmax(out)


def derived(source, output_dir, layers):
    derive_student.main(["--source", str(source), "--layers", layers, "--output_dir", str(output_dir)])
    return encode(output_dir)


@pytest.mark.parametrize("conf", [{}, PAPER], ids=["conformer", "torchaudio_conformer"])
@pytest.mark.parametrize("spec, keep", [("last:2", [3, 4]), ("first:1", [0]), ("even:3", [0, 2, 4]), ("1,3", [1, 3])])
def test_derived_equals_source_truncated_by_hand(tmp_path, conf, spec, keep):
    source = save_experiment(tmp_path / "source", **{**model_conf(5), **conf})
    expected = encode(source, "valid.cer_ctc.ave.pth", keep)
    torch.testing.assert_close(derived(source, tmp_path / "student", spec), expected)
    config = yaml.safe_load((tmp_path / "student/config.yaml").read_text())
    assert config["encoder_conf"]["num_blocks"] == len(keep)


def test_checkpoint_of_an_older_espnet(tmp_path):
    """ESPnet <= 202511 spells the subsampling's linear layer embed.out.0."""
    source = save_experiment(tmp_path / "source", **model_conf(3))
    expected = encode(source, "valid.cer_ctc.ave.pth", [2])
    checkpoint = source / "valid.cer_ctc.ave.pth"
    state = torch.load(checkpoint)
    old = {key.replace("embed.out.", "embed.out.0."): value for key, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, checkpoint)
    torch.testing.assert_close(derived(source, tmp_path / "student", "last:1"), expected)


def test_intermediate_ctc_is_left_out(tmp_path):
    conf = model_conf(4, interctc_layer_idx=[2])
    conf["model_conf"]["interctc_weight"] = 0.3
    source = save_experiment(tmp_path / "source", **conf)
    assert derived(source, tmp_path / "student", "last:2").shape[0] == 3


@pytest.mark.parametrize(
    "spec, message",
    [
        ("last:0", "1 to 12"),
        ("even:13", "1 to 12"),
        ("0,12", "0 to 11"),
        ("3,3", "each once"),
        ("middle:2", "first:N"),
    ],
)
def test_bad_selections_name_the_valid_range(spec, message):
    with pytest.raises(UserError, match=message):
        select_layers(spec, 12)


def test_even_keeps_first_and_last():
    assert select_layers("even:4", 12) == [0, 4, 7, 11]
    assert select_layers("even:1", 12) == [11]


def test_corrupt_and_missing_sources_are_named(tmp_path):
    source = save_experiment(tmp_path / "source", **model_conf(1))
    checkpoint = source / "valid.cer_ctc.ave.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"cannot be loaded from .*valid.cer_ctc.ave.pth"):
        derived(source, tmp_path / "student", "last:1")
    checkpoint.unlink()
    with pytest.raises(UserError, match="holds none of"):
        find_model_files(source)
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match="stage 14"):
        find_model_files(tmp_path / "bad.zip")
    with pytest.raises(UserError, match="does not exist"):
        find_model_files(tmp_path / "nothing.pth")
