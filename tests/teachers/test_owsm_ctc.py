"""OWSM-CTC says what ESPnet's own inference says, of the language and task that it is told."""

import zipfile

import pytest
import torch
import yaml

from espnet_ext.errors import UserError
from espnet_ext.teachers import Teacher
from espnet_ext.teachers.load import identify
from tests.teachers.foreign import S2T_TOKENS, SAMPLES, assert_same_frames, noise_batch, save_owsm_ctc, watched
from tests.tiny import model_conf, save_experiment

NAMES = ["encoder", "logits", "layer:1/3", "layer:1/1"]


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    return save_owsm_ctc(tmp_path_factory.mktemp("exp") / "owsm")


@pytest.mark.parametrize(
    ("options", "symbols"),
    [("", ("<nolang>", "<asr>")), (",language=deu,task=st_deu", ("<deu>", "<st_deu>"))],
)
def test_outputs_are_those_of_espnet(exp, options, symbols):
    from espnet2.bin.s2t_inference import Speech2Text

    teacher = Teacher.from_pretrained(f"owsm_ctc:{exp}{options}")
    stock = Speech2Text(exp / "config.yaml", exp / "valid.loss.ave.pth", lang_sym=symbols[0], task_sym=symbols[1])
    speech, lengths = noise_batch()
    found = teacher(speech, lengths, NAMES)
    assert (teacher.width, teacher.num_layers, teacher.frames_per_sec) == (16, 3, 25)
    assert teacher.tokens.symbols == tuple(S2T_TOKENS) and teacher.tokens.blank == 0
    for row, samples in enumerate(SAMPLES):
        own = stock._ctc_batch(speech[row : row + 1, :samples], None, None, None)
        with torch.no_grad(), watched(stock.s2t_model.encoder.encoders) as layers:
            (encoded, _), _ = stock.s2t_model.encode(**own)
        frames = int(found.lengths[row])
        expected = {"encoder": encoded, "logits": stock.s2t_model.ctc.ctc_lo(encoded)}
        expected |= {"layer:1/3": layers[0], "layer:1/1": layers[2]}
        for name, value in expected.items():
            value = value[:, 2:]  # without the symbols of language and task
            assert value.size(1) == frames == teacher.count_frames(samples)
            torch.testing.assert_close(found.of(name)[row, :frames], value[0], atol=1e-5, rtol=1e-4, msg=name)
    signals = [signal[:samples] for signal, samples in zip(speech, SAMPLES, strict=True)]
    for signal, transcript in zip(signals, teacher.transcribe(signals), strict=True):
        assert transcript.text == stock.best_path(signal)[0][3]


def test_a_cached_encoder_output_gives_the_same_logits(exp):
    teacher = Teacher.from_pretrained(f"owsm_ctc:{exp}")
    live = teacher(*noise_batch(), NAMES)
    cached = teacher.from_cache(live.encoder, live.lengths, {}, ["logits"])
    assert_same_frames(cached.logits, live.logits, live.lengths)


def test_language_and_task_change_the_identity(exp):
    names = [f"owsm_ctc:{exp}{options}" for options in ("", ",language=eng", ",task=st_deu")]
    assert len({identify(name) for name in names}) == 3
    assert len({identify(name).weights_sha256 for name in names}) == 1


def test_a_packed_model_is_found(exp, tmp_path):
    """As ESPnet's stage 14 of asr.sh and s2t.sh packs it."""
    meta = {"files": {"s2t_model_file": "exp/model.pth"}, "yaml_files": {"s2t_train_config": "exp/config.yaml"}}
    with zipfile.ZipFile(tmp_path / "owsm.zip", "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(meta))
        archive.write(exp / "config.yaml", "exp/config.yaml")
        archive.write(exp / "valid.loss.ave.pth", "exp/model.pth")
    teacher = Teacher.from_pretrained(f"owsm_ctc:{tmp_path / 'owsm.zip'}")
    torch.testing.assert_close(
        teacher(*noise_batch(), []).encoder, Teacher.from_pretrained(f"owsm_ctc:{exp}")(*noise_batch(), []).encoder
    )


def test_bad_input_is_named(exp, tmp_path):
    asr = save_experiment(tmp_path / "asr", **model_conf(1))
    for name, message in (
        (f"owsm_ctc:{exp},language=fra", "its tokens hold no <fra>; name one that they hold: .*language=NAME"),
        (f"owsm_ctc:{asr}", "cannot be loaded|is no model of ESPnet's task s2t_ctc"),
        (str(exp), f"of ESPnet's task s2t_ctc; give owsm_ctc:{exp}"),
    ):
        with pytest.raises(UserError, match=message):
            Teacher.from_pretrained(name)
