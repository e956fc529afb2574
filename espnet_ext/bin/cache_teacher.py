r"""Stores a teacher's outputs for a data directory, so that EncRL runs no teacher. Resumes where it was stopped.

Example:
    % python3 -m espnet_ext.bin.cache_teacher --teacher exp/asr_teacher --data_dir dump/raw/train \
        --output_dir exp/asr_teacher/cache/train --nj 8
    % python3 -m espnet_ext.bin.encrl_train ... --allow_variable_data_keys true \
        --train_data_path_and_name_and_type exp/asr_teacher/cache/train/teacher_encoder.scp,teacher_encoder,kaldi_ark
"""

import argparse
from functools import partial
from pathlib import Path

import yaml

from espnet_ext.errors import run_main
from espnet_ext.teachers.source import HELP


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help=f"The model. {HELP}")
    parser.add_argument("--data_dir", type=Path, required=True, help="Directory with wav.scp, e.g. dump/raw/train_sp")
    parser.add_argument("--output_dir", type=Path, required=True, help="The cache")
    parser.add_argument(
        "--dtype",
        choices=("float32", "int16", "int8"),
        default="int16",
        help="Of the stored values; the integers are Kaldi's compressed matrices, with a range for each matrix (int16) "
        "or column (int8)",
    )
    parser.add_argument("--config", type=Path, help="EncRL configuration: its criteria on layers need these cached too")
    parser.add_argument("--nj", type=int, default=1, help="Processes")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs that the processes take in turns; 0: CPU")
    parser.add_argument("--shard_size", type=int, default=500, help="Utterances that are written and resumed together")
    parser.add_argument("--batch_sec", type=float, default=60.0, help="Most audio in a batch, seconds")
    parser.add_argument(
        "--max_padding",
        type=float,
        default=0.0,
        help="Most padding in a batch, as a share of its longest utterance: above 0 it is faster on a GPU, but "
        "ESPnet's encoders see a little of the padding",
    )
    parser.add_argument(
        "--audio_format", default="flac", help="Of directories without a file audio_format, as in asr.sh"
    )
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Writes the cache."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.config import read_config
    from espnet_ext.encrl.criteria import check_cacheable, parse_criteria, teacher_outputs
    from espnet_ext.files import locked
    from espnet_ext.teachers.cache_writer import plan, write_cache

    outputs = []
    if args.config:
        entries = read_config(args.config).get("criteria")
        criteria = parse_criteria(entries if entries is not None else yaml.safe_load("[{loss: clip, on: encoder}]"))
        check_cacheable(criteria)
        outputs = teacher_outputs(criteria)
    options = {"batch_sec": args.batch_sec, "max_padding": args.max_padding, "ngpu": args.ngpu}
    options["audio_format"] = args.audio_format
    with locked(args.output_dir.with_name(f".{args.output_dir.name}.lock")):  # trainings may share a teacher
        job = plan(args.teacher, args.data_dir, args.output_dir, outputs, args.dtype, args.shard_size, **options)
        manifest = write_cache(job, args.nj, partial(print, flush=True))  # a log shows what is needed at once
    print(f"{args.output_dir}: {manifest.utterances} utterances, {manifest.num_bytes / 2**20:.0f} MiB")


if __name__ == "__main__":
    run_main(main)
