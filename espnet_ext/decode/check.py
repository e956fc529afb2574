"""Error rates of a teacher on some utterances, so that nobody distils a broken one."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from espnet_ext.data.batches import make_batches
from espnet_ext.data.sets import DecodingSet
from espnet_ext.data.text import read_text
from espnet_ext.decode.model import NoCTCError, load_model
from espnet_ext.decode.parallel import decode_batches
from espnet_ext.errors import UserError
from espnet_ext.score.by_jiwer import score
from espnet_ext.teachers.teacher import broken_teacher, load_teacher

# A student hardly gets better than its teacher; with this many wrong words there is little to learn.
_MAX_WER = 80.0


def check_teacher(
    source: str, data_dir: Path, utterances: int = 50, audio_format: str = "flac", device: str = "cpu"
) -> str:
    """Decodes some utterances, best path of the CTC output. Of a teacher without one, the encoder is run.

    Args:
        source: experiment directory, checkpoint, packed zip or model-zoo tag.
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
    try:
        model = load_model(source, None, device)
    except NoCTCError as error:  # serves criteria on its encoder
        _check_encoder(source, data, names, device)
        return f"not decoded: {error}"
    data.check_rate(model.sample_rate)
    hypotheses, broken = {}, []
    batches = make_batches({name: data.samples[name] for name in names}, 120 * model.sample_rate, 0.05)
    for batch in decode_batches(model.model, data.read, batches):
        for name, hypothesis in zip(batch.names, batch.hypotheses, strict=True):
            hypotheses[name] = model.text(model.tokens(hypothesis.token_ids))
            if not math.isfinite(hypothesis.score):
                broken.append(name)
    if broken:
        raise broken_teacher(source, broken)
    references = {name: references[name] for name in names}
    words, characters = (score(references, hypotheses, {}, characters=chars).wer for chars in (False, True))
    text = f"WER {words:.1f} %, CER {characters:.1f} % ({len(names)} utterances of {data_dir.name}, greedy)"
    if words > _MAX_WER:
        text += (
            f"\nwarning: a teacher with {words:.0f} % of the words wrong has little to teach; see docs/how-it-works.md"
        )
    return text


def _check_encoder(source: str, data: DecodingSet, names: Sequence[str], device: str) -> None:
    """Checks that the encoder's output, all that students learn of such a teacher, is finite."""
    teacher = load_teacher(source)
    for name in names:
        speech = data.read(name).float().to(device)[None]
        teacher(speech, torch.tensor([speech.size(1)], device=device), [], [name])
