"""`decode`: the text of data sets."""

from pathlib import Path

from espnet_ext.cli.options import AUDIO_FORMAT, Parser, add_flag, number, parse_with_config
from espnet_ext.errors import UserError
from espnet_ext.quiet import quiet_espnet

DESCRIPTION = """\
Decodes data sets with a CTC model in batches; the model is loaded once for all sets.

Search is greedy (the best token of each frame), or by torchaudio's beam search: over any tokens (beam), or over the
words of a text (lexicon), both with an n-gram if one is given.

Writes what stage 12 of asr.sh writes, so that its stage 13 scores it: text, token, token_int and score in
<output_dir>/<set>, and logdir/asr_inference.1.log for ESPnet's calculate_rtf.py. With --ctm true also ctm: utterance,
channel, begin and duration in seconds, word.

With --tune FILE the scores of beam search are chosen on a development set instead. Never give a test set: what is
chosen on it, it no longer measures.

Example:
    % encrl decode --exp_dir exp/asr_e4 --data_dir dump/raw --test_sets "dev test" --output_dir exp/asr_e4/greedy
    % encrl decode --exp_dir exp/asr_e4 --data_dir dump/raw --test_sets dev --search lexicon \\
        --lexicon_text dump/raw/train/text --tune conf/decode_lexicon_e4.yaml
    % encrl decode --config conf/decode_lexicon_e4.yaml --lexicon_text dump/raw/train/text ...
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl decode", description=DESCRIPTION)
    parser.add_argument("--config", type=Path, help="YAML file of these options, which the command line overwrites")
    parser.add_argument("--exp_dir", type=Path, required=True, help="Experiment directory of the model")
    parser.add_argument("--asr_model_file", help="File in --exp_dir. Without it: the best average that is there")
    parser.add_argument("--data_dir", type=Path, required=True, help="Directory of the formatted sets, e.g. dump/raw")
    parser.add_argument("--test_sets", required=True, help="Names of the sets, separated by blanks")
    parser.add_argument("--output_dir", type=Path, help="Directory in which each set gets a directory")
    parser.add_argument("--audio_format", default="flac", help=AUDIO_FORMAT)
    parser.add_argument("--ngpu", type=int, default=0, help="Number of GPUs, 0 or 1; 0 decodes on the CPU")
    parser.add_argument(
        "--batch_sec",
        type=number,
        help="Most audio in a batch, padding included, in seconds (default: 120 on a GPU, 60 for each CPU thread)",
    )
    parser.add_argument(
        "--max_padding", type=number, default=0.05, help="Most padding in a batch, as a share of its longest utterance"
    )
    add_flag(parser, "--ctm", "Write the times of the words as NIST's CTM too; greedy search only")

    group = parser.add_argument_group("Beam search")
    group.add_argument(
        "--search",
        choices=("greedy", "beam", "lexicon"),
        default="greedy",
        help="How text is found: the best token of each frame, beam search over tokens, or over the words of a text",
    )
    group.add_argument(
        "--lexicon_text", type=Path, help="Kaldi text file of the words that may be said, e.g. of the training set"
    )
    # These defaults are those of espnet_ext.decode.beam.BeamOptions.
    group.add_argument("--beam_size", type=int, default=50, help="Number of hypotheses kept after each frame")
    group.add_argument(
        "--beam_threshold", type=number, default=50.0, help="How far behind the best score a hypothesis may be"
    )
    group.add_argument("--emission_scale", type=number, default=1.0, help="Factor of the log-probabilities")
    group.add_argument("--word_score", type=number, default=0.0, help="Score that every word of the lexicon adds")
    group.add_argument("--lm", type=Path, help="N-gram (ARPA or KenLM): of words with a lexicon, of tokens without")
    group.add_argument("--lm_weight", type=number, default=1.0, help="Factor of the n-gram's log-probabilities")
    add_flag(group, "--log_add", "Sum the alignments of a hypothesis instead of taking the best one", default=True)

    group = parser.add_argument_group("Choice of scores")
    group.add_argument(
        "--tune",
        type=Path,
        metavar="FILE",
        help="Choose --emission_scale and --word_score on the one set in --test_sets, and write them to this YAML file "
        "for --config; nothing else is written",
    )
    group.add_argument(
        "--utterances", type=int, default=300, help="Number of utterances that --tune decodes, the first of the set"
    )
    group.add_argument(
        "--emission_scales",
        nargs="+",
        type=number,
        default=[0.5, 1.0, 1.67, 3.0, 6.0],
        help="Values of --emission_scale that --tune tries",
    )
    group.add_argument(
        "--word_scores",
        nargs="+",
        type=number,
        default=[-6.0, -3.0, 0.0, 3.0],
        help="Values of --word_score that --tune tries with a lexicon",
    )
    return parser


def main(words: list[str]) -> None:
    """Decodes every set, or chooses scores."""
    args = parse_with_config(get_parser(), words)
    if args.tune and args.search == "greedy":
        raise UserError("--tune needs --search beam or lexicon: greedy search has no scores")
    if args.tune and len(args.test_sets.split()) != 1:
        raise UserError(f"--tune takes one development set, not --test_sets '{args.test_sets}'")
    if not args.tune and not args.output_dir:
        raise UserError("--output_dir is missing: the directory for the text of the sets")
    if args.ctm and args.search != "greedy":
        raise UserError(f"--ctm true needs --search greedy: --search {args.search} does not tell when a word is said")
    with quiet_espnet():
        from espnet_ext.data.sets import DecodingSet
        from espnet_ext.decode.beam import BeamOptions
        from espnet_ext.decode.model import load_model
        from espnet_ext.decode.search import make_search
        from espnet_ext.decode.sets import decode_sets
        from espnet_ext.decode.tune import tune

    options = BeamOptions(**{field: getattr(args, field) for field in BeamOptions.__dataclass_fields__})
    sets = {name: DecodingSet.open(args.data_dir / name, args.audio_format) for name in args.test_sets.split()}
    model = load_model(args.exp_dir, args.asr_model_file, "cuda" if args.ngpu else "cpu")
    for data in sets.values():
        data.check_rate(model.sample_rate)
    if args.tune:
        grid = (args.emission_scales, args.word_scores, args.utterances)
        lines = tune(model, *sets.values(), args.tune, args.search, args.lexicon_text, options, *grid)
    else:
        search = make_search(model, args.search, args.lexicon_text, options)
        batch_sec = (120.0 if args.ngpu else 60.0) if args.batch_sec is None else args.batch_sec
        lines = decode_sets(model, sets, args.output_dir, batch_sec, args.max_padding, search, args.ctm)
    for line in lines:
        print(line, flush=True)
