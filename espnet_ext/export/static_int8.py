"""8-bit weights and activations with ranges fixed beforehand on real audio (static), sensitive nodes left out.

For processors and accelerators that compute convolutions and whole chains of operators in 8 bits. The dynamic file
(`espnet_ext.export.onnx_file.write_int8`) needs no audio and is nearer to the model.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    qdq_loss_debug,
    quantize_static,
)
from torch import Tensor

from espnet_ext.decode.greedy import best_paths
from espnet_ext.export.onnx_file import is_front_end, quiet_quantiser, shorten_names
from espnet_ext.export.runtime import INPUTS, OnnxCTC
from espnet_ext.files import atomic

_KINDS = ("MatMul", "Gemm", "Conv")
# Shares of the activations that are left in float32, until enough utterances say the same as before.
_SHARES = (0.0, 0.05, 0.1, 0.2, 0.4)


class _Audio(CalibrationDataReader):
    """Feeds utterances one by one."""

    def __init__(self, signals: Sequence[Tensor]):
        self._inputs = ({INPUTS[0]: s[None].numpy(), INPUTS[1]: np.array([len(s)])} for s in signals)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Returns the next inputs, None after the last."""
        return next(self._inputs, None)


def write_static_int8(
    source: Path, path: Path, signals: Sequence[Tensor], agreement: float = 0.95
) -> tuple[list[str], float]:
    """Writes 8-bit weights and activations.

    The activations that the quantisation damages most, by the signal-to-noise ratio that ONNX Runtime measures on the
    given audio, keep their nodes in float32: as many as it takes, at most two fifths.

    Args:
        source: the float32 file, waveform in.
        path: the file to write.
        signals: (samples,) float each, of a development set; the ranges are those of them.
        agreement: share of them with the tokens of the float32 file that is enough.

    Returns:
        Names of the nodes of `source` that were left out for their damage, and the share of the signals with the same
        tokens.
    """
    model = onnx.load(str(source))
    front_end = [node.name for node in model.graph.node if is_front_end(node.name)]
    expected = _tokens(source, signals)
    sensitive: list[str] = []
    with tempfile.TemporaryDirectory() as directory, quiet_quantiser():
        whole, candidate = Path(directory) / "whole.onnx", Path(directory) / "candidate.onnx"
        _quantise(source, whole, signals, front_end)
        damage = _signal_to_noise(source, whole, signals, Path(directory))
        for share in _SHARES:
            sensitive = _nodes_at(model, sorted(damage, key=damage.get)[: round(share * len(damage))])
            _quantise(source, candidate, signals, [*front_end, *sensitive])
            same = [one == other for one, other in zip(_tokens(candidate, signals), expected, strict=True)]
            share_same = sum(same) / len(same)
            if share_same >= agreement:
                break
        result = onnx.load(str(candidate))
    shorten_names(result)
    with atomic(path) as temporary:
        onnx.save(result, str(temporary))
    return sensitive, share_same


def _quantise(source: Path, path: Path, signals: Sequence[Tensor], excluded: Sequence[str]) -> None:
    quantize_static(
        str(source), str(path), _Audio(signals), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=list(_KINDS),
        nodes_to_exclude=list(excluded), calibrate_method=CalibrationMethod.MinMax,
    )  # fmt: skip


def _signal_to_noise(source: Path, quantised: Path, signals: Sequence[Tensor], directory: Path) -> Mapping[str, float]:
    """Returns decibels of each quantised activation, by its name in the float32 file."""
    activations = []
    for name, file in (("float", source), ("int8", quantised)):
        augmented = directory / f"{name}_activations.onnx"
        qdq_loss_debug.modify_model_output_intermediate_tensors(str(file), str(augmented))
        activations.append(qdq_loss_debug.collect_activations(str(augmented), _Audio(signals)))
    matching = qdq_loss_debug.create_activation_matching(activations[1], activations[0])
    return {name: found["qdq_err"] for name, found in qdq_loss_debug.compute_activation_error(matching).items()}


def _nodes_at(model: ModelProto, values: Sequence[str]) -> list[str]:
    """Returns the nodes of the quantised kinds that make or take one of some values."""
    wanted = set(values)
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _KINDS and wanted & {*node.input, *node.output} and not is_front_end(node.name)
    ]


def _tokens(path: Path, signals: Sequence[Tensor]) -> list[list[int]]:
    runtime = OnnxCTC(path)
    outputs = (runtime(signal[None], torch.tensor([len(signal)])) for signal in signals)
    return [best_paths(*output)[0].token_ids for output in outputs]
