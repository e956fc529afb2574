"""A model from elsewhere as an experiment directory of this recipe."""

from pathlib import Path

from espnet_ext.checkpoints.find import find_model_files
from espnet_ext.checkpoints.output import claim
from espnet_ext.config import read_config, recipe_directory, with_absolute_paths, write_config
from espnet_ext.files import atomic


def link_model(source: str, output_dir: Path) -> None:
    """Writes `config.yaml`, its relative paths made absolute, and `model.pth`, a link to the checkpoint.

    Args:
        source: experiment directory, checkpoint, packed zip or model-zoo tag.
        output_dir: the experiment directory to make.

    Raises:
        UserError: nothing usable in `source`, or a directory that is not to be replaced.
    """
    config_file, checkpoint = find_model_files(source)
    claim(output_dir, config_file.parent)
    config = read_config(config_file)
    write_config(with_absolute_paths(config, recipe_directory(config_file, config)), output_dir / "config.yaml")
    with atomic(output_dir / "model.pth") as temporary:
        temporary.symlink_to(checkpoint.resolve())
