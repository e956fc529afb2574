"""What the configuration of a training must say itself: where it does not, ESPnet silently takes values of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet_ext.conf_dirs import shown
from espnet_ext.errors import UserError

# An overlay that is given without its base would get ESPnet's: 40 epochs of Adadelta, batches of 20 utterances, an RNN
# as encoder. Without best_model_criterion there would be no file that decoding asks for.
_ALWAYS = ("max_epoch", "optim", "optim_conf.lr", "batch_type")
_BINS = ("numel", "length", "catpow", "catpow_balance_dataset")  # batch types that count elements
_OF_KIND = {
    "encrl": ("criteria",),
    "teacher": ("encoder", "best_model_criterion"),
    "finetune": ("encoder", "best_model_criterion"),
    "scratch": ("encoder", "best_model_criterion"),
}
KINDS = tuple(_OF_KIND)


def check_complete(kind: str, configs: Sequence[str], merged: Mapping[str, Any]) -> None:
    """Checks that a training is described whole.

    Args:
        kind: one of `KINDS`.
        configs: files of the training, later ones laid over earlier ones; of a student's CTC training the model first.
        merged: what they say together.

    Raises:
        UserError: names what is missing and how to give the base.
    """
    size = "batch_bins" if merged.get("batch_type") in _BINS else "batch_size"
    needed = [*_ALWAYS, *([size] if "batch_type" in merged else []), *_OF_KIND[kind]]
    missing = [key for key in needed if not _says(merged, key)]
    if not missing:
        return
    files = configs[1:] if kind in ("finetune", "scratch") else configs
    own = [shown(path) for path in files]
    if "encoder" in missing and kind != "teacher":
        raise UserError(f"{configs[0]} describes no model: encoder is missing, for which ESPnet would take an RNN")
    raise UserError(
        f"{' + '.join(own)}: {', '.join(missing)} missing, and ESPnet's own values would be taken silently; give the "
        f'file that it is laid over first: --{kind}_config "{shown(_base(kind, files))} {" ".join(own)}"'
    )


def _says(config: Mapping[str, Any], key: str) -> bool:
    name, _, inner = key.partition(".")
    return name in config and (not inner or (isinstance(config[name], Mapping) and inner in config[name]))


def _base(kind: str, configs: Sequence[str]) -> str:
    """Returns the file of that kind that is nearest above the first of `configs`."""
    for directory in Path(configs[0]).parents if configs else ():
        if (directory / f"{kind}.yaml").is_file() and str(directory / f"{kind}.yaml") not in configs:
            return str(directory / f"{kind}.yaml")
    return f"conf/{kind}.yaml"
