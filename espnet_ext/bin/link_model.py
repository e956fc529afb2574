"""Makes a model from elsewhere usable in this recipe: an experiment directory with config.yaml and model.pth.

Relative paths in its configuration (statistics, BPE model) become absolute; the checkpoint is linked, not copied.

Example:
    % python3 -m espnet_ext.bin.link_model --source ../../x/asr1/exp/asr_conformer --output_dir exp/asr_teacher
"""

import argparse
from pathlib import Path

from espnet_ext.config import read_config, recipe_directory, with_absolute_paths, write_config
from espnet_ext.errors import run_main
from espnet_ext.files import atomic


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="Experiment directory, checkpoint, packed zip or model-zoo tag")
    parser.add_argument("--output_dir", type=Path, required=True, help="The experiment directory to make")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Writes config.yaml and the link model.pth."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.checkpoints.find import find_model_files

    config_file, checkpoint = find_model_files(args.source)
    config = read_config(config_file)
    config = with_absolute_paths(config, recipe_directory(config_file, config))
    write_config(config, args.output_dir / "config.yaml")
    with atomic(args.output_dir / "model.pth") as temporary:
        temporary.symlink_to(checkpoint.resolve())


if __name__ == "__main__":
    run_main(main)
