r"""Transcribes audio files and folders with a CTC model: ESPnet's, or an exported ONNX file.

Any length, sampling rate, number of channels, and any format that libsndfile or FFmpeg reads: wav, flac, ogg, mp3, m4a,
mp4, webm, wma etc. Long audio is processed in windows, in bounded memory. Its text is printed window by window. `-`
is standard input; in --output_dir its name is `stdin`. A file that cannot be read is reported and left out; the exit
status is then 1. Of a file that cannot be read to its end, the text that was printed stays.

An ONNX file needs neither PyTorch nor ESPnet: the extra `device` of this package is enough.

With --format txt and without --output_dir each file is one line: its name, a tab, its text. In the name, a backslash
and control characters are written as in a JSON string (a tab as \t, a line end as \n, a backslash as \\), and a byte
that is not UTF-8 as \udc80 to \udcff.

Example:
    % python3 -m espnet_ext.bin.transcribe --model exp/asr_e4_encrl_raw_en_bpe200/onnx/model.int8.onnx talk.mp3
    % python3 -m espnet_ext.bin.transcribe --model exp/asr_e4_encrl_raw_en_bpe200 --format srt --output_dir srt talks/
    % ffmpeg -i talk.mkv -f wav - | python3 -m espnet_ext.bin.transcribe --model model.int8.onnx -
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError, run_main

if TYPE_CHECKING:
    import numpy as np

    Blocks = Iterator[tuple[int, np.ndarray]]

_STDIN = Path("-")


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
    parser.add_argument("audio", nargs="+", type=Path, help="Files and folders; - is standard input")
    return parser


class _FileError(Exception):
    """A file cannot be transcribed, or only in part; the others go on."""

    in_part = False


def main(cmd: list[str] | None = None) -> None:
    """Transcribes every file."""
    args = get_parser().parse_args(cmd)
    if args.window_sec < 4 * args.context_sec or args.context_sec <= 0:
        raise UserError("--window_sec must be at least four times --context_sec, which must be > 0")
    from espnet_ext.decode.audio import find_audio
    from espnet_ext.decode.formats import FORMATS, escape_name
    from espnet_ext.decode.student import Student

    files = find_audio(args.audio)
    if _STDIN in files and sys.stdin.isatty():
        raise UserError("- is audio from standard input, which is a terminal; give a file, or: ... - < talk.wav")
    targets = _targets(files, args)
    student = Student.from_pretrained(args.model, "cuda" if args.ngpu else "cpu")
    failed = 0
    # Text on a terminal tells by itself how far it is, and a bar would run into it.
    shown = sys.stderr.isatty() and (bool(targets) or not sys.stdout.isatty())
    with _Bar(list(files), student.sample_rate) if shown else nullcontext() as bar:
        for file in files:
            follow = partial(bar.follow, file) if bar else None
            words = student.words(file, None, args.window_sec, args.context_sec, follow)
            pieces = _as_file_errors(FORMATS[args.format](words))
            name = escape_name(str(file))
            try:
                if targets:
                    _save(pieces, targets[file])
                else:
                    _show(pieces, name if args.format == "txt" else None)
            except _FileError as error:
                failed += 1
                what = "is transcribed in part, up to where it cannot be read" if error.in_part else "is left out"
                (bar.write if bar else print)(f"error: {name} {what}: {escape_name(str(error))}", file=sys.stderr)
    if failed:
        print(f"error: {failed} of {len(files)} files could not be transcribed", file=sys.stderr)
        sys.exit(1)


class _Bar:
    """Shows how much of the audio is done.

    Args:
        files: in their order.
        sample_rate: of the blocks, Hz.
    """

    def __init__(self, files: list[Path], sample_rate: int):
        from tqdm import tqdm  # an eighth of what is imported

        from espnet_ext.decode.audio import duration_sec

        durations = [duration_sec(file) for file in files]
        self._begins = dict(zip(files, accumulate([0.0, *durations[:-1]]), strict=True))
        self._sample_rate = sample_rate
        self._bar = tqdm(total=round(sum(durations)), unit="s", unit_scale=True, desc="audio")
        self.write = self._bar.write

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def follow(self, file: Path, blocks: "Blocks") -> "Blocks":
        """Passes the blocks of a file on."""
        for first, speech in blocks:
            yield first, speech
            self._bar.update(round(self._begins[file] + (first + len(speech)) / self._sample_rate) - self._bar.n)


def _as_file_errors(pieces: Iterator[str]) -> Iterator[str]:
    """Tells errors of reading and recognising, which are a file's, from those of writing what is yielded."""
    try:
        yield from pieces
    except Exception as error:  # soundfile and ONNX Runtime have many of their own
        raise _FileError(str(error)) from error


def _show(pieces: Iterator[str], name: str | None) -> None:
    """Prints a transcript as it comes; with a name, as one line that begins with it.

    Raises:
        _FileError: the file cannot be read to its end.
    """
    begun = False
    try:
        for piece in pieces:
            print(piece if name is None or begun else f"{name}\t{piece}", end="", flush=True)
            begun = True
    except _FileError as error:
        error.in_part = begun
        if begun and name is not None:
            print(flush=True)
        raise


def _save(pieces: Iterator[str], target: Path) -> None:
    """Writes a transcript, whole or not at all.

    Raises:
        _FileError: the file cannot be read to its end, or its transcript cannot be written.
    """
    from espnet_ext.files import atomic

    try:
        with atomic(target) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
    except OSError as error:
        raise _FileError(str(error)) from error


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
