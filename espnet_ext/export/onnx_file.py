"""ONNX files of an exported model: full precision, half precision and 8 bits, with what a runtime must know inside."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from espnet_ext.export.ctc import ExportedCTC
from espnet_ext.files import atomic

OPSET = 17
INPUTS, OUTPUTS = ("x", "x_lengths"), ("log_probs", "log_probs_lengths")


def write_onnx(model: ExportedCTC, example: tuple[torch.Tensor, torch.Tensor], path: Path) -> None:
    """Writes float32.

    Args:
        model: in eval mode.
        example: inputs to trace with; batch and length stay free.
        path: the file.
    """
    axes = {name: {0: "batch", 1: "time"} for name in (INPUTS[0], OUTPUTS[0])}
    axes |= {name: {0: "batch"} for name in (INPUTS[1], OUTPUTS[1])}
    axes[OUTPUTS[0]] = {0: "batch", 1: "frames"}
    with atomic(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the trace: lengths that Python code looks at, checked by the comparison
        # The exporter that traces: the other one takes half a minute for a model, and names nodes by number.
        torch.onnx.export(
            model, example, str(temporary), dynamo=False, opset_version=OPSET, input_names=list(INPUTS),
            output_names=list(OUTPUTS), dynamic_axes=axes,
        )  # fmt: skip


def write_half(source: Path, path: Path) -> None:
    """Writes float16 weights, which a runtime turns into float32 when it loads the file: half the size, same speed.

    The front end's constants stay float32; its logarithm would show the rounding.
    """
    model = onnx.load(str(source))
    graph, casts = model.graph, []
    of_front_end = {name for node in graph.node if _is_front_end(node.name) for name in node.input}
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name in of_front_end:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16)
        name, half = tensor.name, f"{tensor.name}_float16"
        tensor.CopyFrom(numpy_helper.from_array(values, half))
        casts.append(helper.make_node("Cast", [half], [name], f"/weights/{name}", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    with atomic(path) as temporary:
        onnx.save(model, str(temporary))


def write_int8(source: Path, path: Path) -> None:
    """Writes 8-bit weights, a scale for each channel; activations are quantised as they come (dynamic)."""
    model = onnx.load(str(source))
    excluded = [node.name for node in model.graph.node if _is_front_end(node.name)]
    logger = logging.getLogger()
    level, logger.level = logger.level, logging.ERROR  # it asks for a preparation that fails on free dimensions
    try:
        with atomic(path) as temporary:
            # 7 bits, because products of 8-bit weights overflow on processors without VNNI.
            quantize_dynamic(
                str(source), str(temporary), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
                op_types_to_quantize=["MatMul", "Gemm"], nodes_to_exclude=excluded,
            )  # fmt: skip
    finally:
        logger.level = level


def add_metadata(path: Path, metadata: Mapping[str, object]) -> None:
    """Puts entries into a file's metadata; what is no text is written as JSON."""
    model: ModelProto = onnx.load(str(path))
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    with atomic(path) as temporary:
        onnx.save(model, str(temporary))


def _is_front_end(node: str) -> bool:
    return node.startswith("/frontend/")
