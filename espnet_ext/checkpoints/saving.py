"""Makes ESPnet's trainer leave only whole files, so that a training goes on after a kill at any moment.

At the end of epoch N `Trainer.run` (`espnet2/train/trainer.py`) saves `checkpoint.pth`, then `Nepoch.pth`, in place. It
points `latest.pth` and `<phase>.<key>.best.pth` there, and removes models that are no longer among the best. At the end
it averages the best. A kill in between can leave a cut-off checkpoint, or one that counts an epoch without its model.

`install` gives three names in ESPnet's modules another meaning; no file of ESPnet changes. Its trainer calls `save` and
`average_nbest_models` in the process of rank 0 alone, so the other ranks write nothing.

* `torch.save` writes under another name and renames. `checkpoint.pth` comes after `Nepoch.pth`: it counts an epoch only
  if the model of that epoch is there. Killed before that, the training does epoch N again, to the same values.
* `safe_torch_load` resumes from an intact checkpoint only.
* `average_nbest_models` averages intact models only, and makes the links right that a kill left behind.
"""

import copy
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from espnet_ext.checkpoints.load import load_saved
from espnet_ext.checkpoints.whole import check_checkpoint
from espnet_ext.errors import UserError

CHECKPOINT = "checkpoint.pth"


def install(trainer: ModuleType) -> None:
    """Changes the names in the executed module `espnet2.train.trainer`, and in the one that averages."""
    from espnet2.main_funcs import average_nbest_models as averaging

    for module in (trainer, averaging):
        if not isinstance(module.torch, SavingTorch):
            module.torch = SavingTorch(module.torch)
    trainer.safe_torch_load = load_checkpoint
    trainer.average_nbest_models = average_intact


class SavingTorch:
    """The module `torch` with a `save` that leaves whole files.

    Args:
        torch: the module.
    """

    def __init__(self, torch: ModuleType):
        self._torch = torch
        self._waiting: tuple[Any, Path] | None = None

    def __getattr__(self, name: str) -> Any:
        """Returns what the module has."""
        return getattr(self._torch, name)

    def save(self, state: Any, path: str | os.PathLike) -> None:
        """Saves to a file; a checkpoint waits until the next file, the model of its epoch, is saved.

        Raises:
            UserError: it cannot be written, e.g. the disk is full. What was there before is still there.
        """
        if Path(path).name == CHECKPOINT:
            self._waiting = state, Path(path)
            return
        save_whole(state, Path(path))
        if self._waiting is not None:
            checkpoint, self._waiting = self._waiting, None
            save_whole(*checkpoint)


def save_whole(state: Any, path: Path) -> None:
    """`torch.save` to a file that appears whole or not at all, also after a loss of power.

    One process writes to a directory. So the temporary name is always the same, and what a kill left is overwritten.

    Raises:
        UserError: the file cannot be written.
    """
    import torch

    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        # Where writing fails in the middle, torch raises once more when it cannot finish the zip archive.
        cause = next((one for one in (error, error.__context__) if isinstance(one, OSError)), None)
        if cause is None:
            raise
        raise UserError(
            f"{path} cannot be written: {cause.strerror}; make room or give another directory, and run the same "
            "command again: the training goes on after the last epoch that was saved"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike, map_location: Any = None) -> dict:
    """Loads what a training goes on from, as ESPnet does, after a comparison with the sums in the file.

    Raises:
        UserError: it is damaged or cut off, a pointer of git-lfs, or of an older ESPnet.
    """
    from espnet2.torch_utils.safe_torch_load import safe_torch_load

    path = Path(path)
    try:
        check_checkpoint(path)
        load_saved(path)
    except UserError as error:
        raise UserError(f"the training cannot go on: {error}; or delete {path.parent} to train anew") from None
    return safe_torch_load(path, map_location=map_location)


def average_intact(
    *,
    output_dir: Path,
    reporter: Any,
    best_model_criterion: Sequence[Sequence[str]],
    nbest: Sequence[int],
    **options: Any,
) -> None:
    """Averages the best models as ESPnet does, without those that a failing disk damaged or that are gone.

    Args:
        output_dir: experiment directory.
        reporter: ESPnet's `Reporter`; is not changed.
        best_model_criterion: (phase, key, min or max) of each average.
        nbest: how many models are averaged.
        options: further ones of ESPnet's function.

    Raises:
        UserError: no model is intact.
    """
    from espnet2.main_funcs.average_nbest_models import average_nbest_models

    reported = [tuple(one) for one in best_model_criterion if reporter.has(*one[:2])]
    best = {epoch for one in reported for epoch in reporter.sort_epochs(*one)[: max(nbest)]}
    intact = copy.copy(reporter)
    intact.stats = dict(reporter.stats)
    for epoch in reporter.stats:
        try:
            check_checkpoint(output_dir / f"{epoch}epoch.pth")
        except UserError as error:
            del intact.stats[epoch]
            if epoch in best:  # the others were removed by the trainer
                logging.error(f"left out of the averages: {error}")
    if reporter.stats and not intact.stats:
        raise UserError(f"{output_dir}: no model of an epoch is left; delete the directory to train anew")
    intact.set_epoch(max(intact.stats, default=0))
    _link(output_dir / "latest.pth", intact.get_epoch())
    for phase, key, mode in reported:
        _link(output_dir / f"{phase}.{key}.best.pth", intact.get_best_epoch(phase, key, mode))
    average_nbest_models(
        output_dir=output_dir, reporter=intact, best_model_criterion=best_model_criterion, nbest=nbest, **options
    )


def _link(link: Path, epoch: int) -> None:
    target = f"{epoch}epoch.pth"
    if not link.is_symlink() or os.readlink(link) != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
