"""Teachers of transformers say what the library says, utterance by utterance, also in ragged batches and of a cache."""

import json
from pathlib import Path

import pytest
import torch

from espnet_ext.errors import UserError
from espnet_ext.teachers import Teacher
from espnet_ext.teachers.load import identify
from tests.checkpoints.packed import POINTER, damage
from tests.teachers.foreign import MODELS, SAMPLES, VOCAB, assert_same_frames, noise_batch, save

pytest.importorskip("transformers")

NAMES = ["encoder", "layer:1/2", "layer:1/1"]


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    return request.param, save(tmp_path_factory.mktemp("models") / request.param, request.param)


def by_the_library(directory, name: str, signal: torch.Tensor) -> dict[str, torch.Tensor]:
    """Returns the outputs for one utterance, (T, ...) each, by the lines that the library's documentation has."""
    import transformers

    auto = transformers.AutoModelForCTC if name.endswith("ForCTC") else transformers.AutoModel
    model = auto.from_pretrained(directory).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(directory)
    inputs = extractor(signal.numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    found = {f"layer:{layer}/4": output.hidden_states[layer][0] for layer in (2, 4)}
    found |= {"logits": output.logits[0]} if auto is transformers.AutoModelForCTC else {}
    return found | ({} if "last_hidden_state" not in output else {"encoder": output.last_hidden_state[0]})


def test_outputs_are_those_of_the_library_in_ragged_batches(saved):
    kind, directory = saved
    teacher = Teacher.from_pretrained(f"transformers:{directory}")
    speech, lengths = noise_batch()
    names = ["encoder"] if kind.startswith("sew") else list(NAMES)  # its layers have half the frames
    names += ["logits"] if teacher.has_head else []
    found = teacher(speech, lengths, names)
    assert teacher.num_layers == 4 and teacher.width == 16 == found.encoder.size(-1)
    assert teacher.has_head == MODELS[kind][0].endswith("ForCTC") == (teacher.tokens is not None)
    for row, samples in enumerate(SAMPLES):
        expected = by_the_library(directory, MODELS[kind][0], speech[row, :samples])
        frames = int(found.lengths[row])
        # Extractors of spectra pad to whole frames, of which the library's masks leave out the last.
        assert all(len(expected[name]) - frames in (0, 1) for name in ("logits", "encoder") if name in expected)
        assert abs(frames - samples / teacher.frame_samples) <= 2
        for name in names:
            key = name.replace("1/2", "2/4").replace("1/1", "4/4")
            if key in expected:
                torch.testing.assert_close(
                    found.of(name)[row, :frames], expected[key][:frames], atol=2e-4, rtol=1e-3, msg=f"{name} {row}"
                )


def test_a_cached_encoder_output_gives_the_same_logits(saved):
    kind, directory = saved
    teacher = Teacher.from_pretrained(f"transformers:{directory}")
    if not teacher.has_head:
        with pytest.raises(UserError, match="has no CTC output"):
            teacher.head(torch.zeros(1, 2, 16))
        return
    live = teacher(*noise_batch(), ["logits"])
    cached = teacher.from_cache(live.encoder, live.lengths, {}, ["logits"])
    assert_same_frames(cached.logits, live.logits, live.lengths)


def test_short_utterances_have_no_frames_and_change_no_others(saved):
    kind, directory = saved
    teacher = Teacher.from_pretrained(f"transformers:{directory}")
    speech, _ = noise_batch()
    found = teacher(speech, torch.tensor([200, 9001, 0]), ["encoder"])
    assert found.lengths.tolist()[0] == found.lengths.tolist()[2] == 0
    alone = teacher(speech[1:2], torch.tensor([9001]), ["encoder"])
    torch.testing.assert_close(found.encoder[1], alone.encoder[0])
    assert teacher(speech, torch.tensor([200, 3, 0]), ["encoder"]).encoder.shape == (3, 0, 16)
    assert teacher.count_frames(teacher.min_samples) >= 1 and teacher.count_frames(teacher.min_samples - 1) in (0, 1)


def test_a_model_that_looks_at_padding_gets_utterances_of_one_length(tmp_path):
    """wav2vec2-base normalises over time: in a padded batch the library itself gives other outputs than alone."""
    group = Teacher.from_pretrained(f"transformers:{save(tmp_path / 'group', 'wav2vec2_group')}")
    layer = Teacher.from_pretrained(f"transformers:{save(tmp_path / 'layer', 'wav2vec2_layer')}")
    assert not group.ignores_padding and layer.ignores_padding
    calls = []
    for teacher in (group, layer):
        forward = teacher.forward
        teacher.forward = lambda signals, names, forward=forward: calls.append(len(signals)) or forward(signals, names)
        teacher(*noise_batch(), [])
    assert calls == [1, 1, 1, 3]


def test_text_is_what_the_tokenizer_says(tmp_path):
    import transformers

    directory = save(tmp_path / "model", "wav2vec2_layer")
    teacher = Teacher.from_pretrained(f"transformers:{directory}")
    assert teacher.tokens.symbols == tuple(VOCAB) and teacher.tokens.blank == 0 and teacher.makes_text
    speech, lengths = noise_batch()
    processor = transformers.AutoProcessor.from_pretrained(directory)
    signals = [signal[:samples] for signal, samples in zip(speech, SAMPLES, strict=True)]
    logits = teacher(speech, lengths, ["logits"]).of("logits")[0]
    with torch.no_grad():  # so that the blank is best in about half of the frames
        teacher.model.lm_head.bias[0] += (logits[:, 4:].max(dim=-1).values - logits[:, 0]).mean()
    for transcript, signal in zip(teacher.transcribe(signals), signals, strict=True):
        inputs = processor(signal.numpy(), sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            logits = teacher.model(**inputs).logits
        assert transcript.text == processor.batch_decode(logits.argmax(dim=-1))[0].strip() != ""
        posteriors, best = logits[0].softmax(dim=-1).max(dim=-1)
        assert (best == 0).any()
        assert transcript.confidence == pytest.approx(posteriors[best != 0].mean().item(), rel=1e-4)


def test_bpe_of_parakeet(tmp_path):
    """Its tokenizer collapses repetitions itself; repeated tokens between which a blank was must stay."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import ParakeetTokenizer

    directory = save(tmp_path / "parakeet", "parakeet", tokenizer=False)
    words = {"<unk>": 0, "▁a": 1, "b": 2, "▁c": 3, "<pad>": 7}
    bpe = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    ParakeetTokenizer(tokenizer_object=bpe, unk_token="<unk>", pad_token="<pad>").save_pretrained(directory)
    config = json.loads((directory / "config.json").read_text()) | {"pad_token_id": 7}
    (directory / "config.json").write_text(json.dumps(config))
    teacher = Teacher.from_pretrained(f"transformers:{directory}")
    assert teacher.tokens.blank == 7
    assert teacher.tokens.symbols == ("<unk>", "▁a", "b", "▁c", "<unused_4>", "<unused_5>", "<unused_6>", "<pad>")
    assert teacher.text([1, 2, 2, 3]) == "abb c"


def test_adapters_of_mms(tmp_path):
    """Each language has an adapter and tokens of its own."""
    import transformers
    from safetensors.torch import save_file

    directory = save(tmp_path / "mms", "wav2vec2_layer", adapter_attn_dim=4)
    vocabularies = {"eng": VOCAB, "deu": {**{key: VOCAB[key] for key in list(VOCAB)[:5]}, "Ä": 5, "Ö": 6}}
    (directory / "vocab.json").write_text(json.dumps(vocabularies))
    transformers.Wav2Vec2CTCTokenizer(str(directory / "vocab.json"), target_lang="eng").save_pretrained(directory)
    model = transformers.Wav2Vec2ForCTC.from_pretrained(directory)
    torch.manual_seed(5)
    for language, size in (("eng", 8), ("deu", 7)):
        adapter = {key: torch.randn_like(value) for key, value in model._get_adapters().items()}
        head = {"lm_head.weight": torch.randn(size, 16), "lm_head.bias": torch.randn(size)}
        save_file(adapter | head, directory / f"adapter.{language}.safetensors", {"format": "pt"})
    teachers = {
        language: Teacher.from_pretrained(f"transformers:{directory},language={language}") for language in vocabularies
    }
    speech, lengths = noise_batch()
    for language, teacher in teachers.items():
        own = transformers.Wav2Vec2ForCTC.from_pretrained(directory, target_lang=language, ignore_mismatched_sizes=True)
        inputs = teacher.extractor(speech[0].numpy(), sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            expected = own.eval()(**inputs).logits[0]
        torch.testing.assert_close(teacher(speech[:1], lengths[:1], ["logits"]).logits[0], expected)
        assert teacher.tokens.symbols == tuple(vocabularies[language])
    names = [f"transformers:{directory}", *(f"transformers:{directory},language={name}" for name in vocabularies)]
    assert len({identify(name) for name in names}) == 3
    with pytest.raises(UserError, match="no adapter of the language fra; it has deu, eng"):
        identify(f"transformers:{directory},language=fra")


def test_audio_of_another_rate_is_resampled(tmp_path):
    from torchaudio.functional import resample

    teacher = Teacher.from_pretrained(f"transformers:{save(tmp_path / 'model', 'wavlm')}")
    speech, lengths = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0)), torch.tensor([8000, 5001])
    found = teacher(speech, lengths, ["encoder"], sample_rate_hz=8000)
    for row, samples in enumerate(lengths.tolist()):
        own = resample(speech[row : row + 1, :samples], 8000, 16000)
        expected = teacher(own, torch.tensor([own.size(1)]), ["encoder"]).encoder[0]
        assert int(found.lengths[row]) == len(expected)
        torch.testing.assert_close(found.encoder[row, : len(expected)], expected, atol=2e-4, rtol=1e-3)


def test_the_identity_is_of_weights_and_of_what_decides_the_outputs(tmp_path):
    directory = save(tmp_path / "one", "wavlm")
    name = f"transformers:{directory}"
    first = identify(name)
    assert identify(f"transformers:{save(tmp_path / 'same', 'wavlm')}") == first
    assert identify(f"transformers:{save(tmp_path / 'other', 'wavlm', seed=1)}").weights_sha256 != first.weights_sha256
    extractor = json.loads((directory / "preprocessor_config.json").read_text())
    (directory / "preprocessor_config.json").write_text(json.dumps(extractor | {"do_normalize": False}))
    changed = identify(name)
    assert changed.weights_sha256 == first.weights_sha256 and changed.config_sha256 != first.config_sha256


def test_layers_of_another_frame_rate_are_refused(tmp_path):
    teacher = Teacher.from_pretrained(f"transformers:{save(tmp_path / 'sew', 'sew')}")
    with pytest.raises(UserError, match="layer:1/2 has another frame rate than the encoder's output"):
        teacher(*noise_batch(), ["layer:1/2"])


def as_damaged_pickle(directory: Path) -> None:
    """Weights as older models have them, of which a block of zeros would be taken for values."""
    weights = directory / "pytorch_model.bin"
    from safetensors.torch import load_file

    torch.save(load_file(directory / "model.safetensors"), weights)
    (directory / "model.safetensors").unlink()
    damage(weights)
    torch.load(weights)  # which says nothing


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "preprocessor_config.json").unlink(), "is no model of speech"),
        (lambda d: (d / "model.safetensors").write_bytes(b"nothing"), "cannot be loaded"),
        (lambda d: (d / "model.safetensors").write_text(POINTER), "is a git-lfs pointer"),
        (as_damaged_pickle, r"weights .*pytorch_model\.bin is damaged: \S+ in it does not have the sum"),
        (lambda d: (d / "model.safetensors").unlink(), "has no weights .model.safetensors, "),
        (
            lambda d: (d / "config.json").write_text(
                (d / "config.json").read_text().replace('"num_hidden_layers": 4', '"num_hidden_layers": 5')
            ),
            "lacks .* of the model's tensors, e.g. wavlm.encoder.layers.4",
        ),
    ],
)
def test_broken_directories_are_named(tmp_path, spoil, message):
    directory = save(tmp_path / "model", "wavlm")
    spoil(directory)
    with pytest.raises(UserError, match=f"{directory}.*{message}|{message}"):
        Teacher.from_pretrained(f"transformers:{directory}")


def test_a_language_that_nothing_takes_is_refused(tmp_path):
    with pytest.raises(UserError, match="has neither adapters nor a decoder; leave out language"):
        Teacher.from_pretrained(f"transformers:{save(tmp_path / 'model', 'wavlm')}", language="deu")


def test_a_model_without_tokenizer_gives_frames_but_no_text(tmp_path):
    teacher = Teacher.from_pretrained(f"transformers:{save(tmp_path / 'model', 'hubert', tokenizer=False)}")
    assert teacher.has_head and not teacher.makes_text
    with pytest.raises(UserError, match="makes no text"):
        teacher.transcribe([torch.randn(16000)])
