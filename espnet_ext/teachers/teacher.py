"""The frozen teacher: a value that students are compared with, never a module that trains."""

import logging
import os
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.asr import ASRTask
from torch import Tensor

from espnet_ext.checkpoints.find import find_model_files, read_state_dict
from espnet_ext.checkpoints.load import why_not_loaded
from espnet_ext.config import read_config, recipe_directory
from espnet_ext.encoder.outputs import Outputs, compute_outputs
from espnet_ext.encrl.criteria import Criterion
from espnet_ext.errors import UserError
from espnet_ext.losses.masking import valid_frames
from espnet_ext.teachers.cache import data_name


class Teacher:
    """Runs the large model without gradient, or takes what it said before from a cache.

    It is no `torch.nn.Module`: the trainer's `model.train()`, `state_dict()` and optimizer cannot reach it.

    Args:
        model: the large model.
        args: its training configuration.
        name: what error messages call it, e.g. the experiment directory.
        train_mode: leave dropout on and batch normalisation on batch statistics, as the released code of
            arXiv 2505.16991 does by never calling `eval()`. Only to measure what that costs.
        compiled: run the encoder through `torch.compile`, once for all lengths; after PyTorch's limit of recompilations
            it runs as it is.
    """

    def __init__(
        self, model: ESPnetASRModel, args: Namespace, name: str, train_mode: bool = False, compiled: bool = False
    ):
        # Without gradient a CPU computes the convolutions of the subsampling faster in this layout.
        self.model = model.requires_grad_(False).train(train_mode).to(memory_format=torch.channels_last)
        if train_mode:
            self.model.specaug = None  # the released code shows the teacher unmasked features
        for module in self.model.modules():
            if hasattr(module, "use_sdpa"):  # of ESPnet's attention: PyTorch's fused kernels
                module.use_sdpa = True
        if compiled:
            self.model.encoder.compile(dynamic=True)
        self.args = args
        self.name = name

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str]) -> "Teacher":
        """Loads a teacher: an experiment directory, checkpoint, packed zip, or name on a hub; as `load_teacher`."""
        return load_teacher(str(source))

    def __call__(
        self, speech: Tensor, lengths: Tensor, criteria: Iterable[Criterion], utt_ids: Sequence[str] | None = None
    ) -> Outputs:
        """Computes the outputs that `criteria` compare.

        Args:
            speech: (B, samples) float, or (B, T, F) features; as `espnet_ext.encoder.outputs.compute_outputs`.
            lengths: (B,) int, of `speech`.
            criteria: say which outputs are needed.
            utt_ids: names of the utterances for errors.

        Raises:
            UserError: an output is not finite although `speech` is.
        """
        if next(self.model.parameters()).device != speech.device:
            self.model.to(speech.device)
        outputs = self._run(speech, lengths, criteria)
        if not not_finite(outputs) or not torch.isfinite(speech).all():  # the latter is no fault of the teacher
            return outputs
        if torch.is_autocast_enabled(speech.device.type):
            logging.warning(f"Teacher {self.name} overflows in half precision; this batch is computed in 32 bits")
            with torch.autocast(speech.device.type, enabled=False):
                outputs = self._run(speech, lengths, criteria)
        check_finite(self.name, outputs, utt_ids)
        return outputs

    def _run(self, speech: Tensor, lengths: Tensor, criteria: Iterable[Criterion]) -> Outputs:
        with torch.inference_mode():
            outputs = compute_outputs(self.model, speech, lengths, criteria)
        return outputs.clone()  # autograd refuses to keep tensors of inference mode for the losses

    @torch.no_grad()
    def from_cache(
        self,
        encoder: Tensor,
        lengths: Tensor,
        layers: Mapping[str, Tensor],
        criteria: Iterable[Criterion],
        utt_ids: Sequence[str] | None = None,
    ) -> Outputs:
        """Completes outputs that were computed before; the encoder does not run.

        Args:
            encoder: (B, T, D) float, encoder output.
            lengths: (B,) int.
            layers: (B, T, D) float of the layers that criteria compare, by `espnet_ext.teachers.cache.data_name`.
            criteria: say whether the CTC head is needed.
            utt_ids: names of the utterances for errors.

        Raises:
            UserError: an output is not finite.
        """
        head = self.model.ctc.ctc_lo if any(c.needs_head and c.needs_teacher for c in criteria) else None
        if head is not None and next(head.parameters()).device != encoder.device:
            head.to(encoder.device)
        tapped = {c.depth: layers[data_name(c)] for c in criteria if c.depth is not None}
        outputs = Outputs(lengths, encoder, None if head is None else head(encoder), tapped)
        check_finite(self.name, outputs, utt_ids)
        return outputs


def not_finite(outputs: Outputs) -> list[int]:
    """Returns the rows of a batch with a valid frame that is infinite or NaN; padding may hold anything."""
    values = [outputs.encoder, *outputs.layers.values(), *([] if outputs.logits is None else [outputs.logits])]
    if torch.stack([torch.isfinite(value).all() for value in values]).all():  # one synchronisation with a GPU
        return []
    mask = valid_frames(outputs.lengths, outputs.encoder.size(1))
    bad = sum((~torch.isfinite(value).all(dim=-1) & mask).any(dim=1) for value in values)
    return torch.nonzero(bad).flatten().tolist()


def check_finite(teacher: str, outputs: Outputs, utt_ids: Sequence[str] | None) -> None:
    """Checks that students can learn what a teacher says.

    Args:
        teacher: its name in the message.
        outputs: of a batch.
        utt_ids: names of its utterances.

    Raises:
        UserError: a valid frame is infinite or NaN.
    """
    rows = not_finite(outputs)
    if rows:
        raise broken_teacher(teacher, [utt_ids[row] for row in rows] if utt_ids else [])


def broken_teacher(teacher: str, utt_ids: Sequence[str]) -> UserError:
    """Returns the error of a teacher whose output is not finite for some utterances."""
    where = f"{len(utt_ids)} utterances, e.g. {utt_ids[0]}" if utt_ids else "utterances of a batch"
    return UserError(
        f"teacher {teacher}: its output is not finite (NaN or infinite) for {where}, so no student can learn from it: "
        "its weights are damaged or its training diverged; give another checkpoint, or train the teacher anew"
    )


def load_teacher(source: str, train_mode: bool = False, compiled: bool = False) -> Teacher:
    """Loads a teacher through ESPnet's own loader.

    Args:
        source: experiment directory, checkpoint file, packed zip, or model-zoo tag.
        train_mode: see `Teacher`.
        compiled: see `Teacher`.

    Raises:
        UserError: nothing usable there, a corrupt checkpoint, or one that does not fill the model of its configuration.
    """
    config, checkpoint = find_model_files(source)
    config, checkpoint = config.absolute(), checkpoint.absolute()
    logging.info(f"Teacher: {checkpoint} ({config})")
    try:
        # Relative paths in the configuration start from the teacher's recipe, which need not be this one.
        with chdir(recipe_directory(config, read_config(config))):
            model, args = ASRTask.build_model_from_file(config, checkpoint)
    except FileNotFoundError as error:
        raise UserError(
            f"teacher {source}: {config} needs the file {error.filename}, which is not there; run from the recipe "
            "directory of the teacher, or pack it (stage 14) and give the zip"
        ) from error
    except Exception as error:
        raise UserError(f"teacher {source}: cannot be loaded from {checkpoint}: {why_not_loaded(error)}") from error
    if not isinstance(model, ESPnetASRModel):
        raise UserError(f"teacher {source}: {type(model).__name__} is no ESPnet ASR model")
    _check_filled(model, checkpoint, source)
    return Teacher(model, args, source, train_mode, compiled)


def _check_filled(model: ESPnetASRModel, checkpoint: Path, source: str) -> None:
    """ESPnet loads with `strict=False`: a tensor that the file lacks would silently stay random."""
    # ESPnet <= 202511 spells `embed.out` as a Sequential; the loader maps it.
    stored = {key.replace("embed.out.0.", "embed.out.") for key in read_state_dict(checkpoint)}
    missing = [key for key in model.state_dict() if key not in stored and not key.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"teacher {source}: {checkpoint} lacks {len(missing)} of the model's tensors, e.g. {missing[0]}; "
            "the checkpoint and config.yaml are of different models"
        )
