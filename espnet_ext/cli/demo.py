"""`demo`: exported students in a page."""

from pathlib import Path

from espnet_ext.cli.options import Parser
from espnet_ext.errors import UserError, require

DESCRIPTION = """\
Writes a static page that runs exported students in the browser: microphone or file in, text with the times of words
out, several students side by side. No audio leaves the device that shows the page.

The folder holds all that the page needs. ONNX Runtime for the web is fetched by npm, once.

Example:
    % encrl demo --onnx_dirs exp/asr_e6/onnx exp/asr_e2/onnx --names e6 e2 --output_dir exp/demo
    % python3 -m http.server --directory exp/demo
"""


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl demo", description=DESCRIPTION)
    parser.add_argument(
        "--onnx_dirs", nargs="+", type=Path, required=True, help="Directories that encrl export wrote, one a student"
    )
    parser.add_argument(
        "--names", nargs="+", default=[], help="What the page calls the students. Without it: names of the experiments"
    )
    parser.add_argument("--title", default="Speech to text", help="Title of the page")
    parser.add_argument("--output_dir", type=Path, required=True, help="Directory of the page, made anew")
    return parser


def main(words: list[str]) -> None:
    """Writes the page."""
    args = get_parser().parse_args(words)
    require("onnxruntime", extra="device")
    names = args.names or [path.absolute().parent.name for path in args.onnx_dirs]
    if len(names) != len(args.onnx_dirs) or len(set(names)) < len(names):
        raise UserError(f"--names {' '.join(names)}: give another name to each of the {len(args.onnx_dirs)} students")
    from espnet_ext.export.demo import write_demo

    write_demo(dict(zip(names, args.onnx_dirs, strict=True)), args.output_dir, args.title)
    print(f"{args.output_dir}: python3 -m http.server --directory {args.output_dir}")
