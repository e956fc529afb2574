"""A derived student computes what the source computes with the other layers taken out."""

import sys

import numpy as np
import pytest
import torch
import yaml
from espnet2.main_funcs.pack_funcs import pack
from espnet2.tasks.asr import ASRTask, encoder_choices

from espnet_ext.checkpoints.derive import derive, select_layers
from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.cli import derive as derive_verb
from espnet_ext.encoder.torchaudio_conformer import TorchaudioConformerEncoder
from espnet_ext.errors import UserError
from tests.tiny import make_batch, model_conf, save_experiment

encoder_choices.classes.setdefault("torchaudio_conformer", TorchaudioConformerEncoder)

AVERAGE = "valid.cer_ctc.ave.pth"
SMALL = {"output_size": 8, "attention_heads": 2}
ENCODERS = {
    "conformer": {},
    "torchaudio_conformer": {**SMALL, "linear_units": 16, "cnn_module_kernel": 3},
    "transformer": {**SMALL, "linear_units": 16},
    "branchformer": {**SMALL, "cgmlp_linear_units": 16, "stochastic_depth_rate": [0.1, 0.2, 0.3, 0.4]},
    "e_branchformer": {**SMALL, "linear_units": 16, "cgmlp_linear_units": 16, "gradient_checkpoint_layers": [0, 2, 4]},
}
ATTENTION = {
    "model_conf": {"ctc_weight": 0.3},
    "decoder": "transformer",
    "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
}


def conf_of(encoder: str, num_blocks: int = 4) -> dict:
    conf = model_conf(num_blocks) | {"encoder": encoder}
    conf["encoder_conf"] = {**(ENCODERS[encoder] or conf["encoder_conf"]), "num_blocks": num_blocks}
    return conf


def encode(exp_dir, checkpoint="model.pth", keep=None):
    """Runs a model by ESPnet's loader; `keep` truncates it by hand."""
    model, _ = ASRTask.build_model_from_file(exp_dir / "config.yaml", exp_dir / checkpoint)
    model.eval()
    encoder = model.encoder
    layers = encoder.encoders if hasattr(encoder, "encoders") else encoder.conformer.conformer_layers
    for index in reversed(range(len(layers))):
        if keep is not None and index not in keep:
            del layers[index]
    batch = make_batch()
    with torch.no_grad():
        out, _ = model.encode(batch["speech"], batch["speech_lengths"])
        return model.ctc.log_softmax(out)


def run(source, output_dir, layers, *options) -> dict:
    """Runs the command and returns the configuration it wrote."""
    derive_verb.main(["layers", "--source", str(source), "--layers", layers, "--output_dir", str(output_dir), *options])
    return yaml.safe_load((output_dir / "config.yaml").read_text())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_derived_equals_source_truncated_by_hand(tmp_path, encoder):
    source = save_experiment(tmp_path / "source", **conf_of(encoder))
    config = run(source, tmp_path / "student", "1,3")
    assert config["encoder_conf"]["num_blocks"] == 2
    expected = encode(source, AVERAGE, keep=[1, 3])
    torch.testing.assert_close(encode(tmp_path / "student"), expected, rtol=0, atol=0)
    assert not torch.allclose(encode(source, AVERAGE, keep=[0, 2]), expected)
    if encoder == "branchformer":
        assert config["encoder_conf"]["stochastic_depth_rate"] == [0.2, 0.4]
    if encoder == "e_branchformer":
        assert config["encoder_conf"]["gradient_checkpoint_layers"] == [0, 1, 2]


def test_selection_is_pure():
    state = {f"encoder.encoders.{i}.w": torch.tensor(i) for i in range(12)} | {"ctc.ctc_lo.weight": torch.tensor(99)}
    config = {"encoder_conf": {"num_blocks": 12, "stochastic_depth_rate": 0.1}}
    new_config, new_state = derive(config, state, [0, 10, 11])
    assert {key: int(value) for key, value in new_state.items()} == {
        "encoder.encoders.0.w": 0,
        "encoder.encoders.1.w": 10,
        "encoder.encoders.2.w": 11,
        "ctc.ctc_lo.weight": 99,
    }
    assert new_config["encoder_conf"] == {"num_blocks": 3, "stochastic_depth_rate": 0.1}
    assert config == {"encoder_conf": {"num_blocks": 12, "stochastic_depth_rate": 0.1}}
    assert len(state) == 13


def test_checkpoint_of_an_older_espnet(tmp_path):
    """ESPnet <= 202511 spells the subsampling's linear layer embed.out.0."""
    source = save_experiment(tmp_path / "source", **conf_of("conformer"))
    expected = encode(source, AVERAGE, keep=[3])
    state = torch.load(source / AVERAGE)
    old = {key.replace("embed.out.", "embed.out.0."): value for key, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, source / AVERAGE)
    run(source, tmp_path / "student", "last:1")
    assert "encoder.embed.out.weight" in torch.load(tmp_path / "student/model.pth")  # what --init_param looks for
    torch.testing.assert_close(encode(tmp_path / "student"), expected)


def test_decoder_is_kept_or_dropped(tmp_path):
    source = save_experiment(tmp_path / "source", **{**conf_of("conformer"), **ATTENTION})
    kept = run(source, tmp_path / "kept", "last:2")
    assert kept["decoder"] == "transformer"
    assert any(key.startswith("decoder.") for key in torch.load(tmp_path / "kept/model.pth"))
    dropped = run(source, tmp_path / "dropped", "last:2", "--ctc_only", "true")
    assert dropped["model_conf"]["ctc_weight"] == 1.0
    assert not any(key.startswith("decoder.") for key in torch.load(tmp_path / "dropped/model.pth"))
    torch.testing.assert_close(encode(tmp_path / "dropped"), encode(tmp_path / "kept"))


def test_intermediate_ctc_is_left_out(tmp_path, caplog):
    conf = conf_of("conformer")
    conf["encoder_conf"] |= {"interctc_layer_idx": [2], "interctc_use_conditioning": True}
    conf["model_conf"] = {"ctc_weight": 1.0, "interctc_weight": 0.3}
    source = save_experiment(tmp_path / "source", **conf)
    config = run(source, tmp_path / "student", "last:2")
    assert "interctc_weight is 0" in caplog.text
    assert config["model_conf"]["interctc_weight"] == 0.0
    assert not any("interctc" in key for key in config["encoder_conf"])
    assert not any("conditioning" in key for key in torch.load(tmp_path / "student/model.pth"))
    encode(tmp_path / "student")


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        ("last:4", [8, 9, 10, 11]),
        ("first:2", [0, 1]),
        ("even:1", [11]),
        ("even:2", [0, 11]),
        ("even:4", [0, 3, 7, 11]),
        ("even:6", [0, 2, 4, 6, 8, 11]),
        ("even:12", list(range(12))),
        ("0,3,7,11", [0, 3, 7, 11]),
    ],
)
def test_selections(spec, layers):
    assert select_layers(spec, 12) == layers


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("last:0", "0 layers cannot be taken.*N is 1 to 12"),
        ("even:13", "13 layers cannot be taken.*N is 1 to 12"),
        ("0,12", "no layer 12.*0 to 11"),
        ("-1", "no layer -1.*0 to 11"),
        ("3,3", "each once.*0 to 11"),
        ("5,3", "must increase.*0 to 11"),
        ("middle:2", "use last:N, first:N, even:N"),
        ("", "use last:N, first:N, even:N"),
    ],
)
def test_bad_selections_name_the_valid_range(spec, message):
    with pytest.raises(UserError, match=message):
        select_layers(spec, 12)


def test_checkpoint_of_another_model(tmp_path):
    source = save_experiment(tmp_path / "source", **conf_of("conformer"))
    other = save_experiment(tmp_path / "other", **model_conf(4, output_size=4))
    (other / AVERAGE).rename(source / AVERAGE)
    with pytest.raises(UserError, match=r"does not fit its config.yaml: .*size mismatch"):
        run(source, tmp_path / "student", "last:2")
    torch.save({"encoder.encoders.0.x": torch.zeros(1)}, source / AVERAGE)
    with pytest.raises(UserError, match=r"lacks .* tensors"):
        run(source, tmp_path / "student", "last:1")
    torch.save({"ctc.ctc_lo.weight": torch.zeros(1)}, source / AVERAGE)
    with pytest.raises(UserError, match="encoder 'conformer' has no list of layers"):
        run(source, tmp_path / "student", "last:1")
    assert not (tmp_path / "student").exists()


def test_source_is_never_overwritten(tmp_path):
    source = save_experiment(tmp_path / "source", **conf_of("conformer"))
    with pytest.raises(UserError, match="directory of --source"):
        run(source, source, "last:2")


def test_damaged_checkpoints_are_named(tmp_path):
    source = save_experiment(tmp_path / "source", **conf_of("conformer"))
    checkpoint = source / AVERAGE
    whole = checkpoint.read_bytes()
    for damaged in (whole[: len(whole) // 2], b""):
        checkpoint.write_bytes(damaged)
        with pytest.raises(UserError, match=f"{AVERAGE} is empty or cut off"):
            run(source, tmp_path / "student", "last:1")
    checkpoint.write_text("<html>not found</html>")
    with pytest.raises(UserError, match=f"{AVERAGE} cannot be read"):
        run(source, tmp_path / "student", "last:1")
    torch.save({"model": {}, "optimizers": [{}], "reporter": {"epoch": 3}}, checkpoint)
    with pytest.raises(UserError, match="trainer's state"):
        run(source, tmp_path / "student", "last:1")


def test_which_files_of_an_experiment(tmp_path):
    for name in ("valid.loss.best.pth", AVERAGE, "3epoch.pth"):
        torch.save({}, tmp_path / name)
    with pytest.raises(UserError, match=r"config\.yaml does not exist"):
        find_model_files(tmp_path)
    (tmp_path / "config.yaml").write_text("encoder: conformer")
    config = tmp_path / "config.yaml"
    assert find_model_files(tmp_path) == (config, tmp_path / AVERAGE)
    assert find_model_files(tmp_path, "3epoch.pth") == (config, tmp_path / "3epoch.pth")
    assert find_model_files(tmp_path / "3epoch.pth") == (config, tmp_path / "3epoch.pth")
    with pytest.raises(UserError, match=r"no 2epoch.pth; did you mean '3epoch.pth'\?"):
        find_model_files(tmp_path, "2epoch.pth")
    with pytest.raises(UserError, match="chooses a file of an experiment directory"):
        find_model_files(tmp_path / "3epoch.pth", "3epoch.pth")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.yaml").write_text("encoder: conformer")
    with pytest.raises(UserError, match=f"has none of {AVERAGE}"):
        find_model_files(empty)


@pytest.mark.parametrize("name", ["nothing.pth", "nothing.zip", "exp/asr_teacher"])
def test_missing_sources_are_not_downloaded(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exp").mkdir()
    with pytest.raises(UserError, match=f"{name} does not exist; give"):
        find_model_files(name)


def test_tag_without_the_downloader(monkeypatch):
    monkeypatch.setitem(sys.modules, "espnet_model_zoo.downloader", None)
    with pytest.raises(UserError, match="pip install espnet_model_zoo"):
        find_model_files("some_user/some_model")


def test_packed_model(tmp_path, monkeypatch):
    """A model with statistics, packed in its recipe and used from another directory."""
    recipe, elsewhere = tmp_path / "recipe", tmp_path / "elsewhere"
    recipe.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(recipe)
    mel = np.arange(20.0)
    np.savez("stats.npz", count=10, sum=mel, sum_square=mel**2 + 10)
    normalize = {"normalize": "global_mvn", "normalize_conf": {"stats_file": "stats.npz"}}
    source = save_experiment(recipe / "exp", **{**conf_of("torchaudio_conformer"), **normalize})
    expected = encode(source, AVERAGE, keep=[2, 3])
    archive = tmp_path / "model.zip"

    def make_archive():
        files = {"asr_model_file": f"exp/{AVERAGE}"}
        pack(files, {"asr_train_config": "exp/config.yaml"}, archive, option=["stats.npz"])

    make_archive()
    monkeypatch.chdir(elsewhere)
    config = run(source, elsewhere / "from_directory", "last:2")  # finds the recipe that relative paths start from
    assert config["normalize_conf"]["stats_file"] == str(recipe / "stats.npz")
    torch.testing.assert_close(encode(elsewhere / "from_directory"), expected)

    (tmp_path / "model.unpacked").mkdir()  # of an interrupted call
    (tmp_path / "model.unpacked/meta.yaml").touch()
    (tmp_path / "model.unpacked/.complete.json").write_text("{}")
    run(archive, elsewhere / "from_zip", "last:2")
    torch.testing.assert_close(encode(elsewhere / "from_zip"), expected)
    _, checkpoint = find_model_files(archive)
    before = checkpoint.stat().st_mtime_ns
    find_model_files(archive)
    assert checkpoint.stat().st_mtime_ns == before  # unpacked once

    monkeypatch.chdir(recipe)
    torch.save({"new": torch.zeros(1)}, source / AVERAGE)
    make_archive()
    assert list(torch.load(find_model_files(archive)[1])) == ["new"]


def test_bad_archives_are_named(tmp_path):
    archive = tmp_path / "bad.zip"
    archive.write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"bad\.zip is no zip or is cut off"):
        find_model_files(archive)
    torch.save({"a": torch.zeros(1)}, archive)
    with pytest.raises(UserError, match=r"bad\.zip is no model packed by ESPnet"):
        find_model_files(archive)
