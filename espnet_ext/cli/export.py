"""`export`: a model for devices."""

from pathlib import Path

from espnet_ext.cli.options import AUDIO_FORMAT, MODEL, Parser, add_flag, number
from espnet_ext.errors import UserError, require
from espnet_ext.quiet import quiet_espnet

DESCRIPTION = """\
Writes a CTC model as ONNX files and checks each against ESPnet on real utterances before it counts as done.

    model.onnx        waveform (16 kHz, -1 to 1) -> log-probabilities, float32
    model.int8.onnx   the same, 8-bit weights, activations quantised as they come
    tokens.txt        token and id a line
    report.json       sizes and differences
    model.fixed.onnx  with --fixed_seconds N: float32, of N seconds, without free dimensions
    sherpa_onnx/      with --sherpa true: a folder for sherpa-onnx, whose WER is checked through sherpa-onnx itself

Example:
    % encrl export --exp_dir exp/asr_e4 --data_dir dump/raw/dev --output_dir exp/asr_e4/onnx
"""

PRECISIONS = ("fp32", "int8")


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl export", description=DESCRIPTION)
    parser.add_argument("--exp_dir", required=True, help=f"The model: {MODEL}")
    parser.add_argument("--asr_model_file", help="File in --exp_dir. Without it: the best average that is there")
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="Formatted set with transcripts to compare on, never a test set"
    )
    parser.add_argument("--utterances", type=int, default=100, help="Number of utterances, evenly spaced over the set")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="Files to write")
    parser.add_argument(
        "--fixed_seconds",
        type=number,
        default=0.0,
        help="Seconds of audio that model.fixed.onnx takes, one utterance, padded. The file has no free dimensions, as "
        "compilers for NPUs want it. Without it: no such file",
    )
    add_flag(parser, "--sherpa", "Write a folder for sherpa-onnx too; for models at 16 kHz")
    parser.add_argument(
        "--lexicon_text",
        type=Path,
        help="Words that may be said, a Kaldi text file or one word a line: the folder for sherpa-onnx gets a decoding "
        "graph of them, whose WER is checked too. Needs kaldifst and kaldilm",
    )
    parser.add_argument(
        "--search_config",
        type=Path,
        help="Scores and n-gram of the graph: what encrl decode --search lexicon --tune wrote",
    )
    parser.add_argument("--lm", type=Path, help="N-gram of the graph, of words, in ARPA. Without it: --search_config's")
    parser.add_argument(
        "--tolerance", type=number, default=1e-3, help="Largest difference of log-probabilities of a float32 file"
    )
    parser.add_argument(
        "--max_wer_loss", type=number, default=1.0, help="Most points of WER that any other file may lose"
    )
    parser.add_argument("--audio_format", default="flac", help=AUDIO_FORMAT)
    parser.add_argument("--output_dir", type=Path, required=True, help="Directory of the files, made anew")
    return parser


def main(words: list[str]) -> None:
    """Exports and compares."""
    args = get_parser().parse_args(words)
    require("onnx", "onnxruntime", *(["sherpa_onnx"] if args.sherpa else []), extra="export")
    if args.lexicon_text and not args.sherpa:
        raise UserError("--lexicon_text belongs to --sherpa true: the graph is for sherpa-onnx")
    if (args.search_config or args.lm) and not args.lexicon_text:
        raise UserError("--search_config and --lm need --lexicon_text: a graph is made of words")
    if args.lexicon_text:
        require("kaldifst", "kaldilm", extra="graph")
    with quiet_espnet():
        from espnet_ext.export.graph import read_search
        from espnet_ext.export.run import Export, export

    values = vars(args)
    search = read_search(values.pop("search_config"), values.pop("lm"))
    for line in export(Export(**values, search=search)):
        print(line, flush=True)
