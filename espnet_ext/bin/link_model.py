"""Makes a model from elsewhere usable in this recipe: an experiment directory with config.yaml and model.pth.

Relative paths in its configuration (statistics, BPE model) become absolute; the checkpoint is linked, not copied.

Example:
    % python3 -m espnet_ext.bin.link_model --source ../../librispeech/asr1/exp/asr_conformer --output_dir exp/asr_teacher
"""

import argparse
import os
from pathlib import Path

from espnet_ext.config import merge, read_config, recipe_directory, write_config
from espnet_ext.errors import run_main


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="Experiment directory, checkpoint, packed zip or model-zoo tag")
    parser.add_argument("--output_dir", type=Path, required=True, help="The experiment directory to make")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Writes config.yaml and the link model.pth."""
    args = get_parser().parse_args(cmd)
    from espnet_ext.model_files import find_model_files

    config_file, checkpoint = find_model_files(args.source)
    config = read_config(config_file)
    root = recipe_directory(config_file, config)
    paths = {"bpemodel": config.get("bpemodel")}
    stats_file = (config.get("normalize_conf") or {}).get("stats_file")
    found = {key: str((root / path).resolve()) for key, path in paths.items() if path and (root / path).exists()}
    if stats_file:
        found["normalize_conf"] = {"stats_file": str((root / stats_file).resolve())}
    write_config(merge(config, found), args.output_dir / "config.yaml")
    link = args.output_dir / "model.pth"
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.symlink_to(checkpoint.resolve())
    os.replace(temporary, link)


if __name__ == "__main__":
    run_main(main)
