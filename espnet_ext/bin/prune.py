r"""Prunes a trained model once, by magnitude, without training: config.yaml and model.pth.

Example:
    % python3 -m espnet_ext.bin.prune --source exp/asr_teacher_raw_en_bpe200 --amount 0.075 \
        --modules feed_forward self_attn --output_dir exp/pruned_7.5
    % ./run.sh --stage 11 --stop_stage 13 --teacher exp/pruned_7.5 --students none
"""

import argparse
from pathlib import Path

from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="Experiment directory, checkpoint, packed zip or model-zoo tag")
    parser.add_argument("--amount", type=float, required=True, help="Share of each tensor that is set to zero, 0 to 1")
    parser.add_argument(
        "--modules", nargs="+", default=["feed_forward", "self_attn", "conv"], help="feed_forward, self_attn, conv"
    )
    parser.add_argument(
        "--weights_only",
        choices=("true", "false"),
        default="true",
        help="false: biases and layer norms too, as the released code of the paper",
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="Where config.yaml and model.pth go")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Writes the model and prints the path of model.pth and the share of zeros."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.checkpoints.find import find_model_files, read_state_dict, save_model
    from espnet_ext.checkpoints.prune import prune
    from espnet_ext.config import read_config, recipe_directory, with_absolute_paths

    config_file, checkpoint = find_model_files(args.source)
    state, share = prune(read_state_dict(checkpoint), args.amount, args.modules, args.weights_only == "true")
    config = read_config(config_file)
    config = with_absolute_paths(config, recipe_directory(config_file, config))
    print(f"{save_model(config, state, args.output_dir)}: {100 * share:.1f} % of the parameters are zero")


if __name__ == "__main__":
    run_main(main)
