"""`label`: a teacher transcribes audio without text."""

from functools import partial
from pathlib import Path

from espnet_ext.cli.options import AUDIO_FORMAT, TEACHER, Parser, number, parse_with_config
from espnet_ext.labels.settings import Settings, add_options
from espnet_ext.quiet import quiet_espnet

DESCRIPTION = """\
Lets a teacher transcribe a set without text. Texts that are likely wrong are left out. What is kept becomes a data
directory: the lists of the set, text, and utt2score with the teacher's confidence. dropped.tsv names the others, with
the reason; labels.md counts them. Resumes where it was stopped; other thresholds need no second hearing.

The confidence of a CTC model is the mean of the largest posterior, over the frames where that is not the blank's. That
of Whisper is the geometric mean of the probabilities of the tokens (e to the power of its avg_logprob).

Example:
    % encrl label --teacher whisper:base --data_dir dump/raw/extra --like dump/raw/train/text \\
          --output_dir dump/raw/extra_labels
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl label", description=DESCRIPTION)
    parser.add_argument("--teacher", required=True, help=f"The model that transcribes, as {TEACHER}")
    parser.add_argument("--data_dir", type=Path, required=True, help="Formatted set, e.g. dump/raw/extra")
    parser.add_argument("--output_dir", type=Path, required=True, help="Data directory that is made")
    parser.add_argument(
        "--shards_dir", type=Path, help="Directory of what was heard so far. Without it: <output_dir>.heard"
    )
    parser.add_argument("--config", help="YAML file of the options below, e.g. conf/pseudo_labels.yaml")
    form = parser.add_argument_group("form and filter of the text")
    add_options(form)
    form.add_argument("--min_sec", type=number, default=0.0, help="Shorter utterances are not heard, seconds")
    form.add_argument(
        "--max_sec", type=number, default=float("inf"), help="Longer utterances are not heard, seconds (default: any)"
    )
    form.add_argument(
        "--like",
        type=Path,
        help="Transcripts of the corpus, a Kaldi text, which show its letters and punctuation",
    )
    tokens = parser.add_argument_group("tokens: a text with one that is not in the list is left out")
    tokens.add_argument("--token_list", type=Path, help="List of the tokens, e.g. data/token_list/char/tokens.txt")
    tokens.add_argument("--token_type", default="char", help="Kind of tokens, as in training: bpe, char or word")
    tokens.add_argument("--bpemodel", type=Path, help="Model of sentencepiece, with --token_type bpe")
    for name, what in (
        ("non_linguistic_symbols", "File of non-linguistic symbols"),
        ("token_cleaner", "ESPnet's text cleaner that training applies"),
        ("g2p", "ESPnet's method to make phonemes of words"),
    ):
        tokens.add_argument(f"--{name}", default="none", help=what)
    parser.add_argument("--nj", type=int, default=1, help="Number of processes")
    parser.add_argument(
        "--ngpu", type=int, default=0, help="Number of GPUs, which the processes take in turns; 0 uses the CPU"
    )
    parser.add_argument(
        "--shard_size", type=int, default=100, help="Number of utterances that are written and resumed together"
    )
    parser.add_argument("--batch_sec", type=number, default=60.0, help="Most audio in a batch, in seconds")
    parser.add_argument(
        "--max_padding", type=number, default=0.05, help="Most padding in a batch, as a share of its longest utterance"
    )
    parser.add_argument("--audio_format", default="flac", help=AUDIO_FORMAT)
    return parser


def main(words: list[str]) -> None:
    """Writes the labels."""
    args = parse_with_config(get_parser(), words)
    settings = Settings.of(args)
    with quiet_espnet():
        from espnet_ext.data.text import read_text
        from espnet_ext.files import file_sha256, locked
        from espnet_ext.labels.form import Form, tokenizer
        from espnet_ext.labels.hear import Job
        from espnet_ext.labels.label import Limits, label

    like = list(read_text(args.like).values()) if args.like else []
    tokenize, tokens = None, []
    if args.token_list:
        tokens = args.token_list.read_text(encoding="utf-8").splitlines()
        tokenize = tokenizer(args.token_type, args.bpemodel, args.non_linguistic_symbols, args.token_cleaner, args.g2p)
    form = Form(settings.case, settings.cleaner, like, tokenize, tokens)
    used = {"like": args.like, "tokens": args.token_list, "bpemodel": args.bpemodel}
    made_with = {f"{what} ({path})": file_sha256(path) for what, path in used.items() if path}
    job = Job(
        args.teacher,
        args.data_dir,
        args.shards_dir or args.output_dir.with_name(f"{args.output_dir.name}.heard"),
        settings.second_speed,
        args.batch_sec,
        args.max_padding,
        args.ngpu,
        args.audio_format,
    )
    limits = Limits(args.min_sec, args.max_sec)
    with locked(args.output_dir.with_name(f".{args.output_dir.name}.lock")):
        say = partial(print, flush=True)
        label(job, args.output_dir, settings, form, limits, made_with, args.nj, args.shard_size, say)
