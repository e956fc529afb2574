"""`transcribe`: the text of audio files."""

from functools import partial
from pathlib import Path

from espnet_ext.cli.options import MODEL, Parser, number
from espnet_ext.errors import UserError

DESCRIPTION = r"""
Transcribes audio files and folders with a CTC model: ESPnet's, or an exported ONNX file.

Any length, sampling rate, number of channels, and any format that libsndfile or FFmpeg reads: wav, flac, ogg, mp3, m4a,
mp4, webm, wma etc. Long audio is processed in windows, in bounded memory. Its text is printed window by window. - is
standard input; in --output_dir its name is stdin. A file that cannot be read is reported and left out; the exit
status is then 1. Of a file that cannot be read to its end, the text that was printed stays.

An ONNX file needs neither PyTorch nor ESPnet: the extra device of this package is enough.

With --format txt and without --output_dir each file is one line: its name, a tab, its text. In the name, a backslash
and control characters are written as in a JSON string (a tab as \t, a line end as \n, a backslash as \\), and a byte
that is not UTF-8 as \udc80 to \udcff.

Example:
    % encrl transcribe --model exp/asr_e4_encrl_raw_en_bpe200/onnx/model.int8.onnx talk.mp3
    % encrl transcribe --model exp/asr_e4_encrl_raw_en_bpe200 --format srt --output_dir srt talks/
    % ffmpeg -i talk.mkv -f wav - | encrl transcribe --model model.int8.onnx -
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl transcribe", description=DESCRIPTION.strip())
    parser.add_argument("--model", required=True, help=f"The model: an .onnx file, {MODEL}")
    parser.add_argument("--format", choices=("txt", "json", "srt"), default="txt", help="Format of the transcripts")
    parser.add_argument(
        "--output_dir", type=Path, help="Directory that gets a transcript for each audio file. Without it: the screen"
    )
    parser.add_argument(
        "--window_sec",
        type=number,
        default=30.0,
        help="Audio that the model gets at once, in seconds, context included",
    )
    parser.add_argument(
        "--context_sec",
        type=number,
        default=3.0,
        help="Audio on each side of a window that is context only, in seconds; at most a quarter of --window_sec",
    )
    parser.add_argument("--ngpu", type=int, default=0, help="Number of GPUs, 0 or 1; an .onnx file runs on the CPU")
    parser.add_argument("audio", nargs="+", type=_audio, help="Audio files and folders; - is standard input")
    return parser


def main(words: list[str]) -> None:
    """Transcribes every file."""
    args = get_parser().parse_args(words)
    if args.window_sec < 4 * args.context_sec or args.context_sec <= 0:
        raise UserError("--window_sec must be at least four times --context_sec, which must be > 0")
    from espnet_ext.decode.files import transcribe_files
    from espnet_ext.decode.student import Student

    open_model = partial(Student.from_pretrained, args.model, "cuda" if args.ngpu else "cpu")
    transcribe_files(args.audio, open_model, args.format, args.output_dir, args.window_sec, args.context_sec)


def _audio(word: str) -> Path:
    """Returns the path of a file; one that is called - is not taken for the standard input."""
    path = Path(word)
    return path.absolute() if path == Path("-") and word != "-" else path
