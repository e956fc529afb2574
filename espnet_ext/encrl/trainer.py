"""ESPnet's trainer, with each student's gradient clipped and checked by itself."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from espnet2.train.trainer import Trainer
from torch import nn

from espnet_ext.errors import UserError
from espnet_ext.losses.gather import union

# A student that takes part in no update for so long will not recover by itself.
_MAX_SKIPPED = 50


class EncRLTrainer(Trainer):
    """`grad_clip` holds for each student, and a gradient that is not finite stops the update of its student only.

    So a student that is trained beside others ends as it would alone.
    """

    @classmethod
    def train_one_epoch(cls, model, iterator, optimizers, schedulers, scaler, reporter, summary_writer, options, **kw):
        """Trains one epoch; arguments as in ESPnet."""
        inner = getattr(model, "module", model)  # DistributedDataParallel wraps the model
        inner.begin_epoch()
        clipped = StudentGradients(
            model,
            inner.student_parts(),
            inner.skipped_updates,
            inner.broken_losses,
            options.grad_clip,
            options.grad_clip_type,
            reporter,
        )
        options = replace(options, grad_clip=math.inf)
        scaler = None if scaler is None else StudentScaler(scaler, clipped)
        return super().train_one_epoch(
            clipped, iterator, optimizers, schedulers, scaler, reporter, summary_writer, options, **kw
        )


class StudentGradients(nn.Module):
    """Stands before the model in the trainer, which asks for `parameters()` once an update: to clip their gradients.

    At that point they are whole: unscaled, accumulated and averaged over processes.

    Args:
        module: the model, maybe wrapped.
        parts: modules that are trained for each student.
        skipped: updates in a row that each student has taken no part in; is changed.
        broken_losses: students whose loss was not finite since the last update; is emptied.
        max_norm: norm to which each student's gradient is clipped.
        norm_type: which norm.
        reporter: ESPnet's; gets `<student>_grad_norm`.

    Attributes:
        overflowed: whether, at the last update, a student's gradient was not finite although its loss was.
        finite: whether, at the last update, all gradients were finite.
    """

    def __init__(
        self,
        module: nn.Module,
        parts: Mapping[str, Sequence[nn.Module]],
        skipped: dict[str, int],
        broken_losses: set[str],
        max_norm: float,
        norm_type: float,
        reporter,
    ):
        super().__init__()
        self.module = module
        self._parts, self._skipped, self._broken_losses = parts, skipped, broken_losses
        self._groups = {name: [p for part in modules for p in part.parameters()] for name, modules in parts.items()}
        self._max_norm, self._norm_type = max_norm, norm_type
        self._reporter = reporter
        self.overflowed, self.finite = False, True

    def forward(self, **batch):
        """Runs the model."""
        return self.module(**batch)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Returns the parameters, after clipping the gradients of each student.

        Raises:
            UserError: a student's gradient has not been finite for many updates.
        """
        norms = {
            name: torch.nn.utils.clip_grad_norm_(group, self._max_norm, self._norm_type)
            for name, group in self._groups.items()
        }
        stacked = torch.stack(list(norms.values()))
        finite = torch.isfinite(stacked).tolist()
        self.finite = all(finite)
        # Gradients are averaged over processes, so all of them come here together or none does.
        broken = set() if self.finite else union(self._broken_losses, list(self._groups), stacked.device)
        self._broken_losses.clear()
        self.overflowed = any(not ok and name not in broken for name, ok in zip(self._groups, finite, strict=True))
        for (name, group), ok in zip(self._groups.items(), finite, strict=True):
            self._skipped[name] = 0 if ok else self._skipped[name] + 1
            if ok:
                continue
            logging.warning(f"Student {name}: the gradient is not finite; it takes no part in this update")
            if self._skipped[name] >= _MAX_SKIPPED:
                raise UserError(
                    f"student {name}: no finite gradient in {_MAX_SKIPPED} updates; lower the learning rate "
                    "(optim_conf lr), look at its criteria, or leave it out of --students"
                )
            for parameter in group:
                parameter.grad = None  # the optimizer passes it over, momentum included
            for part in self._parts[name]:
                _restart_broken_statistics(part)
        self._reporter.register({f"{name}_grad_norm": norm for name, norm in norms.items()})
        return self.module.parameters(recurse)


class StudentScaler:
    """ESPnet's loss scaler (`use_amp`), which would leave out an update of all students for the gradient of one.

    `StudentGradients` has taken away the gradients that are not finite before the step, so that is safe. The scale is
    shared by all students: it is lowered only for a gradient that the scale can have made infinite, and not below 1, so
    that a bad student does not take it from the others until theirs vanish.

    Args:
        scaler: ESPnet's.
        gradients: tells what became of the gradients of an update.
    """

    def __init__(self, scaler: torch.amp.GradScaler, gradients: StudentGradients):
        self._scaler, self._gradients = scaler, gradients

    @property
    def __class__(self) -> type:
        """ESPnet's trainer checks that its argument is one of PyTorch's scalers."""
        return type(self._scaler)

    def __getattr__(self, name: str) -> object:
        """Returns what the scaler has."""
        return getattr(self._scaler, name)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Updates the students that have gradients; these are unscaled already."""
        optimizer.step()

    def update(self) -> None:
        """Lowers or raises the scale after an update."""
        scale = self._scaler.get_scale() if not self._gradients.finite else math.inf
        if self._gradients.finite or (self._gradients.overflowed and scale > 1):
            self._scaler.update()
        else:
            self._scaler.update(scale)


def _restart_broken_statistics(module: nn.Module) -> None:
    """Begins running statistics of batch normalisation anew that a forward pass has made infinite or NaN for good."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            if not (torch.isfinite(part.running_mean).all() and torch.isfinite(part.running_var).all()):
                part.reset_running_stats()
