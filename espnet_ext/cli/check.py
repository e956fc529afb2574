"""`check`: data directories, a corpus, a teacher."""

import os
from argparse import ArgumentTypeError, Namespace
from pathlib import Path

from espnet_ext.cli import options
from espnet_ext.cli.options import AUDIO_FORMAT, Parser, add_flag

DATA = """\
Checks data directories (wav.scp, text, utt2spk, segments): every utterance must have readable, non-empty audio and a
transcript. Problems are listed, and the exit status is 2. Nothing is changed.

Example:
    % encrl check data data/train data/test
"""
CORPUS = """\
Checks splits of a corpus in its official layout, before data directories are made of them. Nothing is changed there.

Example:
    % encrl check corpus --layout tedlium TEDLIUM_release-3/legacy/{train,dev,test}
"""
TEACHER = """\
Decodes some utterances with a teacher and shows its error rates, so that nobody distils a broken one.

Example:
    % encrl check teacher --teacher exp/asr_teacher_raw_en_bpe200 --data_dir dump/raw/valid
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl check", description="Checks what a recipe needs before hours are spent on it.")
    actions = parser.actions()
    _add_data(actions.add_parser("data", description=DATA, help="Kaldi's data directories"))
    _add_corpus(actions.add_parser("corpus", description=CORPUS, help="A corpus as it was downloaded"))
    _add_teacher(actions.add_parser("teacher", description=TEACHER, help="The model that students learn from"))
    return parser


def main(words: list[str]) -> None:
    """Runs the check."""
    args = get_parser().parse_args(words)
    {"data": _data, "corpus": _corpus, "teacher": _teacher}[args.action](args)


def sampling_rate(text: str) -> int:
    """Returns the Hz of `16000` or, as asr.sh writes it, `16k`."""
    try:
        number = float(text[:-1]) * 1000 if text.endswith("k") else float(text)
    except ValueError:
        number = 0
    if not 1 <= number < float("inf"):
        raise ArgumentTypeError(f"takes a sampling rate in Hz, e.g. 16000 or 16k, not '{text}'")
    return int(number)


def _add_data(parser: Parser) -> None:
    parser.add_argument("data_dirs", type=Path, nargs="+", help="Data directories, e.g. data/train data/test")
    parser.add_argument(
        "--fs",
        type=sampling_rate,
        default=os.environ.get("ENCRL_FS", "16000"),
        help="Sampling rate of the recipe in Hz, e.g. 16000 or 16k; other rates are only a warning, since asr.sh "
        "resamples. Without it: the variable ENCRL_FS, which run.sh sets for local/data.sh",
    )
    parser.add_argument("--nj", type=int, default=4, help="Number of files read at the same time")
    parser.add_argument(
        "--no_speech",
        choices=["error", "warning"],
        default="error",
        help="What a transcript without a word is: an empty one, or one of tags such as <noise> or [unk] alone",
    )
    add_flag(parser, "--audio", "Read the headers of the audio, which takes long", default=True)
    add_flag(parser, "--text", "Whether the sets have transcripts, the file text", default=True)
    add_flag(parser, "--speed_perturb", "Whether stage 2 perturbs the speed: then sox must read the audio")
    add_flag(
        parser,
        "--scored",
        "Whether stage 13 scores the sets: then text and ids must hold nothing that sclite takes for its syntax",
    )


def _data(args: Namespace) -> None:
    from espnet_ext.data.check import Use, check_data_dir
    from espnet_ext.data.findings import tell

    use = Use(args.no_speech == "error", args.speed_perturb, args.scored, args.audio, args.text)
    found = ((path, check_data_dir(path, args.fs, max(args.nj, 1), use)) for path in args.data_dirs)
    tell(found, with_hours=args.audio)


def _add_corpus(parser: Parser) -> None:
    parser.add_argument(
        "splits", type=Path, nargs="+", help="Directories of splits, e.g. LibriSpeech/dev-clean LibriSpeech/test-clean"
    )
    parser.add_argument("--layout", choices=["librispeech", "tedlium"], required=True, help="Layout of the corpus")
    parser.add_argument("--nj", type=int, default=4, help="Number of files read at the same time")
    parser.add_argument(
        "--plain_stm",
        type=Path,
        help="Directory that gets, with --layout tedlium, <split>/stm with labels without blanks, for ESPnet's script",
    )


def _corpus(args: Namespace) -> None:
    from espnet_ext.data import librispeech, tedlium
    from espnet_ext.data.findings import tell
    from espnet_ext.errors import UserError

    if args.plain_stm and args.layout != "tedlium":
        raise UserError("--plain_stm belongs to --layout tedlium: other corpora have no .stm files")
    if args.layout == "librispeech":
        found = librispeech.check_splits(args.splits)
    else:
        found = ((split, tedlium.check_split(split, max(args.nj, 1))) for split in args.splits)
    tell(found, with_hours=False)
    if args.plain_stm:
        for split in args.splits:
            tedlium.write_plain_stm(split, args.plain_stm / split.name / "stm")


def _add_teacher(parser: Parser) -> None:
    parser.add_argument("--teacher", required=True, help=f"The model, as {options.TEACHER}")
    parser.add_argument("--data_dir", type=Path, required=True, help="Formatted set with transcripts (stages 1-5)")
    parser.add_argument("--utterances", type=int, default=50, help="Number of utterances, evenly spaced over the set")
    parser.add_argument("--audio_format", default="flac", help=AUDIO_FORMAT)
    parser.add_argument("--ngpu", type=int, default=0, help="Number of GPUs, 0 or 1; 0 decodes on the CPU")
    parser.add_argument("--output", type=Path, help="A file that gets what is printed, too")


def _teacher(args: Namespace) -> None:
    from espnet_ext.files import atomic
    from espnet_ext.quiet import quiet_espnet

    with quiet_espnet():
        from espnet_ext.decode.check import check_teacher

    device = "cuda" if args.ngpu else "cpu"
    text = check_teacher(args.teacher, args.data_dir, args.utterances, args.audio_format, device)
    print(text)
    if args.output:
        with atomic(args.output) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")
