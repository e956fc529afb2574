"""Error rates of a teacher on some utterances, so that nobody distils a broken one."""

import re
from pathlib import Path

import torch

from espnet_ext.data.batches import make_batches
from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.text import read_text
from espnet_ext.errors import UserError
from espnet_ext.score.by_jiwer import score
from espnet_ext.teachers.load import load_teacher
from espnet_ext.teachers.source import ESPNET, Source

# A student hardly gets better than its teacher; with this many wrong words there is little to learn.
_MAX_WER = 80.0


def check_teacher(
    source: str, data_dir: Path, utterances: int = 50, audio_format: str = "flac", device: str = "cpu"
) -> str:
    """Transcribes some utterances. Of a teacher that makes no text, the encoder is run.

    Args:
        source: name of the teacher, see `espnet_ext.teachers.source`.
        data_dir: formatted set with transcripts.
        utterances: how many, evenly spaced over the set.
        audio_format: of a set without a file `audio_format`.
        device: `cpu` or `cuda`.

    Returns:
        A line with the error rates, and a second one where the teacher has little to teach.

    Raises:
        UserError: nothing to decode, or the teacher's output is not finite.
    """
    data = DecodingSet.open(data_dir, audio_format)
    references = {name: text for name, text in read_text(data_dir / "text").items() if name in data.samples}
    if not references or utterances < 1:
        raise UserError(f"{data_dir / 'text'}: no utterance to decode; prepare the data again (stages 1-5)")
    count = min(utterances, len(references))
    names = [list(references)[i * len(references) // count] for i in range(count)]
    teacher, rate, hypotheses = load_teacher(source), data.rate_hz(), {}
    for batch in make_batches({name: data.samples[name] for name in names}, 120 * rate, 0.05):
        signals = [data.read(name).float().to(device) for name in batch]
        if teacher.makes_text:
            transcripts = teacher.transcribe(signals, rate, batch)
            hypotheses |= {name: found.text for name, found in zip(batch, transcripts, strict=True)}
        else:
            lengths = torch.tensor([len(signal) for signal in signals], device=device)
            speech = torch.nn.utils.rnn.pad_sequence(signals, batch_first=True)
            teacher(speech, lengths, [], batch, rate)
    if not teacher.makes_text:
        return "not decoded: the teacher makes no text; its encoder's output is finite"
    references = {name: references[name] for name in names}
    how = "greedy"
    if Source.parse(source).family != ESPNET:  # other models write capitals and punctuation of their own
        references, hypotheses = (
            {name: _plain(text) for name, text in one.items()} for one in (references, hypotheses)
        )
        how = "without capitals and punctuation"
    words, characters = (score(references, hypotheses, {}, characters=chars).wer for chars in (False, True))
    text = f"WER {words:.1f} %, CER {characters:.1f} % ({len(names)} utterances of {data_dir.name}, {how})"
    if words > _MAX_WER:
        text += (
            f"\nwarning: a teacher with {words:.0f} % of the words wrong has little to teach; see docs/how-it-works.md"
        )
    return text


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w']+", " ", text.casefold()).split())
