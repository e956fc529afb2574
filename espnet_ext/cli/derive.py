"""`derive`: models that are made of another one without training."""

from argparse import Namespace
from pathlib import Path

from espnet_ext.cli.options import MODEL, TEACHER, Parser, add_flag, number
from espnet_ext.quiet import quiet_espnet

LAYERS = """\
Makes a smaller model of chosen encoder layers of a teacher or of a larger student.

Example:
    % encrl derive layers --source exp/asr_teacher --layers last:4 --output_dir exp/e4_start
    % ./asr.sh --pretrained_model exp/e4_start/model.pth ...
"""
STUDENT = """\
Takes a student out of an EncRL training, as a stock ESPnet experiment, ready for finetuning or decoding.

Example:
    % encrl derive student --encrl_exp exp/encrl_e6_e4_e2_raw_en_bpe200 --student e6
"""
PRUNED = """\
Prunes a model once, by magnitude, without training. Its files do not get smaller: the smallest weights become zero.

Example:
    % encrl derive pruned --source exp/asr_teacher_raw_en_bpe200 --amount 0.075 --modules feed_forward self_attn \\
          --output_dir exp/pruned_7.5
    % ./run.sh --stage 11 --stop_stage 13 --teacher exp/pruned_7.5 --students none
"""
LINK = """\
Makes a model from elsewhere an experiment directory of this recipe. Relative paths in its configuration (statistics,
BPE model) become absolute; the checkpoint is linked, not copied.

Example:
    % encrl derive link --source ../../x/asr1/exp/asr_conformer --output_dir exp/asr_teacher
"""
TOKENS = """\
Gives a recipe the tokens of a model from elsewhere, so that its students can match that model's CTC output. Writes what
stage 5 of asr.sh would make (the list of tokens, and the BPE model), and prints the options with which run.sh uses it.
Stage 5 must not run again then. A recipe does the same by --token_type teacher.

Example:
    % encrl derive tokens --teacher /models/asr_conformer --token_dir data/en_token_list
    --token_type bpe --nbpe 5000 --bpemode unigram
"""
OUTPUT = "Experiment directory to make, with config.yaml and model.pth"


def get_parser() -> Parser:
    """Returns the parser."""
    parser = Parser(prog="encrl derive", description="Makes models of another one, without training.")
    actions = parser.actions()

    layers = actions.add_parser("layers", description=LAYERS, help="A smaller model of chosen encoder layers")
    layers.add_argument("--source", required=True, help=f"The larger model: {MODEL}")
    layers.add_argument("--checkpoint", help="File in the experiment directory of --source. Without it: the best there")
    layers.add_argument(
        "--layers", required=True, help="Layers to keep: last:N, first:N, even:N, or indices from 0 such as 0,3,7,11"
    )
    layers.add_argument("--output_dir", type=Path, required=True, help=OUTPUT)
    add_flag(layers, "--ctc_only", "Drop an attention decoder or transducer, and keep the CTC head")

    student = actions.add_parser("student", description=STUDENT, help="A student of an EncRL training")
    student.add_argument("--encrl_exp", type=Path, required=True, help="Experiment directory of the EncRL training")
    student.add_argument("--student", required=True, help="Name of the student, e.g. e6")
    student.add_argument("--checkpoint", help="File in --encrl_exp. Without it: the best epochs of the student")
    student.add_argument("--output_dir", type=Path, help=f"{OUTPUT}. Without it: <encrl_exp>/<student>")

    pruned = actions.add_parser("pruned", description=PRUNED, help="A model whose smallest weights are zero")
    pruned.add_argument("--source", required=True, help=f"The model to prune: {MODEL}")
    pruned.add_argument("--amount", type=number, required=True, help="Share of each tensor that is set to zero, 0 to 1")
    pruned.add_argument(
        "--modules",
        nargs="+",
        default=["feed_forward", "self_attn", "conv"],
        help="Parts of the encoder layers to prune: feed_forward, self_attn, conv",
    )
    add_flag(
        pruned,
        "--weights_only",
        "Spare biases and layer norms; the released code of the paper prunes them too",
        default=True,
    )
    pruned.add_argument("--output_dir", type=Path, required=True, help=OUTPUT)

    link = actions.add_parser("link", description=LINK, help="A model from elsewhere, linked")
    link.add_argument("--source", required=True, help=f"The model from elsewhere, as {TEACHER}")
    link.add_argument("--output_dir", type=Path, required=True, help=OUTPUT)

    tokens = actions.add_parser("tokens", description=TOKENS, help="The tokens of a model from elsewhere")
    tokens.add_argument("--teacher", required=True, help=f"The model that has the tokens, as {TEACHER}")
    tokens.add_argument("--token_dir", type=Path, required=True, help="Directory data/<lang>_token_list of the recipe")
    return parser


def main(words: list[str]) -> None:
    """Makes the model and prints its path."""
    args = get_parser().parse_args(words)
    done = {"layers": _layers, "student": _student, "pruned": _pruned, "link": _link, "tokens": _tokens}
    print(done[args.action](args))


def _layers(args: Namespace) -> str:
    with quiet_espnet():
        from espnet_ext.checkpoints.derive import derive_student

    return str(derive_student(args.source, args.layers, args.output_dir, args.checkpoint, args.ctc_only))


def _student(args: Namespace) -> str:
    with quiet_espnet():
        from espnet_ext.encrl.export import export_student

    output_dir = args.output_dir or args.encrl_exp / args.student
    return str(export_student(args.encrl_exp, args.student, args.checkpoint, output_dir))


def _pruned(args: Namespace) -> str:
    from espnet_ext.checkpoints.prune import prune_model

    path, share = prune_model(args.source, args.amount, args.modules, args.output_dir, args.weights_only)
    return f"{path}: {100 * share:.1f} % of the parameters are zero"


def _link(args: Namespace) -> str:
    from espnet_ext.teachers.link import link_teacher

    return str(link_teacher(args.source, args.output_dir))


def _tokens(args: Namespace) -> str:
    from espnet_ext.teachers.token_files import copy_tokens

    return copy_tokens(args.teacher, args.token_dir)
