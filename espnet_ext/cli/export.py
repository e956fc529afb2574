"""`export`: a model for devices."""

from pathlib import Path

from espnet_ext.cli.options import AUDIO_FORMAT, MODEL, Parser, add_flag, number
from espnet_ext.errors import require
from espnet_ext.quiet import quiet_espnet

DESCRIPTION = """\
Writes a CTC model as ONNX files and checks each against ESPnet on real utterances before it counts as done.

    model.onnx        waveform (16 kHz, -1 to 1) -> log-probabilities, float32
    model.int8.onnx   the same, 8-bit weights, activations quantised as they come
    tokens.txt        token and id a line
    report.json       sizes and differences
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
    add_flag(parser, "--sherpa", "Write a folder for sherpa-onnx too; for models at 16 kHz")
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
    with quiet_espnet():
        from espnet_ext.export.run import Export, export

    for line in export(Export(**vars(args))):
        print(line, flush=True)
