"""Tiny models of other libraries with random weights, written by the libraries themselves."""

import json
import string
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml

from tests.tiny import model_conf

SAMPLES = [16000, 9001, 12345]
VOCAB = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "A": 5, "B": 6, "C": 7}
ALPHABET = {symbol: place for place, symbol in enumerate([*list(VOCAB)[:5], *string.ascii_uppercase])}
# 25 ms windows every 20 ms, as the large models have, in two convolutions instead of seven.
_CONVOLUTIONS = {
    "conv_dim": (8, 8),
    "conv_kernel": (20, 20),
    "conv_stride": (20, 16),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
_SIZES = {
    "vocab_size": len(VOCAB),
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "pad_token_id": 0,
}
_WAVES = {**_SIZES, **_CONVOLUTIONS}
_MELS = {key: value for key, value in _SIZES.items() if key not in ("vocab_size", "pad_token_id")}
# By name: class of transformers (with "For..." or "Model"), what its configuration says.
MODELS: dict[str, tuple[str, dict]] = {
    "wav2vec2_group": ("Wav2Vec2ForCTC", {**_WAVES, "feat_extract_norm": "group"}),
    "wav2vec2_layer": ("Wav2Vec2ForCTC", {**_WAVES, "feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    "hubert": ("HubertForCTC", {**_WAVES, "feat_extract_norm": "layer"}),
    "wavlm": ("WavLMForCTC", {**_WAVES, "feat_extract_norm": "layer"}),
    "data2vec": (
        "Data2VecAudioForCTC",
        {**_WAVES, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 3},
    ),
    "sew": ("SEWForCTC", {**_WAVES, "squeeze_factor": 2}),
    "sew_d": ("SEWDForCTC", {**_WAVES, "squeeze_factor": 2, "position_buckets": 8, "max_position_embeddings": 32}),
    "unispeech": ("UniSpeechForCTC", {**_WAVES, "num_ctc_classes": len(VOCAB)}),
    "unispeech_sat": ("UniSpeechSatForCTC", {**_WAVES, "feat_extract_norm": "layer"}),
    "wav2vec2_conformer": ("Wav2Vec2ConformerForCTC", {**_WAVES, "conv_depthwise_kernel_size": 3}),
    "wav2vec2_bert": (
        "Wav2Vec2BertForCTC",
        {**_SIZES, "feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 3},
    ),
    "parakeet": (
        "ParakeetForCTC",
        {
            "vocab_size": len(VOCAB),
            "pad_token_id": 0,
            "encoder_config": {**_MELS, "conv_kernel_size": 3, "subsampling_conv_channels": 4, "num_mel_bins": 80},
        },
    ),
    "wav2vec2_encoder": ("Wav2Vec2Model", {**_WAVES, "feat_extract_norm": "layer"}),
    "wavlm_encoder": ("WavLMModel", {**_WAVES, "feat_extract_norm": "group"}),
}
_EXTRACTORS = {"wav2vec2_bert": "SeamlessM4TFeatureExtractor", "parakeet": "ParakeetFeatureExtractor"}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "num_mel_bins": 80,
    "max_target_positions": 448,
}


def noise_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Returns utterances of `SAMPLES` samples, (B, samples), and their lengths; noise lies behind them, too."""
    return torch.randn(3, 16000, generator=torch.Generator().manual_seed(1)) / 10, torch.tensor(SAMPLES)


def assert_same_frames(found: torch.Tensor, expected: torch.Tensor, lengths: torch.Tensor) -> None:
    """Compares the valid frames of two batches, (B, T, D)."""
    for row, frames in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[row, :frames], expected[row, :frames], atol=2e-4, rtol=1e-3)


@contextmanager
def watched(layers: Iterable[torch.nn.Module]) -> Iterator[list[torch.Tensor]]:
    """Collects the outputs of layers, in order, while the context is open."""
    outputs: list[torch.Tensor] = []

    def keep(_module, _inputs, output):
        while isinstance(output, tuple):
            output = output[0]
        outputs.append(output)

    handles = [layer.register_forward_hook(keep) for layer in layers]
    yield outputs
    for handle in handles:
        handle.remove()


def save(
    directory: Path, name: str, seed: int = 0, tokenizer: bool = True, vocab: dict[str, int] = VOCAB, **changes
) -> Path:
    """Writes one of `MODELS` with its feature extractor and, where it has a CTC head, its tokenizer."""
    import transformers

    class_name, conf = MODELS[name]
    if "vocab_size" in conf:
        changes = {"vocab_size": len(vocab), **changes}
    model_class = getattr(transformers, class_name)
    torch.manual_seed(seed)
    model = model_class(model_class.config_class(**conf | changes)).eval()
    if name == "wav2vec2_layer":  # says letters only, as a trained model
        with torch.no_grad():
            model.lm_head.bias[1:4] = -100.0
    model.save_pretrained(directory)
    extractor = getattr(transformers, _EXTRACTORS.get(name, "Wav2Vec2FeatureExtractor"))
    extractor().save_pretrained(directory)
    if tokenizer and class_name.endswith("ForCTC"):
        (directory / "vocab.json").write_text(json.dumps(vocab))
        transformers.Wav2Vec2CTCTokenizer(str(directory / "vocab.json")).save_pretrained(directory)
    return directory


def save_openai_whisper(path: Path, seed: int = 0) -> Path:
    """Writes a file as those that openai-whisper downloads."""
    from dataclasses import asdict

    from whisper.model import ModelDimensions, Whisper

    torch.manual_seed(seed)
    model = Whisper(ModelDimensions(80, 1500, 16, 2, 2, 51865, 448, 16, 2, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    for parameter in model.parameters():  # the library leaves the positions of the decoder as memory held them
        torch.nn.init.normal_(parameter, std=0.3)
    torch.save({"dims": asdict(model.dims), "model_state_dict": model.state_dict()}, path)
    return path


def save_transformers_whisper(directory: Path, seed: int = 0) -> Path:
    """Writes a Whisper of transformers, multilingual, with its tokenizer."""
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    torch.manual_seed(seed)
    special = {"decoder_start_token_id": 50258, "bos_token_id": 50257, "eos_token_id": 50257, "pad_token_id": 50257}
    model = WhisperForConditionalGeneration(WhisperConfig(**WHISPER, **special, vocab_size=51865, init_std=0.3)).eval()
    tokenizer = _whisper_tokenizer()
    ids = tokenizer.get_vocab()
    generation = {
        "lang_to_id": {token: ids[token] for token in ("<|en|>", "<|de|>")},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "is_multilingual": True,
        "suppress_tokens": [],
        "begin_suppress_tokens": [],
        "max_length": 20,
    }
    model.generation_config = GenerationConfig(**special, **generation)
    model.save_pretrained(directory)
    WhisperFeatureExtractor().save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def convert_whisper(source: Path, directory: Path) -> Path:
    """Converts a Whisper of transformers to files of CTranslate2, as faster-whisper's documentation says."""
    from ctranslate2.converters import TransformersConverter

    files = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(source), copy_files=files).convert(str(directory))
    return directory


def _whisper_tokenizer():
    """Returns a tokenizer with the ids of multilingual Whisper, from the ranks that openai-whisper brings."""
    import whisper.tokenizer as openai
    from transformers import WhisperTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    encoding, letters = openai.get_encoding("multilingual"), bytes_to_unicode()
    ranks = {"".join(letters[byte] for byte in piece): rank for piece, rank in encoding._mergeable_ranks.items()}
    merges = []
    for piece, rank in ranks.items():
        splits = ((piece[:i], piece[i:]) for i in range(1, len(piece)))
        merges += [pair for pair in splits if max(ranks.get(part, rank) for part in pair) < rank][:1]
    tokenizer = WhisperTokenizer(vocab=ranks, merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": list(encoding._special_tokens)})
    return tokenizer


S2T_TOKENS = ["<blank>", "<unk>", "<na>", "<nolang>", "<eng>", "<deu>", "<asr>", "<st_deu>"]
S2T_TOKENS += ["one", "two", "three", "<sop>", "<sos>", "<eos>"]


def save_owsm_ctc(exp_dir: Path, seed: int = 0, tokens: list[str] = S2T_TOKENS) -> Path:
    """Writes config.yaml and valid.loss.ave.pth of a tiny OWSM-CTC, with intermediate CTC as the large ones have."""
    from espnet2.tasks.s2t_ctc import S2TTask

    args = vars(S2TTask.get_parser().parse_args([]))
    size = {"output_size": 16, "attention_heads": 2, "linear_units": 16}
    args |= {
        "token_list": list(tokens),
        "token_type": "word",
        "frontend_conf": model_conf()["frontend_conf"],
        "normalize": None,
        "encoder_conf": {
            **size,
            "num_blocks": 3,
            "cgmlp_linear_units": 16,
            "cgmlp_conv_kernel": 3,
            "merge_conv_kernel": 3,
            "use_ffn": True,
            "macaron_ffn": True,
            "interctc_layer_idx": [1],
            "interctc_use_conditioning": True,
            "input_layer": "conv2d",
        },
        "promptencoder_conf": {**size, "num_blocks": 1},
        "model_conf": {"ctc_asr_only": [True, False]},
        "preprocessor_conf": {"notime_symbol": "<notimestamps>", "fs": 16000, "speech_length": 1},
    }
    torch.manual_seed(seed)
    model = S2TTask.build_model(Namespace(**args))
    exp_dir.mkdir(parents=True)
    (exp_dir / "config.yaml").write_text(yaml.safe_dump(args), encoding="utf-8")
    torch.save(model.state_dict(), exp_dir / "valid.loss.ave.pth")
    return exp_dir
