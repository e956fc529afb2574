r"""Decodes some utterances with a teacher and shows its error rates, so that nobody distils a broken one.

Example:
    % python3 -m espnet_ext.bin.check_teacher --teacher exp/asr_teacher_raw_en_bpe200 --data_dir dump/raw/valid
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError, run_main

if TYPE_CHECKING:
    from espnet_ext.decode.sets import DecodingSet

# A student hardly gets better than its teacher; with this many wrong words there is little to learn.
_MAX_WER = 80.0


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help="Experiment directory, checkpoint, packed zip or tag")
    parser.add_argument("--data_dir", type=Path, required=True, help="Formatted set with transcripts (stages 1-5)")
    parser.add_argument("--utterances", type=int, default=50, help="How many, evenly spaced over the set")
    parser.add_argument("--audio_format", default="flac", help="Of a set without a file audio_format, as in asr.sh")
    parser.add_argument("--ngpu", type=int, default=0, help="0: decode on the CPU")
    parser.add_argument("--output", type=Path, help="A file for what is printed")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Prints one line, and a second one if the teacher is bad."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.bin.score import read_text, score
    from espnet_ext.decode.greedy import make_batches
    from espnet_ext.decode.model import NoCTCError, load_model
    from espnet_ext.decode.parallel import decode_batches
    from espnet_ext.decode.sets import DecodingSet
    from espnet_ext.files import atomic
    from espnet_ext.teachers.teacher import broken_teacher

    data = DecodingSet.open(args.data_dir, args.audio_format)
    references = {name: text for name, text in read_text(args.data_dir / "text").items() if name in data.samples}
    if not references or args.utterances < 1:
        raise UserError(f"{args.data_dir / 'text'}: no utterance to decode; prepare the data again (stages 1-5)")
    count = min(args.utterances, len(references))
    names = [list(references)[i * len(references) // count] for i in range(count)]
    device = "cuda" if args.ngpu else "cpu"

    def say(text: str) -> None:
        print(text)
        if args.output:
            with atomic(args.output) as temporary:
                temporary.write_text(f"{text}\n", encoding="utf-8")

    try:
        model = load_model(args.teacher, None, device)
    except NoCTCError as error:  # serves criteria on its encoder
        _check_encoder(args.teacher, data, names, device)
        say(f"not decoded: {error}")
        return
    data.check_rate(model.sample_rate)
    hypotheses, broken = {}, []
    batches = make_batches({name: data.samples[name] for name in names}, 120 * model.sample_rate, 0.05)
    for batch in decode_batches(model.model, data.read, batches):
        found = zip(batch.names, batch.hypotheses, strict=True)
        for name, hypothesis in found:
            hypotheses[name] = model.text(model.tokens(hypothesis.token_ids))
            if not math.isfinite(hypothesis.score):
                broken.append(name)
    if broken:
        raise broken_teacher(args.teacher, broken)
    references = {name: references[name] for name in names}
    words, characters = (score(references, hypotheses, {}, characters=chars).wer for chars in (False, True))
    text = f"WER {words:.1f} %, CER {characters:.1f} % ({len(names)} utterances of {args.data_dir.name}, greedy)"
    if words > _MAX_WER:
        text += (
            f"\nwarning: a teacher with {words:.0f} % of the words wrong has little to teach; see docs/how-it-works.md"
        )
    say(text)


def _check_encoder(source: str, data: "DecodingSet", names: Sequence[str], device: str) -> None:
    """Checks that the encoder's output, all that students learn of such a teacher, is finite."""
    import torch

    from espnet_ext.teachers.teacher import load_teacher

    teacher = load_teacher(source)
    for name in names:
        speech = data.read(name).float().to(device)[None]
        teacher(speech, torch.tensor([speech.size(1)], device=device), [], [name])


if __name__ == "__main__":
    run_main(main)
