"""Experiments that an earlier version trained, with its own marks of what is finished, become records once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from espnet_ext.config import read_config
from espnet_ext.recipe.configs import text_keys
from espnet_ext.record import Record, stamp

if TYPE_CHECKING:
    from espnet_ext.recipe.recipe import Recipe
    from espnet_ext.recipe.train import Training

_MARKS = (".trained", ".trained.tmp", ".start", ".students", ".checked", "recipe.yaml", "lineage.yaml")


def adopt(recipe: "Recipe", training: "Training", made_of: Mapping[str, Any], parts: Sequence[str]) -> Record | None:
    """Returns the record of a training, None where it has not begun.

    What an earlier version left gets a record: its configuration is in `recipe.yaml`, all else is taken as it is now.

    Args:
        recipe: the run.
        training: the training.
        made_of: what it would be made of now.
        parts: keys of `made_of` that are known now; the others are filled in later.
    """
    exp_dir = training.exp_dir
    if not exp_dir.exists() and (former := recipe.names.long.get(exp_dir)) and former.is_dir():
        former.rename(exp_dir)
        recipe.say(f"{former} is {exp_dir} now: names are shorter")
    record = Record.read(exp_dir) or _former(recipe, training)
    if record is not None and (known := [part for part in record.content.get("assumed", ()) if part in parts]):
        record.content["made_of"] |= {part: made_of[part] for part in known}
        record.content["assumed"] = [part for part in record.content["assumed"] if part not in known]
        record.write()
    return record


def _former(recipe: "Recipe", training: "Training") -> Record | None:
    exp_dir, outputs = training.exp_dir, training.outputs
    if not (exp_dir / "recipe.yaml").is_file() or not (exp_dir / "checkpoint.pth").is_file():
        return None
    finished = (exp_dir / ".trained").is_file() and all((exp_dir / name).is_file() for name in outputs)
    content = {"kind": training.kind, **training.about, "state": "finished" if finished else "begun", "seconds": 0.0}
    content["made_of"] = {"config": text_keys(read_config(exp_dir / "recipe.yaml"))}
    content["outputs"] = {name: stamp(exp_dir / name) for name in outputs} if finished else {}
    record = Record(exp_dir, content | {"assumed": ["arguments", "inputs", "parents"]})
    record.write()
    for name in _MARKS:
        (exp_dir / name).unlink(missing_ok=True)
    recipe.say(f"{exp_dir}: a training of an earlier version, taken as made of the present data (see its run.json)")
    return record
