"""Whisper in three libraries: frames of the encoder and text of the decoder are those that the library gives."""

import hashlib
import math

import numpy as np
import pytest
import torch

from espnet_ext.errors import UserError
from espnet_ext.teachers import Teacher
from espnet_ext.teachers.load import identify
from tests.checkpoints.packed import POINTER, damage
from tests.teachers.foreign import convert_whisper, save_openai_whisper, save_transformers_whisper, watched

whisper = pytest.importorskip("whisper")
pytest.importorskip("transformers")
pytest.importorskip("faster_whisper")
LENGTHS = [16000, 9001, 400]
FRAMES = [50, 29, 2]


@pytest.fixture(scope="module")
def openai(tmp_path_factory):
    return save_openai_whisper(tmp_path_factory.mktemp("openai") / "tiny.pt")


@pytest.fixture(scope="module")
def transformers_whisper(tmp_path_factory):
    return save_transformers_whisper(tmp_path_factory.mktemp("transformers") / "whisper")


@pytest.fixture(scope="module")
def ctranslate2(transformers_whisper, tmp_path_factory):
    return convert_whisper(transformers_whisper, tmp_path_factory.mktemp("ctranslate2") / "whisper")


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    speech = torch.randn(3, 16000, generator=torch.Generator().manual_seed(0)) / 10
    return speech, torch.tensor(LENGTHS)


def test_frames_of_openai_whisper(openai):
    teacher = Teacher.from_pretrained(f"whisper:{openai}")
    assert (teacher.width, teacher.num_layers, teacher.frames_per_sec) == (16, 2, 50)
    speech, lengths = batch()
    found = teacher(speech, lengths, ["layer:1/2", "layer:1/1"])
    assert found.lengths.tolist() == FRAMES
    model = whisper.load_model(str(openai), device="cpu")
    for row, (samples, frames) in enumerate(zip(LENGTHS, FRAMES, strict=True)):
        with torch.no_grad(), watched(model.encoder.blocks) as layers:
            expected = model.embed_audio(whisper.log_mel_spectrogram(whisper.pad_or_trim(speech[row, :samples]))[None])
        torch.testing.assert_close(found.encoder[row, :frames], expected[0, :frames], atol=1e-5, rtol=1e-4)
        for name, layer in zip(("layer:1/2", "layer:1/1"), layers, strict=True):
            torch.testing.assert_close(found.layers[name][row, :frames], layer[0, :frames], atol=1e-5, rtol=1e-4)


def test_frames_of_transformers(transformers_whisper):
    import transformers

    teacher = Teacher.from_pretrained(f"transformers:{transformers_whisper}")
    assert teacher.num_layers == 2 and teacher.frames_per_sec == 50 and not teacher.has_head and teacher.makes_text
    speech, lengths = batch()
    found = teacher(speech, lengths, ["layer:1/2"])
    assert found.lengths.tolist() == FRAMES
    model = transformers.WhisperModel.from_pretrained(transformers_whisper).eval()
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(transformers_whisper)
    for row, (samples, frames) in enumerate(zip(LENGTHS, FRAMES, strict=True)):
        inputs = extractor(speech[row, :samples].numpy(), sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            expected = model.encoder(**inputs, output_hidden_states=True)
        torch.testing.assert_close(found.encoder[row, :frames], expected[0][0, :frames], atol=1e-5, rtol=1e-4)
        layer = expected.hidden_states[1][0, :frames]
        torch.testing.assert_close(found.layers["layer:1/2"][row, :frames], layer, atol=1e-5, rtol=1e-4)


def test_frames_of_ctranslate2_are_those_of_faster_whisper_and_of_the_model_it_was_made_of(
    ctranslate2, transformers_whisper
):
    from faster_whisper import WhisperModel
    from faster_whisper.audio import pad_or_trim

    teacher = Teacher.from_pretrained(f"whisper:{ctranslate2}")
    speech, lengths = batch()
    found = teacher(speech, lengths, [])
    assert found.lengths.tolist() == FRAMES and teacher.num_layers == 0
    model = WhisperModel(str(ctranslate2), device="cpu")
    for row, (samples, frames) in enumerate(zip(LENGTHS, FRAMES, strict=True)):
        mel = pad_or_trim(model.feature_extractor(speech[row, :samples].numpy()))
        expected = torch.from_numpy(np.array(model.encode(mel)))[0, :frames]
        torch.testing.assert_close(found.encoder[row, :frames], expected, atol=1e-5, rtol=1e-4)
    # Of a whole window: one library pads spectra with zeros, the other audio with silence, and attention sees both.
    window = torch.randn(1, 30 * 16000, generator=torch.Generator().manual_seed(1)) / 10, torch.tensor([30 * 16000])
    origin = Teacher.from_pretrained(f"transformers:{transformers_whisper}")
    ours, theirs = (one(*window, []).encoder[0] for one in (teacher, origin))
    assert torch.cosine_similarity(ours, theirs, dim=-1).median() > 0.999
    with pytest.raises(UserError, match="CTranslate2 shows no hidden layers .*layer:1/2.*openai-whisper"):
        teacher(speech, lengths, ["layer:1/2"])


def test_longer_utterances_are_cut_into_windows(openai):
    teacher = Teacher.from_pretrained(f"whisper:{openai}")
    window = 30 * 16000
    speech = torch.randn(1, window + 5000, generator=torch.Generator().manual_seed(0)) / 10
    found = teacher(speech, torch.tensor([speech.size(1)]), [])
    parts = [teacher(part, torch.tensor([part.size(1)]), []) for part in (speech[:, :window], speech[:, window:])]
    assert found.lengths.tolist() == [1500 + 16]
    torch.testing.assert_close(found.encoder, torch.cat([part.encoder for part in parts], dim=1))


@pytest.mark.slow
@pytest.mark.parametrize("language", [None, "de"])
def test_text_is_that_of_the_decoder(openai, ctranslate2, transformers_whisper, language):
    option = f",language={language}" if language else ""
    signals = [signal[:samples] for signal, samples in zip(*batch(), strict=True)][:2]
    model = whisper.load_model(str(openai), device="cpu")
    options = {"beam_size": 5, "temperature": 0.0, "condition_on_previous_text": False, "language": language}
    for signal, found in zip(
        signals, Teacher.from_pretrained(f"whisper:{openai}{option}").transcribe(signals), strict=True
    ):
        expected = model.transcribe(signal.numpy(), fp16=False, **options)
        assert found.text == expected["text"].strip()
        scores = [segment["avg_logprob"] for segment in expected["segments"]]
        assert len(scores) != 1 or found.confidence == pytest.approx(math.exp(scores[0]))
    from faster_whisper import WhisperModel

    model = WhisperModel(str(ctranslate2), device="cpu")
    teacher = Teacher.from_pretrained(f"whisper:{ctranslate2}{option}")
    for signal, found in zip(signals, teacher.transcribe(signals), strict=True):
        assert found.text == "".join(s.text for s in model.transcribe(signal.numpy(), **options)[0]).strip()
    import transformers

    model = transformers.WhisperForConditionalGeneration.from_pretrained(transformers_whisper).eval()
    processor = transformers.WhisperProcessor.from_pretrained(transformers_whisper)
    teacher = Teacher.from_pretrained(f"transformers:{transformers_whisper}{option}")
    for signal, found in zip(signals, teacher.transcribe(signals), strict=True):
        inputs = processor(signal.numpy(), sampling_rate=16000, return_tensors="pt")
        ids = model.generate(**inputs, **({"language": language} if language else {}))
        assert found.text == processor.batch_decode(ids, skip_special_tokens=True)[0].strip() != ""
        told = {"language": language} if language else {}
        whole = model.generate(
            **inputs, **told, return_dict_in_generate=True
        ).sequences  # with what the decoder is told
        with torch.no_grad():
            logits = model(**inputs, decoder_input_ids=whole[:, :-1]).logits[0, -ids.size(1) :]
        chosen = logits.log_softmax(dim=-1).gather(1, ids[0, :, None])
        assert found.confidence == pytest.approx(chosen.mean().exp().item(), rel=1e-3)


def test_identity_is_of_the_file_that_is_read(openai, ctranslate2):
    assert identify(f"whisper:{openai}").weights_sha256 == hashlib.sha256(openai.read_bytes()).hexdigest()
    found = identify(f"whisper:{ctranslate2}")
    assert found.weights_sha256 == hashlib.sha256((ctranslate2 / "model.bin").read_bytes()).hexdigest()
    assert identify(f"whisper:{ctranslate2},language=de") == found  # of the text, not of the frames


def test_bad_input_is_named(tmp_path, openai, transformers_whisper):
    damaged, pointer = tmp_path / "damaged.pt", tmp_path / "model.bin"
    damaged.write_bytes(openai.read_bytes())
    damage(damaged)
    pointer.write_text(POINTER)
    for name, message in (
        (f"whisper:{damaged}", r"weights .*damaged\.pt is damaged: \S+ in it does not have the sum"),
        (f"whisper:{tmp_path}", r"model\.bin is a git-lfs pointer"),
        (f"whisper:{transformers_whisper}", f"no model.bin of CTranslate2; give transformers:{transformers_whisper}"),
        ("whisper:basic", "basic is no file, directory, .* or size; did you mean 'base'"),
        (f"whisper:{openai},beam=0", "beam takes a number of at least 1, not '0'"),
        (f"whisper:{__file__}", "is no model of openai-whisper"),
    ):
        with pytest.raises(UserError, match=message):
            Teacher.from_pretrained(name)
