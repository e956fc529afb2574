"""ONNX files of an exported model: full precision and 8 bits, with what a runtime must know inside."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from espnet_ext.errors import UserError
from espnet_ext.export.runtime import INPUTS, OUTPUTS
from espnet_ext.files import atomic

OPSET = 17


def write_onnx(model: nn.Module, example: tuple[torch.Tensor, ...], path: Path, fixed: bool = False) -> None:
    """Writes float32.

    Args:
        model: in eval mode; takes and returns a sequence, or a sequence and its lengths.
        example: inputs to trace with.
        path: the file.
        fixed: every input has the shape of the example, and no shape is computed; otherwise batch and length are free.
    """
    count = len(example)
    axes = {INPUTS[0]: {0: "batch", 1: "time"}, OUTPUTS[0]: {0: "batch", 1: "frames"}}
    axes |= {name: {0: "batch"} for name in (*INPUTS[1:count], *OUTPUTS[1:count])}
    with atomic(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the trace: lengths that Python code looks at, checked by the comparison
        # The exporter that traces: the other one takes half a minute for a model, and names nodes by number.
        torch.onnx.export(
            model, example, str(temporary), dynamo=False, opset_version=OPSET, input_names=list(INPUTS[:count]),
            output_names=list(OUTPUTS[:count]), dynamic_axes=None if fixed else axes,
        )  # fmt: skip
        if fixed:
            _fold(temporary)


def _fold(path: Path) -> None:
    """Replaces what does not depend on the input, such as shapes, by its value; ONNX Runtime computes it.

    Raises:
        UserError: a shape is left that depends on the input.
    """
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC  # keeps to operators of ONNX
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    fixed = {one.name for one in values if all(size.HasField("dim_value") for size in one.type.tensor_type.shape.dim)}
    free = [name for node in model.graph.node for name in node.output if name and name not in fixed]
    if free:
        raise UserError(f"--fixed_seconds: the shapes of {len(free)} values, e.g. {free[0]}, depend on the input")
    used = {node.domain for node in model.graph.node}
    for entry in [entry for entry in model.opset_import if entry.domain not in used]:
        model.opset_import.remove(entry)  # those of ONNX Runtime, which other runtimes need not know
    onnx.save(model, str(path))


def write_int8(source: Path, path: Path) -> None:
    """Writes 8-bit weights, a scale for each channel.

    Activations of matrix products are quantised as they come (dynamic). Convolutions compute in float32 with weights
    that a runtime widens when it loads the file: they are a small part of the work and a large part of a small file.
    """
    excluded = [node.name for node in onnx.load(str(source)).graph.node if _is_front_end(node.name)]
    with atomic(path) as temporary, _quiet_quantiser():
        # 7 bits, because products of 8-bit weights overflow on processors without VNNI.
        quantize_dynamic(
            str(source), str(temporary), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
            op_types_to_quantize=["MatMul", "Gemm"], nodes_to_exclude=excluded,
        )  # fmt: skip
        model = onnx.load(str(temporary))
        _narrow_convolutions(model)
        _shorten_names(model)
        onnx.save(model, str(temporary))


@contextmanager
def _quiet_quantiser() -> Iterator[None]:
    """Silences ONNX Runtime's quantisation: it asks for a preparation that fails on free dimensions."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _narrow_convolutions(model: ModelProto) -> None:
    """Stores the kernels of convolutions, but the front end's, as 8 bits and a scale for each output channel."""
    graph = model.graph
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv" and not _is_front_end(node.name)}
    nodes = []
    for tensor in list(graph.initializer):
        if tensor.name not in kernels or tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
        scale = (np.maximum(largest, np.finfo(np.float32).tiny) / 127).astype(np.float32)
        narrow, scale_name, wide = (f"{tensor.name}_{kind}" for kind in ("int8", "scale", "float"))
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(np.round(values / scale).astype(np.int8), narrow))
        graph.initializer.append(numpy_helper.from_array(scale, scale_name))
        nodes.append(helper.make_node("Cast", [narrow], [wide], f"/weights/{wide}", to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [wide, scale_name], [tensor.name], f"/weights/{tensor.name}"))
    nodes += graph.node  # a graph lists a value before what uses it
    del graph.node[:]
    graph.node.extend(nodes)


def _shorten_names(model: ModelProto) -> None:
    """Numbers values and nodes: their paths in the model would be a good part of a small file."""
    graph = model.graph
    short = {value.name: value.name for value in (*graph.input, *graph.output)} | {"": ""}
    for number, node in enumerate(graph.node):
        node.name = f"n{number}"
        for names in (node.input, node.output):
            names[:] = [short.setdefault(name, f"v{len(short)}") for name in names]
    for tensor in graph.initializer:
        tensor.name = short.get(tensor.name, tensor.name)
    del graph.value_info[:]


def add_metadata(path: Path, metadata: Mapping[str, object]) -> None:
    """Puts entries into a file's metadata; what is no text is written as JSON."""
    model: ModelProto = onnx.load(str(path))
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    with atomic(path) as temporary:
        onnx.save(model, str(temporary))


def _is_front_end(node: str) -> bool:
    """Tells whether a node of this name computes features."""
    return "/frontend/" in node
