"""Transcripts of audio files, shown as they come or written to files; progress on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_ext.audio.reader import STDIN
from espnet_ext.decode.audio import duration_sec, find_audio
from espnet_ext.decode.formats import FORMATS, escape_name
from espnet_ext.errors import UserError
from espnet_ext.files import atomic

if TYPE_CHECKING:
    import numpy as np

    from espnet_ext.decode.student import Student

    Blocks = Iterator[tuple[int, np.ndarray]]


class _FileError(Exception):
    """A file cannot be transcribed, or only in part; the others go on."""

    in_part = False


def transcribe_files(
    paths: list[Path],
    open_model: Callable[[], "Student"],
    kind: str = "txt",
    output_dir: Path | None = None,
    window_sec: float = 30.0,
    context_sec: float = 3.0,
) -> None:
    """Transcribes every file; one that cannot be read is reported and left out.

    Args:
        paths: files and folders; `espnet_ext.audio.reader.STDIN` for the standard input.
        open_model: opens the model, once it is known what is transcribed.
        kind: key of `espnet_ext.decode.formats.FORMATS`.
        output_dir: where the transcripts go; None: they are printed.
        window_sec: audio that the model gets at once.
        context_sec: of it, on each side, what is context only.

    Raises:
        UserError: nothing to transcribe, or some files could not be transcribed.
    """
    files = find_audio(paths)
    if STDIN in files and sys.stdin.isatty():
        raise UserError("- is audio from standard input, which is a terminal; give a file, or: ... - < talk.wav")
    targets = _targets(files, output_dir, kind)
    student = open_model()
    failed = 0
    # Text on a terminal tells by itself how far it is, and a bar would run into it.
    shown = sys.stderr.isatty() and (bool(targets) or not sys.stdout.isatty())
    with _Bar(list(files), student.sample_rate) if shown else nullcontext() as bar:
        for file in files:
            follow = partial(bar.follow, file) if bar else None
            words = student.words(file, None, window_sec, context_sec, follow)
            pieces = _as_file_errors(FORMATS[kind](words))
            name = escape_name(str(file))
            try:
                if targets:
                    _save(pieces, targets[file])
                else:
                    _show(pieces, name if kind == "txt" else None)
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
    try:
        with atomic(target) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
    except OSError as error:
        raise _FileError(str(error)) from error


def _targets(files: dict[Path, Path], output_dir: Path | None, kind: str) -> dict[Path, Path]:
    """Returns where each file's transcript goes.

    Raises:
        UserError: two transcripts would be one file, or would run into one another on the screen.
    """
    if output_dir is None:
        if len(files) > 1 and kind != "txt":
            raise UserError(f"--format {kind} of {len(files)} files needs --output_dir")
        return {}
    targets: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for file, below in files.items():
        target = targets[file] = output_dir / below.with_suffix(f".{kind}")
        if (other := taken.setdefault(target, file)) is not file:
            raise UserError(f"{other} and {file} would both be written to {target}; transcribe them one after another")
    return targets
