r"""Writes a CTC model as ONNX files and checks each against ESPnet on real utterances before it counts as done.

    model.onnx        waveform (16 kHz, -1 to 1) -> log-probabilities, float32
    model.int8.onnx   the same, 8-bit weights, activations quantised as they come
    tokens.txt        token and id a line
    report.json       sizes and differences
    sherpa_onnx/      with --sherpa true: a folder for sherpa-onnx, whose WER is checked through sherpa-onnx itself

Example:
    % python3 -m espnet_ext.bin.export_onnx --exp_dir exp/asr_e4_encrl_raw_en_bpe200 --data_dir dump/raw/dev \
        --output_dir exp/asr_e4_encrl_raw_en_bpe200/onnx
"""

import argparse
from pathlib import Path

from espnet2.utils.types import str2bool

from espnet_ext.errors import require, run_main

PRECISIONS = ("fp32", "int8")


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_dir", required=True, help="Experiment directory, checkpoint, packed zip or tag")
    parser.add_argument("--asr_model_file", help="File in --exp_dir (default: the best average that is there)")
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="Formatted set with transcripts to compare on, never a test set"
    )
    parser.add_argument("--utterances", type=int, default=100, help="How many, evenly spaced over the set")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--sherpa", type=str2bool, default=False, help="A folder for sherpa-onnx too (16 kHz models)")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="Of log-probabilities of the float32 files")
    parser.add_argument("--max_wer_loss", type=float, default=1.0, help="Of the other files, WER points")
    parser.add_argument("--audio_format", default="flac", help="Of a set without a file audio_format, as in asr.sh")
    parser.add_argument("--output_dir", type=Path, required=True)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Exports and compares."""
    args = get_parser().parse_args(cmd)
    require("onnx", "onnxruntime", *(["sherpa_onnx"] if args.sherpa else []), extra="export")
    from espnet_ext.export.run import export

    for line in export(args):
        print(line, flush=True)


if __name__ == "__main__":
    run_main(main)
