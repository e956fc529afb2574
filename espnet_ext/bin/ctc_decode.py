r"""Decodes data sets with a CTC model in batches, one loading of the model for all sets.

Search is greedy (the best token of each frame), or by torchaudio's beam search: over any tokens (`beam`), or over the
words of a text (`lexicon`), both with an n-gram if one is given. Tune their scores on a development set:
`espnet_ext.bin.tune_decoding`.

Writes what stage 12 of asr.sh writes, so that its stage 13 scores it: `text`, `token`, `token_int` and `score` in
`<output_dir>/<set>`, and `logdir/asr_inference.1.log` for ESPnet's calculate_rtf.py. With --ctm true also
`ctm`: utterance, channel, begin and duration in seconds, word.

Example:
    % python3 -m espnet_ext.bin.ctc_decode --exp_dir exp/asr_e4_encrl_raw_en_bpe200 --data_dir dump/raw \
        --test_sets "dev test" --output_dir exp/asr_e4_encrl_raw_en_bpe200/greedy
    % python3 -m espnet_ext.bin.ctc_decode --config conf/decode_lexicon.yaml --lexicon_text dump/raw/train/text ...
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from espnet2.utils import config_argparse
from espnet2.utils.types import str2bool

from espnet_ext.errors import UserError, run_main

if TYPE_CHECKING:
    from espnet_ext.decode.greedy import Search
    from espnet_ext.decode.model import CTCModel


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = config_argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--exp_dir", type=Path, required=True, help="Experiment directory, with config.yaml")
    parser.add_argument("--asr_model_file", help="File in --exp_dir (default: the best average that is there)")
    parser.add_argument("--data_dir", type=Path, required=True, help="Directory of the sets, e.g. dump/raw")
    parser.add_argument("--test_sets", required=True, help="Names of the sets, separated by spaces")
    parser.add_argument("--output_dir", type=Path, required=True, help="A directory for each set is made in it")
    parser.add_argument("--audio_format", default="flac", help="Of sets without a file audio_format, as in asr.sh")
    parser.add_argument("--ngpu", type=int, default=0, help="0: decode on the CPU")
    parser.add_argument(
        "--batch_sec",
        type=float,
        help="Most audio in a batch, padding included, seconds (default: 120 on a GPU, 60 for each thread of a CPU)",
    )
    parser.add_argument(
        "--max_padding", type=float, default=0.05, help="Most padding in a batch, as a share of its longest utterance"
    )
    parser.add_argument(
        "--ctm", type=str2bool, default=False, help="Write the times of the words too, as NIST's CTM (greedy search)"
    )
    add_search_options(parser)
    return parser


def add_search_options(parser: argparse.ArgumentParser, tuned: bool = False) -> None:
    """Adds the options of beam search; their defaults are those of `BeamOptions`.

    Args:
        parser: gets them.
        tuned: leave out emission scale and word score.
    """
    group = parser.add_argument_group("Beam search")
    group.add_argument("--search", choices=("greedy", "beam", "lexicon"), default="greedy")
    group.add_argument(
        "--lexicon_text", type=Path, help="Kaldi text file of the words that may be said, of the training set"
    )
    group.add_argument("--beam_size", type=int, default=50, help="Hypotheses kept after each frame")
    group.add_argument("--beam_threshold", type=float, default=50.0, help="How far behind the best a hypothesis may be")
    if not tuned:
        group.add_argument("--emission_scale", type=float, default=1.0, help="Factor of the log-probabilities")
        group.add_argument("--word_score", type=float, default=0.0, help="Added for every word of the lexicon")
    group.add_argument("--lm", type=Path, help="n-gram (ARPA or KenLM): of words with a lexicon, of tokens without")
    group.add_argument("--lm_weight", type=float, default=1.0)
    group.add_argument("--log_add", type=str2bool, default=True, help="Sum alignments instead of taking the best")


def make_search(args: argparse.Namespace, model: "CTCModel") -> "Search":
    """Returns what the options ask for.

    Raises:
        UserError: options that do not belong together.
    """
    from espnet_ext.decode.greedy import best_paths

    if (args.search == "lexicon") != (args.lexicon_text is not None):
        raise UserError("--search lexicon and --lexicon_text belong together: the lexicon is the words of that text")
    from espnet_ext.decode.beam import BeamOptions, BeamSearch, read_words

    options = BeamOptions(**{field: getattr(args, field) for field in BeamOptions.__dataclass_fields__})
    if args.search == "greedy":
        if options != BeamOptions():
            raise UserError("--search greedy knows no beam, n-gram or scores; give --search beam or lexicon with them")
        return best_paths
    if args.search == "beam" and options.word_score:
        raise UserError("--word_score belongs to --search lexicon: without a lexicon there are no words")
    return BeamSearch(model, read_words(args.lexicon_text) if args.lexicon_text else None, options)


def main(cmd: list[str] | None = None) -> None:
    """Decodes every set."""
    args = get_parser().parse_args(cmd)
    if args.ctm and args.search != "greedy":
        raise UserError(f"--ctm true needs --search greedy: --search {args.search} does not tell when a word is said")
    from espnet_ext.decode.model import load_model
    from espnet_ext.decode.recognizer import EspnetRecognizer
    from espnet_ext.decode.sets import DecodingSet, decode_set

    sets = [DecodingSet.open(args.data_dir / name, args.audio_format) for name in args.test_sets.split()]
    device = "cuda" if args.ngpu else "cpu"
    model = load_model(args.exp_dir, args.asr_model_file, device)
    for data in sets:
        data.check_rate(model.sample_rate)
    search = make_search(args, model)
    batch_sec = (120.0 if args.ngpu else 60.0) if args.batch_sec is None else args.batch_sec
    frame_sec = EspnetRecognizer(model, device).frame_samples / model.sample_rate if args.ctm else None
    for name, data in zip(args.test_sets.split(), sets, strict=True):
        timing = decode_set(model, data, args.output_dir / name, batch_sec, args.max_padding, search, frame_sec)
        print(f"{name}: {timing}", flush=True)


if __name__ == "__main__":
    run_main(main)
