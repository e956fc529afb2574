"""`score`: the errors of decoded sets."""

from pathlib import Path

from espnet_ext.cli.options import Parser

DESCRIPTION = """\
Counts the errors of decoded sets, as stage 13 of asr.sh does: by sclite, into score_wer, score_cer and score_ter of
each set. Where sclite is not installed or cannot score a set, jiwer counts words and characters into
score_*/result_jiwer.json. Upper and lower case of ASCII letters count as equal.

Example:
    % encrl score --decode_dir exp/asr_e6/greedy --data_dir dump/raw --test_sets "dev test"
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl score", description=DESCRIPTION)
    parser.add_argument("--decode_dir", type=Path, required=True, help="Directory of the decoded sets")
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="Directory of the formatted sets, e.g. dump/raw, with transcripts"
    )
    parser.add_argument("--test_sets", required=True, help="Names of the sets, separated by blanks")
    parser.add_argument("--bpemodel", type=Path, default=Path("none"), help="BPE model; its tokens are scored too")
    parser.add_argument("--nlsyms_txt", default="none", help="List of non-linguistic symbols, which do not count")
    parser.add_argument("--cleaner", default="none", help="ESPnet's text cleaner for the references")
    parser.add_argument("--hyp_cleaner", default="none", help="ESPnet's text cleaner for the hypotheses")
    parser.add_argument("--score_opts", default="", help="Options that sclite gets, as one word")
    return parser


def main(words: list[str]) -> None:
    """Scores every set."""
    args = get_parser().parse_args(words)
    from espnet_ext.score.by_sclite import Texts, score_sets

    texts = Texts(args.bpemodel, args.nlsyms_txt, args.cleaner, args.hyp_cleaner, args.score_opts)
    for line in score_sets(args.decode_dir, args.data_dir, args.test_sets.split(), texts):
        print(line, flush=True)
