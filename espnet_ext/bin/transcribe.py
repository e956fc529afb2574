r"""Transcribes audio files and folders with a CTC model: ESPnet's, or an exported ONNX file.

Any length, sampling rate, number of channels and format that libsndfile reads. Long audio is processed in windows, in
bounded memory. A file that cannot be read is reported and left out; the exit status is then 1.

Example:
    % python3 -m espnet_ext.bin.transcribe --model exp/asr_e4_encrl_raw_en_bpe200/onnx/model.int8.onnx talk.mp3
    % python3 -m espnet_ext.bin.transcribe --model exp/asr_e4_encrl_raw_en_bpe200 --format srt --output_dir srt talks/
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError, run_main

if TYPE_CHECKING:
    from torch import Tensor


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", required=True, help="Experiment directory, checkpoint, packed zip, model-zoo tag, or .onnx file"
    )
    parser.add_argument("--format", choices=("txt", "json", "srt"), default="txt")
    parser.add_argument(
        "--output_dir", type=Path, help="A file for each audio file goes there (default: to the screen)"
    )
    parser.add_argument("--window_sec", type=float, default=30.0, help="Audio that the model gets at once")
    parser.add_argument("--context_sec", type=float, default=3.0, help="Of it, on each side, context only")
    parser.add_argument("--ngpu", type=int, default=0, help="0: the CPU")
    parser.add_argument("audio", nargs="+", type=Path, help="Files and folders")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Transcribes every file."""
    args = get_parser().parse_args(cmd)
    if args.window_sec < 4 * args.context_sec or args.context_sec <= 0:
        raise UserError("--window_sec must be at least four times --context_sec, which must be > 0")
    from tqdm import tqdm

    from espnet_ext.decode.audio import duration_sec, find_audio, read_blocks
    from espnet_ext.decode.formats import FORMATS
    from espnet_ext.decode.long_audio import transcribe, window_samples
    from espnet_ext.decode.recognizer import open_recognizer
    from espnet_ext.files import atomic

    files = find_audio(args.audio)
    targets = _targets(files, args)
    recognizer = open_recognizer(args.model, "cuda" if args.ngpu else "cpu")
    window, overlap = window_samples(recognizer, args.window_sec, args.context_sec)
    failed = 0
    durations = {file: duration_sec(file) for file in files}
    with tqdm(total=round(sum(durations.values())), unit="s", unit_scale=True, desc="audio") as bar:
        done = 0.0
        for file, duration in durations.items():

            def blocks(file: Path = file, before: float = done) -> Iterator[tuple[int, "Tensor"]]:
                for first, speech in read_blocks(file, recognizer.sample_rate, window, overlap):
                    yield first, speech
                    bar.update(round(before + (first + len(speech)) / recognizer.sample_rate) - bar.n)

            try:
                text = FORMATS[args.format](transcribe(recognizer, blocks(), overlap))
                if args.output_dir is not None:
                    with atomic(targets[file]) as temporary:
                        temporary.write_text(text, encoding="utf-8")
            except Exception as error:  # soundfile and ONNX Runtime have many of their own; the other files go on
                failed += 1
                bar.write(f"error: {file} is left out: {error}", file=sys.stderr)
            else:
                if args.output_dir is None:
                    bar.write(f"{file}\t{text}" if args.format == "txt" else text, end="", file=sys.stdout)
                    sys.stdout.flush()
            done += duration
    if failed:
        print(f"error: {failed} of {len(files)} files could not be transcribed", file=sys.stderr)
        sys.exit(1)


def _targets(files: dict[Path, Path], args: argparse.Namespace) -> dict[Path, Path]:
    """Returns where each file's transcript goes.

    Raises:
        UserError: two transcripts would be one file, or would run into one another on the screen.
    """
    if args.output_dir is None:
        if len(files) > 1 and args.format != "txt":
            raise UserError(f"--format {args.format} of {len(files)} files needs --output_dir")
        return {}
    targets: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for file, below in files.items():
        target = targets[file] = args.output_dir / below.with_suffix(f".{args.format}")
        if (other := taken.setdefault(target, file)) is not file:
            raise UserError(f"{other} and {file} would both be written to {target}; transcribe them one after another")
    return targets


if __name__ == "__main__":
    run_main(main)
