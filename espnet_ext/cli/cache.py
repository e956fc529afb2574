"""`cache`: a teacher's outputs on disk."""

from functools import partial
from pathlib import Path

from espnet_ext.cli.options import AUDIO_FORMAT, TEACHER, Parser, number
from espnet_ext.quiet import quiet_espnet

DESCRIPTION = """\
Stores a teacher's outputs for a data directory, so that EncRL runs no teacher. Resumes where it was stopped.

Example:
    % encrl cache --teacher exp/asr_teacher --data_dir dump/raw/train --output_dir exp/asr_teacher/cache/train --nj 8
    % python3 -m espnet_ext.encrl.train ... --allow_variable_data_keys true \\
        --train_data_path_and_name_and_type exp/asr_teacher/cache/train/teacher_encoder.scp,teacher_encoder,kaldi_ark
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl cache", description=DESCRIPTION)
    parser.add_argument("--teacher", required=True, help=f"The model whose outputs are stored, as {TEACHER}")
    parser.add_argument("--data_dir", type=Path, required=True, help="Directory with wav.scp, e.g. dump/raw/train_sp")
    parser.add_argument("--output_dir", type=Path, required=True, help="Directory of the cache")
    parser.add_argument(
        "--dtype",
        choices=("float32", "int16", "int8"),
        default="int16",
        help="Type of the stored values. The integers are Kaldi's compressed matrices: int16 with a range for each "
        "matrix, int8 with one for each column",
    )
    parser.add_argument(
        "--config", type=Path, help="Configuration of EncRL: outputs of layers that its criteria compare are stored too"
    )
    parser.add_argument("--nj", type=int, default=1, help="Number of processes")
    parser.add_argument(
        "--ngpu", type=int, default=0, help="Number of GPUs, which the processes take in turns; 0 uses the CPU"
    )
    parser.add_argument(
        "--shard_size", type=int, default=500, help="Number of utterances that are written and resumed together"
    )
    parser.add_argument("--batch_sec", type=number, default=60.0, help="Most audio in a batch, in seconds")
    parser.add_argument(
        "--max_padding",
        type=number,
        default=0.0,
        help="Most padding in a batch, as a share of its longest utterance. Above 0 it is faster on a GPU, but "
        "ESPnet's encoders see a little of the padding",
    )
    parser.add_argument("--audio_format", default="flac", help=AUDIO_FORMAT)
    return parser


def main(words: list[str]) -> None:
    """Writes the cache."""
    args = get_parser().parse_args(words)
    with quiet_espnet():
        from espnet_ext.config import read_config
        from espnet_ext.encrl.criteria import DEFAULT, check_cacheable, parse_criteria, teacher_outputs
        from espnet_ext.files import locked
        from espnet_ext.teachers.cache_writer import plan, write_cache

    criteria = parse_criteria(read_config(args.config).get("criteria", DEFAULT)) if args.config else []
    check_cacheable(criteria)
    outputs = teacher_outputs(criteria)
    options = {"batch_sec": args.batch_sec, "max_padding": args.max_padding, "ngpu": args.ngpu}
    options["audio_format"] = args.audio_format
    with locked(args.output_dir.with_name(f".{args.output_dir.name}.lock")):  # trainings may share a teacher
        job = plan(args.teacher, args.data_dir, args.output_dir, outputs, args.dtype, args.shard_size, **options)
        manifest = write_cache(job, args.nj, partial(print, flush=True))  # a log shows what is needed at once
    print(f"{args.output_dir}: {manifest.utterances} utterances, {manifest.num_bytes / 2**20:.0f} MiB")
