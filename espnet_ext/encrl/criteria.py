"""The `criteria` of a configuration: which outputs are compared, by which loss, with which weight."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from espnet_ext.encoder.layers import layer_depth
from espnet_ext.errors import UserError, did_you_mean
from espnet_ext.losses import LOSSES

_KEYS = ("loss", "on", "weight", "conf", "project")
# Where a configuration has none.
DEFAULT = ({"loss": "clip", "on": "encoder"}, {"loss": "kld", "on": "log_probs"})
_OUTPUTS = ("encoder", "logits", "log_probs", "text")


@dataclass(frozen=True)
class Criterion:
    """One weighted loss between an output of the teacher and the same output of a student.

    Attributes:
        loss: a name of `espnet_ext.losses.LOSSES`.
        on: "encoder" (last encoder output), "logits" or "log_probs" (CTC head), or "layer:A/B": the output of the
            encoder layer at that fraction of the depth, e.g. "layer:1/2" compares layer 6 of 12 with layer 2 of 4.
            "text": the student's CTC head is trained on the transcript, whatever the teacher says (losses that need
            a transcript; they need not say it).
        weight: factor of the loss in the total.
        conf: keyword arguments of the loss.
        project: learn a linear map from the student's width to the teacher's, even where the widths agree. Where they
            differ there is always one.
    """

    loss: str
    on: str
    weight: float = 1.0
    conf: dict[str, Any] = field(default_factory=dict)
    project: bool = False

    @property
    def name(self) -> str:
        """Name in statistics, e.g. "clip" or "mse_layer_1_2"; the usual outputs need no mention."""
        default = "text" if self.needs_text else {"clip": "encoder", "cosine": "encoder"}.get(self.loss, "log_probs")
        suffix = "" if self.on == default else "_" + self.on.replace(":", "_").replace("/", "_")
        return self.loss + suffix

    @property
    def needs_head(self) -> bool:
        """Whether it trains the student's CTC head."""
        return self.on in ("logits", "log_probs", "text")

    @property
    def needs_teacher(self) -> bool:
        """Whether it compares with the teacher at all."""
        return "teacher" in LOSSES[self.loss].needs

    @property
    def needs_text(self) -> bool:
        """Whether it compares with transcripts."""
        return "text" in LOSSES[self.loss].needs

    @property
    def needs_views(self) -> bool:
        """Whether it compares two draws of SpecAugment."""
        return "other" in LOSSES[self.loss].needs

    @property
    def sees_padding(self) -> bool:
        """Whether the teacher's output for padding frames counts."""
        return self.needs_teacher and not self.conf.get("masked", True)

    @property
    def depth(self) -> Fraction | None:
        """Fraction of the encoder depth of a "layer:A/B" criterion."""
        return layer_depth(self.on)

    @property
    def output(self) -> str:
        """Name of the output that is compared, see `espnet_ext.encoder.outputs`."""
        return "logits" if self.on == "text" else self.on


def parse_criteria(entries: Sequence[Mapping[str, Any]]) -> list[Criterion]:
    """Reads the list under `criteria:`.

    Raises:
        UserError: names the entry, what is wrong with it and the valid values.
    """
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise UserError("criteria must be a list of {loss, on, weight, conf}, e.g. [{loss: mse, on: log_probs}]")
    criteria = [_parse(entry, f"criteria[{i}]") for i, entry in enumerate(entries)]
    names = [criterion.name for criterion in criteria]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"criteria: '{', '.join(sorted(twice))}' is given twice; use one entry with the summed weight")
    return criteria


def teacher_outputs(criteria: Iterable[Criterion]) -> list[str]:
    """Returns the names of the teacher's outputs that criteria compare with, sorted."""
    return sorted({criterion.output for criterion in criteria if criterion.needs_teacher})


def check_cacheable(criteria: Iterable[Criterion]) -> None:
    """Checks that a cached teacher gives the targets that a live one gives.

    Raises:
        UserError: a criterion counts padding frames, for which a cache holds nothing and a live teacher says something.
    """
    for criterion in criteria:
        if criterion.sees_padding:
            raise UserError(
                f"criterion '{criterion.name}' has masked: false, so padding frames count, and a teacher cache holds "
                "none: leave masked: false out of its conf, or train without the cache (--teacher_cache false)"
            )


def _parse(entry: Mapping[str, Any], where: str) -> Criterion:
    if not isinstance(entry, Mapping):
        raise UserError(f"{where} must be a mapping {{loss, on, weight, conf}}, not {entry!r}")
    # YAML 1.1 reads the bare key `on` as the boolean true.
    entry = {"on" if key is True else str(key): value for key, value in entry.items()}
    for key in entry:
        if key not in _KEYS:
            raise UserError(f"{where}: unknown key '{key}'; {did_you_mean(key, _KEYS)}")
    if "loss" not in entry:
        raise UserError(f"{where}: 'loss' is missing")
    if (loss := str(entry["loss"])) not in LOSSES:
        raise UserError(f"{where}: unknown loss '{loss}'; {did_you_mean(loss, LOSSES)}")
    if "on" not in entry and "text" not in LOSSES[loss].needs:
        raise UserError(f"{where}: 'on' is missing")
    criterion = Criterion(**{**entry, "on": str(entry.get("on", "text")), "conf": dict(entry.get("conf") or {})})
    _check_output(criterion, where)
    if isinstance(criterion.weight, bool) or not isinstance(criterion.weight, int | float) or criterion.weight <= 0:
        raise UserError(f"{where}: weight must be a number > 0, not {criterion.weight!r}")
    if criterion.project and criterion.needs_head:
        raise UserError(f"{where}: project maps hidden outputs, not {criterion.on}; leave it out")
    options = [name for name in inspect.signature(LOSSES[criterion.loss].__init__).parameters if name != "self"]
    for key in criterion.conf:
        if key not in options:
            raise UserError(f"{where}: loss '{criterion.loss}' has no option '{key}'; {did_you_mean(key, options)}")
    try:
        LOSSES[criterion.loss](**criterion.conf)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error
    return criterion


def _check_output(criterion: Criterion, where: str) -> None:
    if criterion.on.startswith("layer:"):
        try:
            valid = 0 < criterion.depth <= 1
        except (ValueError, ZeroDivisionError):
            valid = False
        if not valid:
            raise UserError(f"{where}: '{criterion.on}' must be layer:A/B with 0 < A/B <= 1, e.g. layer:1/2")
    elif criterion.on not in _OUTPUTS:
        raise UserError(
            f"{where}: unknown output '{criterion.on}'; {did_you_mean(criterion.on, _OUTPUTS)} or layer:A/B"
        )
    if criterion.needs_text != (criterion.on == "text"):
        losses = " or ".join(name for name, loss in LOSSES.items() if "text" in loss.needs)
        raise UserError(
            f"{where}: 'on: text' and the loss {losses} belong together; '{criterion.loss}' is on '{criterion.on}'"
        )
    if criterion.loss == "kld" and not criterion.needs_head:
        raise UserError(f"{where}: kld compares CTC posteriors; use 'on: log_probs', not '{criterion.on}'")
