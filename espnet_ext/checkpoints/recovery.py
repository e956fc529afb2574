"""Makes an ESPnet experiment directory resumable after a kill.

At the end of epoch N the trainer (`espnet2/train/trainer.py`, `Trainer.run`) writes, in this order and each in place:
`checkpoint.pth`, `Nepoch.pth`, the link `latest.pth`, the links `valid.*.best.pth`; then it removes epoch models that
are not among the n best. After the last epoch come `*.ave_*best.pth` and their links. A kill in between leaves

* a truncated `checkpoint.pth`: resuming crashes;
* a good checkpoint of epoch N without a good `Nepoch.pth`: averaging crashes at the very end;
* links that name an older or a missing epoch.

A failing disk damages files later, and `torch.load` takes wrong weights from them without a word: the sums in each file
are compared first, here and in `check_averaged`. DeepSpeed's directories `checkpoint_N` are left alone.

`keep_previous` (called while a training runs) keeps one complete older checkpoint; `recover` repairs the directory.
"""

import math
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from espnet_ext.checkpoints.load import CorruptFileError, corruption, load_saved
from espnet_ext.checkpoints.whole import damaged_part
from espnet_ext.errors import UserError
from espnet_ext.train_log import EpochStats, from_reporter, non_finite_losses, read_logs, stopped_as_invalid

CHECKPOINT = "checkpoint.pth"
PREVIOUS = "checkpoint.prev.pth"
_CORRUPT = "checkpoint.pth.corrupt"
_TMP_PREFIX = ".recovery_tmp."
_COPY_BYTES = 16 * 2**20


def is_finished(exp_dir: Path) -> bool:
    """Tells whether the training has ended: the averaged models (or their links) are newer than the checkpoint."""
    checkpoint = exp_dir / CHECKPOINT
    if not checkpoint.is_file():
        return False
    written = checkpoint.stat().st_mtime_ns
    averaged = [path for path in exp_dir.glob("*.ave.pth") if ".till" not in path.name]
    return any(path.exists() and path.lstat().st_mtime_ns >= written for path in averaged)


def keep_previous(exp_dir: Path, cancelled: Callable[[], bool] = lambda: False) -> bool:
    """Copies `checkpoint.pth` to `checkpoint.prev.pth`; a half-written or changing checkpoint is not copied.

    Call it when the trainer has said that the checkpoint is written. Needs no torch.

    Args:
        exp_dir: Experiment directory.
        cancelled: Asked between blocks; the copy is dropped when it returns True.

    Returns:
        Whether `checkpoint.prev.pth` is now a copy of a complete checkpoint.

    Raises:
        OSError: The file system refused, e.g. the disk is full. No partial file is left.
    """
    source = exp_dir / CHECKPOINT
    before = _identity(source)
    if before is None or not zipfile.is_zipfile(source):  # the directory of torch's zip format is written last
        return False
    handle, temporary = tempfile.mkstemp(prefix=_TMP_PREFIX, dir=exp_dir)
    try:
        with os.fdopen(handle, "wb") as out, source.open("rb") as data:
            while block := data.read(_COPY_BYTES):
                if cancelled():
                    return False
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        # A copy that was damaged on its way must not replace a good one.
        if _identity(source) != before or not zipfile.is_zipfile(temporary) or damaged_part(Path(temporary)):
            return False
        shutil.copymode(source, temporary)
        os.replace(temporary, exp_dir / PREVIOUS)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return True


def drop_previous_if_finished(exp_dir: Path) -> None:
    """Deletes `checkpoint.prev.pth` once the averaged models exist: nothing is left to resume."""
    if is_finished(exp_dir):
        (exp_dir / PREVIOUS).unlink(missing_ok=True)


def recover(exp_dir: Path, log: Callable[[str], None] = print) -> int:
    """Repairs an experiment directory so that ESPnet's `--resume true` continues, and averaging finds its files.

    Args:
        exp_dir: Experiment directory; one that does not exist yet is fine.
        log: Receives one line for everything that was found broken and what was done.

    Returns:
        The epoch the training continues after; 0 when it starts from the beginning.

    Raises:
        UserError: A checkpoint is intact, but of an ESPnet version whose checkpoints 202611 does not resume, or it is a
            pointer of git-lfs.
    """
    for leftover in exp_dir.glob(f"{_TMP_PREFIX}*"):
        leftover.unlink()
    if not (exp_dir / CHECKPOINT).exists() and not (exp_dir / PREVIOUS).exists():
        return 0
    state = _usable_checkpoint(exp_dir, log)
    if state is None:
        _remove_dangling_links(exp_dir, log)
        return 0
    epoch = state["reporter"]["epoch"]
    _repair_epoch_models(exp_dir, state, log)
    for averaged in sorted(exp_dir.glob("*.ave_*best*.pth")):
        if not averaged.is_symlink() and (wrong := corruption(averaged)):
            averaged.unlink()
            log(f"removed {averaged}: it was {wrong}; ESPnet writes it again at the end of the training")
    _repair_links(exp_dir, state, log)
    _remove_dangling_links(exp_dir, log)
    drop_previous_if_finished(exp_dir)
    return epoch


def check_finite(exp_dir: Path) -> None:
    """Checks that a training ended with finite losses.

    Raises:
        UserError: No epoch was finished, ESPnet stopped because no gradient was finite, or the last epoch's training
            loss is nan or infinite.
    """
    log_file = exp_dir / "train.log"
    if stopped_as_invalid(exp_dir):
        raise UserError(
            f"{exp_dir}: ESPnet stopped this training because the gradients of a whole epoch were not finite "
            f"(see {log_file}); lower the learning rate (optim_conf lr) or the batch size, look for broken audio, "
            f"delete the directory and run again"
        )
    epochs = finished_epochs(exp_dir)
    if not epochs:
        raise UserError(f"{exp_dir}: no epoch was finished; the reason is at the end of {log_file}")
    bad = non_finite_losses(epochs[-1].stats.get("train", {}))
    if bad:
        raise UserError(
            f"{exp_dir}: the training loss of epoch {epochs[-1].epoch} is not finite ({', '.join(bad)}; "
            f"see {log_file}); lower the learning rate (optim_conf lr), delete the directory and run again"
        )


def check_averaged(exp_dir: Path) -> None:
    """Checks the models that a training left, after its end: those of single epochs, and the averages made of them.

    Raises:
        UserError: one is damaged. Run again: `recover` removes it, and ESPnet makes the averages anew.
    """
    for path in sorted(exp_dir.glob("*.pth")):
        if path.name in (CHECKPOINT, PREVIOUS) or path.is_symlink():
            continue
        if (part := damaged_part(path)) is not None:
            raise UserError(
                f"{path} is damaged: {part} in it does not have the sum that it was written with; run again: it is "
                "left out, and the averages are made anew. Check the disk too"
            )


def finished_epochs(exp_dir: Path) -> list[EpochStats]:
    """Returns the finished epochs: from `checkpoint.pth`, or from the logs where it cannot be read."""
    try:
        return from_reporter(load_saved(exp_dir / CHECKPOINT, mmap=True)["reporter"])
    except (OSError, CorruptFileError, UserError, KeyError):
        return read_logs(exp_dir)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _save(data: object, path: Path) -> None:
    """`torch.save`, but the file appears complete or not at all."""
    import torch

    temporary = path.parent / f"{_TMP_PREFIX}{path.name}"
    torch.save(data, temporary)
    os.replace(temporary, path)


def _usable_checkpoint(exp_dir: Path, log: Callable[[str], None]) -> dict | None:
    """Returns the content of `checkpoint.pth`, restored from the previous one where needed; None when both are lost."""
    checkpoint, previous = exp_dir / CHECKPOINT, exp_dir / PREVIOUS
    try:
        return load_saved(checkpoint)
    except FileNotFoundError:
        found = f"{checkpoint} is missing"
    except CorruptFileError as error:
        found = f"{checkpoint} is {error}"
    try:
        state = load_saved(previous)
    except (FileNotFoundError, CorruptFileError):
        if checkpoint.exists():
            os.replace(checkpoint, exp_dir / _CORRUPT)
        previous.unlink(missing_ok=True)
        log(
            f"{found} and no earlier checkpoint survived: training restarts from epoch 1 "
            f"(the broken file, if any, is kept as {exp_dir / _CORRUPT})"
        )
        return None
    os.replace(previous, checkpoint)
    epoch = state["reporter"]["epoch"]
    log(f"{found}: restored the one of epoch {epoch}; training continues with epoch {epoch + 1}")
    for number, path in _epoch_models(exp_dir):
        if number > epoch:
            path.unlink()
            log(f"removed {path}: later than the restored checkpoint")
    return state


def _epoch_models(exp_dir: Path) -> list[tuple[int, Path]]:
    found = [(re.fullmatch(r"(\d+)epoch\.pth", path.name), path) for path in exp_dir.glob("*epoch.pth")]
    return sorted((int(match[1]), path) for match, path in found if match)


def _repair_epoch_models(exp_dir: Path, state: dict, log: Callable[[str], None]) -> None:
    """Makes every epoch model that may be averaged present and complete, or ineligible."""
    last = state["reporter"]["epoch"]
    for _, path in _epoch_models(exp_dir):
        if wrong := corruption(path):
            path.unlink()
            log(f"removed {path}: it was {wrong}")
    last_model = exp_dir / f"{last}epoch.pth"
    if last > 0 and not last_model.exists():
        _save(state["model"], last_model)
        log(f"wrote {last_model} from {CHECKPOINT}")

    lost = set()
    for phase, key, mode, epochs in _nbest(exp_dir, state):
        for number in epochs:
            if not (exp_dir / f"{number}epoch.pth").exists():
                # The worst value keeps the epoch (and its seconds) in the history, but out of the n best.
                state["reporter"]["stats"][number][phase][key] = math.inf if mode == "min" else -math.inf
                lost.add(number)
    if lost:
        _save(state, exp_dir / CHECKPOINT)
        names = ", ".join(f"{number}epoch.pth" for number in sorted(lost))
        log(f"{exp_dir}: {names} cannot be restored and will not be averaged or chosen as best")


def _nbest(exp_dir: Path, state: dict) -> list[tuple[str, str, str, list[int]]]:
    """Returns for every `best_model_criterion` (phase, key, mode, epochs that ESPnet would average, best first)."""
    from espnet_ext.config import read_config

    config_file = exp_dir / "config.yaml"
    if not config_file.is_file():
        return []
    config = read_config(config_file)
    keep = config.get("keep_nbest_models", 10)
    keep = keep if isinstance(keep, int) else max(keep, default=1)
    stats = state["reporter"]["stats"]
    chosen = []
    for phase, key, mode in config.get("best_model_criterion", []):
        if any(key not in phases.get(phase, {}) for phases in stats.values()):
            continue
        sign = 1 if mode == "min" else -1
        # the order of Reporter.sort_epochs_and_values: stable, from the first epoch
        ranked = sorted(stats, key=lambda number: sign * stats[number][phase][key])  # noqa: B023 (used at once)
        chosen.append((phase, key, mode, ranked[: max(keep, 1)]))
    return chosen


def _repair_links(exp_dir: Path, state: dict, log: Callable[[str], None]) -> None:
    """Points `latest.pth` and `<phase>.<key>.best.pth` to where ESPnet would have left them."""
    wanted = {"latest.pth": state["reporter"]["epoch"]}
    wanted |= {f"{phase}.{key}.best.pth": epochs[0] for phase, key, _, epochs in _nbest(exp_dir, state) if epochs}
    for name, epoch in wanted.items():
        link, target = exp_dir / name, f"{epoch}epoch.pth"
        if not (exp_dir / target).exists() or (link.is_symlink() and os.readlink(link) == target):
            continue
        temporary = exp_dir / f"{_TMP_PREFIX}{name}"
        temporary.symlink_to(target)
        os.replace(temporary, link)
        log(f"{link} now points to {target}")


def _remove_dangling_links(exp_dir: Path, log: Callable[[str], None]) -> None:
    for link in sorted(exp_dir.glob("*.pth")):
        if link.is_symlink() and not link.exists():
            link.unlink()
            log(f"removed {link}: it pointed to a missing file")
