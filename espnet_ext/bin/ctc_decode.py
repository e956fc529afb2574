r"""Decodes data sets with a CTC model: greedy search in batches, one loading of the model for all sets.

Writes what stage 12 of asr.sh writes, so that its stage 13 scores it: `text`, `token`, `token_int` and `score` in
`<output_dir>/<set>`, and `logdir/asr_inference.1.log` for ESPnet's calculate_rtf.py.

Example:
    % python3 -m espnet_ext.bin.ctc_decode --exp_dir exp/asr_e4_encrl_raw_en_bpe200 --data_dir dump/raw \
        --test_sets "dev test" --output_dir exp/asr_e4_encrl_raw_en_bpe200/greedy
"""

import argparse
from pathlib import Path

from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_dir", type=Path, required=True, help="Experiment directory, with config.yaml")
    parser.add_argument("--asr_model_file", help="File in --exp_dir (default: the best average that is there)")
    parser.add_argument("--data_dir", type=Path, required=True, help="Directory of the sets, e.g. dump/raw")
    parser.add_argument("--test_sets", required=True, help="Names of the sets, separated by spaces")
    parser.add_argument("--output_dir", type=Path, required=True, help="A directory for each set is made in it")
    parser.add_argument("--audio_format", default="flac", help="Of sets without a file audio_format, as in asr.sh")
    parser.add_argument("--ngpu", type=int, default=0, help="0: decode on the CPU")
    parser.add_argument(
        "--batch_sec", type=float, default=120.0, help="Most audio in a batch, padding included, seconds"
    )
    parser.add_argument(
        "--max_padding", type=float, default=0.05, help="Most padding in a batch, as a share of its longest utterance"
    )
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Decodes every set."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.decode.model import load_model
    from espnet_ext.decode.sets import DecodingSet, decode_set

    sets = [DecodingSet.open(args.data_dir / name, args.audio_format) for name in args.test_sets.split()]
    model = load_model(args.exp_dir, args.asr_model_file, "cuda" if args.ngpu else "cpu")
    for name, data in zip(args.test_sets.split(), sets, strict=True):
        timing = decode_set(model, data, args.output_dir / name, args.batch_sec, args.max_padding)
        print(f"{name}: {timing}", flush=True)


if __name__ == "__main__":
    run_main(main)
