"""Teachers of the library transformers: CTC models, and encoders alone, each with its own feature extractor.

CTC models are what `AutoModelForCTC` loads: wav2vec2, HuBERT, WavLM, data2vec-audio, wav2vec2-BERT, MMS with adapters,
SEW, UniSpeech, Parakeet and others. Encoders are what `AutoModel` loads of speech. Of Whisper and the like the encoder
gives the frames, and the decoder the text.
"""

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from espnet_ext.checkpoints.whole import check_whole
from espnet_ext.encoder.layers import layer_depth, layer_index
from espnet_ext.encoder.outputs import HEAD_OUTPUTS, Outputs
from espnet_ext.errors import UserError, first_line
from espnet_ext.quiet import quiet_espnet
from espnet_ext.teachers.signals import SignalTeacher
from espnet_ext.teachers.teacher import Identity, Transcript
from espnet_ext.teachers.tokens import Tokens
from espnet_ext.teachers.transformers_bpe import is_bpe, sentencepiece_model
from espnet_ext.teachers.transformers_files import find_directory, identify, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Methods by which the library's models tell their output frames, by what they count in.
_LENGTHS = ("_get_feat_extract_output_lengths", "_get_subsampling_output_length")
_HEADS = ("lm_head", "ctc_head")
# Tensors that are used in pre-training only, which published checkpoints leave out.
_UNUSED = re.compile(r"masked_spec_embed$")


class TransformersTeacher(SignalTeacher):
    """Runs a model of transformers on what its feature extractor makes of the audio.

    Args:
        model: in `eval` mode.
        extractor: its feature extractor.
        tokenizer: of its text; None: it has none.
        name: for error messages.
        language: that a decoder is told; None: it finds out itself.
    """

    def __init__(self, model: "PreTrainedModel", extractor: Any, tokenizer: Any, name: str, language: str | None):
        self.model, self.extractor, self.tokenizer = model.requires_grad_(False).eval(), extractor, tokenizer
        self.name, self.language = name, language
        self.has_decoder = model.config.is_encoder_decoder
        self.encoder = model.get_encoder() if self.has_decoder else model
        self.sample_rate_hz = extractor.sampling_rate
        self.window = getattr(extractor, "n_samples", None)  # Whisper's, which pads to it
        self.hop_length = getattr(extractor, "hop_length", None)
        if not self.has_decoder:
            self.head_module = next((getattr(model, head) for head in _HEADS if hasattr(model, head)), None)
        self._lengths = next((getattr(self.encoder, name) for name in _LENGTHS if hasattr(self.encoder, name)), None)
        self.can_pad = self._lengths is not None
        second = torch.randn(self.sample_rate_hz, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            shown, hidden, _ = self._encode([second], layers=True)
        self.width, self.num_layers = shown.size(-1), len(hidden) - 1
        if self.has_head and tokenizer is not None:
            self.tokens = _tokens(model.config, tokenizer)

    @classmethod
    def load(cls, location: str, name: str, language: str | None = None) -> "TransformersTeacher":
        """Loads a model.

        Args:
            location: see `find_directory`.
            name: for error messages.
            language: of an MMS adapter, or that a decoder is told.

        Raises:
            UserError: no such model, no model of speech, or not all of its weights.
        """
        import transformers

        directory = find_directory(location, language)
        try:
            config = transformers.AutoConfig.from_pretrained(directory)
            extractor = transformers.AutoFeatureExtractor.from_pretrained(directory)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"teacher {name}: {directory} is no model of speech: {first_line(error)}") from error
        adapter = getattr(config, "adapter_attn_dim", None) is not None and language is not None
        options = {"target_lang": language, "ignore_mismatched_sizes": True} if adapter else {}
        for path in weight_files(directory, language if adapter else None):
            check_whole(path, "weights")  # torch.load compares no sums
        try:
            with quiet_espnet():
                model, told = _class_of(config).from_pretrained(
                    directory, dtype=torch.float32, output_loading_info=True, **options
                )
        except Exception as error:  # whatever the readers meet in a damaged file
            raise UserError(f"teacher {name}: {directory} cannot be loaded: {first_line(error)}") from error
        missing = sorted(key for key in told["missing_keys"] if not _UNUSED.search(key))
        if missing:
            raise UserError(
                f"teacher {name}: {directory} lacks {len(missing)} of the model's tensors, e.g. {missing[0]}, which "
                "would be random values; its weights and config.json are of different models"
            )
        if language is not None and not adapter and not model.config.is_encoder_decoder:
            raise UserError(f"teacher {name}: {directory} has neither adapters nor a decoder; leave out language")
        tokenizer = _tokenizer(directory, language if adapter else None)
        return cls(model, extractor, tokenizer, name, None if adapter else language)

    @staticmethod
    def identify(location: str, language: str | None = None) -> Identity:
        """Returns the hashes of a model, which is not loaded; see `load`."""
        return Identity(*identify(find_directory(location, language), language))

    @classmethod
    def read_tokens(cls, location: str, language: str | None = None) -> Tokens | None:
        """See `Teacher.read_tokens`; without its weights."""
        import transformers

        directory = find_directory(location, language)
        try:
            config = transformers.AutoConfig.from_pretrained(directory)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"teacher transformers:{location}: it is no model: {first_line(error)}") from error
        adapter = getattr(config, "adapter_attn_dim", None) is not None and language is not None
        tokenizer = _tokenizer(directory, language if adapter else None)
        if tokenizer is None or _class_of(config) is not transformers.AutoModelForCTC:
            return None
        if adapter:  # its head is the language's
            config.vocab_size = max(tokenizer.get_vocab().values()) + 1
        return _tokens(config, tokenizer)

    @staticmethod
    def bpe_model(location: str, language: str | None = None) -> bytes:
        """See `Teacher.bpe_model`."""
        return sentencepiece_model(_tokenizer(find_directory(location, language), None), f"transformers:{location}")

    @staticmethod
    def writes_text(location: str, language: str | None = None) -> bool:
        """Tells whether `makes_text` will be, of a model that is not loaded; see `load`."""
        import transformers

        directory = find_directory(location, language)
        try:
            config = transformers.AutoConfig.from_pretrained(directory)
        except (OSError, ValueError, KeyError):
            return True  # `load` says what is wrong
        return _class_of(config) is not transformers.AutoModel and _tokenizer(directory, None) is not None

    def forward(self, signals: Sequence[Tensor], names: Sequence[str]) -> Outputs:
        """See `SignalTeacher.forward`."""
        wanted = [name for name in names if name.startswith("layer:")]
        encoder, hidden, lengths = self._encode(signals, layers=bool(wanted))
        layers = {name: hidden[1 + layer_index(layer_depth(name), self.num_layers)] for name in wanted}
        for name, value in layers.items():
            if value.size(1) != encoder.size(1):
                raise UserError(
                    f"teacher {self.name}: {name} has another frame rate than the encoder's output; compare with "
                    "'encoder' instead"
                )
        logits = self.head(encoder) if set(names).intersection(HEAD_OUTPUTS) else None
        return Outputs(lengths, encoder, logits, layers)

    def count_frames(self, samples: int) -> int:
        """See `Teacher.count_frames`; without running the model where its library tells."""
        if self._lengths is None:
            return super().count_frames(samples)
        windows = [self.window] * (samples // self.window) + [samples % self.window] if self.window else [samples]
        try:
            counts = [int(self._frames(self._extract([torch.zeros(window)]))[0]) for window in windows if window]
        except (ValueError, RuntimeError, IndexError):  # of extractors, for less than an analysis window
            return 0
        return sum(max(0, count) for count in counts)

    def text(self, token_ids: Sequence[int]) -> str:
        """See `Teacher.text`."""
        return self.tokenizer.decode(list(token_ids), skip_special_tokens=True, group_tokens=False).strip()

    @property
    def makes_text(self) -> bool:
        """See `Teacher.makes_text`."""
        return self.tokenizer is not None and (self.has_decoder or self.has_head)

    def transcribe(
        self, signals: Sequence[Tensor], sample_rate_hz: int | None = None, utt_ids: Sequence[str] | None = None
    ) -> list[Transcript]:
        """See `Teacher.transcribe`; of a model with a decoder by its `generate`."""
        if not self.has_decoder or not self.makes_text:
            return super().transcribe(signals, sample_rate_hz, utt_ids)
        return [self._generate(signal, sample_rate_hz) for signal in signals]

    @torch.inference_mode()
    def _generate(self, signal: Tensor, sample_rate_hz: int | None) -> Transcript:
        signal, _ = self._at_own_rate(signal[None], torch.tensor([len(signal)], device=signal.device), sample_rate_hz)
        self.to(signal.device)
        options = {} if self.language is None else {"language": self.language}
        texts, scores = [], []
        for part in signal[0].split(self.window or max(1, signal.size(1))):
            if len(part) >= self.min_samples:
                found = self.model.generate(
                    **self._extract([part]), return_dict_in_generate=True, output_scores=True, **options
                )
                texts += self.tokenizer.batch_decode(found.sequences, skip_special_tokens=True)
                scores += self.model.compute_transition_scores(
                    found.sequences, found.scores, getattr(found, "beam_indices", None), normalize_logits=True
                )[0].tolist()
        text = " ".join(text.strip() for text in texts)
        return Transcript(text, math.exp(sum(scores) / len(scores)) if text and scores else None)

    def _extract(self, signals: Sequence[Tensor]) -> dict[str, Tensor]:
        """Makes what the model takes of audio, by the model's own feature extractor."""
        options = {} if self.window else {"padding": True}
        arrays = [signal.float().cpu().numpy() for signal in signals]
        extracted = self.extractor(
            arrays, sampling_rate=self.sample_rate_hz, return_attention_mask=True, return_tensors="pt", **options
        )
        return {key: value.to(self.device) for key, value in extracted.items()}

    def _frames(self, inputs: dict[str, Tensor]) -> Tensor:
        """Returns the valid frames of what `_extract` made, (B,) int."""
        (mask,) = (value for key, value in inputs.items() if key.endswith("_mask"))
        return self._lengths(mask.sum(dim=-1)).long()

    def _encode(self, signals: Sequence[Tensor], layers: bool) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """Returns the encoder's output, embeddings and hidden layers, (B, T, D) each, and (B,) valid frames."""
        inputs = self._extract(signals)
        given = dict(inputs)
        if "input_values" in given and len({len(signal) for signal in signals}) == 1:
            # Models with group normalisation were trained without a mask, and it would hide nothing here.
            given = {"input_values": given["input_values"]}
        seen: list[Tensor] = []
        head = self.head_module or nn.Identity()  # whose input is the encoder's output
        watch = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            output = self.encoder(**given, output_hidden_states=layers)
        finally:
            watch.remove()
        encoder = seen[0] if seen else output.last_hidden_state
        if self._lengths is None:
            lengths = torch.full((len(signals),), encoder.size(1), device=encoder.device)
        else:
            lengths = self._frames(inputs).clamp(max=encoder.size(1))
        return encoder, (output.hidden_states or ()) if layers else (), lengths


def _class_of(config: Any) -> type:
    """Returns the class by which transformers loads a model: with CTC head, with decoder, or the encoder alone."""
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CTC_MAPPING_NAMES,
        MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    )

    written = config.architectures or [MODEL_FOR_CTC_MAPPING_NAMES.get(config.model_type)]
    if written[0] in MODEL_FOR_CTC_MAPPING_NAMES.values():
        return transformers.AutoModelForCTC
    if written[0] in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES.values():
        return transformers.AutoModelForSpeechSeq2Seq
    return transformers.AutoModel


def _tokenizer(directory: Path, language: str | None) -> Any:
    """Loads the tokenizer; None where the model has none."""
    import transformers

    try:
        options = {} if language is None else {"target_lang": language}
        return transformers.AutoTokenizer.from_pretrained(directory, **options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logging.info(f"{directory} has no tokenizer, so its tokens are not known: {first_line(error)}")
        return None


def _tokens(config: Any, tokenizer: Any) -> Tokens:
    """Lists what the CTC head distinguishes; a position that the tokenizer does not know gets a name of its own."""
    symbols = [f"<unused_{place}>" for place in range(config.vocab_size)]
    unused = set(range(config.vocab_size))
    for symbol, place in tokenizer.get_vocab().items():
        if place < len(symbols):
            symbols[place] = symbol
            unused.discard(place)
    blank = getattr(config, "blank_token_id", None)
    blank = config.pad_token_id if blank is None else blank
    delimiter = getattr(tokenizer, "word_delimiter_token", None)
    space = symbols.index(delimiter) if delimiter in symbols else None
    unknown = symbols.index(tokenizer.unk_token) if tokenizer.unk_token in symbols else None
    known = {blank, space, unknown}
    silent = frozenset((unused | {place for place in tokenizer.all_special_ids if place < len(symbols)}) - known)
    text = [symbol for place, symbol in enumerate(symbols) if place not in silent | known]
    kind = None
    if is_bpe(tokenizer):
        kind = "bpe"
    elif delimiter is not None and all(len(symbol) == 1 for symbol in text):
        kind = "char"
    return Tokens(tuple(symbols), blank, kind, unknown if unknown != blank else None, space, silent)
