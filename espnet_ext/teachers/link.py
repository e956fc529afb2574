"""A teacher from elsewhere as an experiment directory of a recipe, by which all that is made of it is found again."""

import json
from dataclasses import asdict
from pathlib import Path

from espnet_ext.checkpoints.link import link_model
from espnet_ext.files import atomic
from espnet_ext.teachers.load import identify
from espnet_ext.teachers.source import ESPNET, Source

IDENTITY = "teacher.json"


def link_teacher(name: str, output_dir: Path) -> Path:
    """Links an ESPnet model, which a recipe decodes and takes layers of; of others it is written down what they are.

    Args:
        name: see `espnet_ext.teachers.source`.
        output_dir: the experiment directory to make.

    Returns:
        The file whose content changes with the teacher: `model.pth`, or `teacher.json` with the hashes of its weights
        and configuration.

    Raises:
        UserError: no such teacher.
    """
    source = Source.parse(name)
    if source.family == ESPNET:
        link_model(source.location, output_dir)
        return output_dir / "model.pth"
    said = {**asdict(source), **identify(name)._asdict()}
    with atomic(output_dir / IDENTITY) as temporary:
        temporary.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return output_dir / IDENTITY
