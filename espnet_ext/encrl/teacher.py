"""The frozen teacher: a value that students are compared with, never a module that trains."""

import logging
from argparse import Namespace
from collections.abc import Iterable, Mapping
from contextlib import chdir
from pathlib import Path

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks.asr import ASRTask
from torch import Tensor

from espnet_ext.checkpoints.load import why_not_loaded
from espnet_ext.config import read_config, recipe_directory
from espnet_ext.encrl.cache import data_name
from espnet_ext.encrl.criteria import Criterion
from espnet_ext.encrl.outputs import Outputs, compute_outputs
from espnet_ext.errors import UserError
from espnet_ext.model_files import find_model_files, read_state_dict


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

    def __call__(self, speech: Tensor, lengths: Tensor, criteria: Iterable[Criterion]) -> Outputs:
        """Computes the outputs that `criteria` compare; arguments as `espnet_ext.encrl.outputs.compute_outputs`."""
        if next(self.model.parameters()).device != speech.device:
            self.model.to(speech.device)
        with torch.inference_mode():
            outputs = compute_outputs(self.model, speech, lengths, criteria)
        return outputs.clone()  # autograd refuses to keep tensors of inference mode for the losses

    @torch.no_grad()
    def from_cache(
        self, encoder: Tensor, lengths: Tensor, layers: Mapping[str, Tensor], criteria: Iterable[Criterion]
    ) -> Outputs:
        """Completes outputs that were computed before; the encoder does not run.

        Args:
            encoder: (B, T, D) float, encoder output.
            lengths: (B,) int.
            layers: (B, T, D) float of the layers that criteria compare, by `espnet_ext.encrl.cache.data_name`.
            criteria: say whether the CTC head is needed.
        """
        head = self.model.ctc.ctc_lo if any(c.needs_head and c.needs_teacher for c in criteria) else None
        if head is not None and next(head.parameters()).device != encoder.device:
            head.to(encoder.device)
        tapped = {c.depth: layers[data_name(c)] for c in criteria if c.depth is not None}
        return Outputs(lengths, encoder, None if head is None else head(encoder), tapped)


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
