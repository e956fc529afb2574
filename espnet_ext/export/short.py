"""Audio that is too short for a model, handled by the file itself: runtimes fail in its convolutions otherwise.

Some of them end the process, so the caller cannot be left to check. What is too short is padded with zeros to the
shortest input that gives a frame, and then has no text: no frame counts, or the frame says blank. All other input
passes through unchanged.
"""

import bisect
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from espnet_ext.export.onnx_file import add_nodes
from espnet_ext.export.runtime import INPUTS, OUTPUTS
from espnet_ext.files import atomic

_PREFIX = "/frontend/short"  # of the front end, which no quantiser may touch
_NEVER = -1e4  # log-probability


def shortest_input(path: Path, most: int) -> int:
    """Returns the fewest samples, or frames of features, of which a file makes a frame.

    Args:
        path: of `write_onnx`.
        most: how many are enough for sure.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape[2:]

    def works(size: int) -> bool:
        feed = {INPUTS[0]: np.zeros((1, size, *shape), np.float32), INPUTS[1]: np.array([size])}
        try:
            return bool(session.run(None, feed)[1][0] > 0)
        except Exception:  # ONNX Runtime has a class of its own for each reason
            return False

    return bisect.bisect_left(range(most), True, key=works)


def accept_short(path: Path, shortest: int, blank_id: int) -> None:
    """Changes a file so that it takes input of any length.

    With lengths, what is too short has the length 0 in the output, in a batch too. Without, its one frame says blank.

    Args:
        path: of `write_onnx`.
        shortest: of `shortest_input`, at least 1.
        blank_id: of the blank.
    """
    model = onnx.load(str(path))
    graph = model.graph
    rank = len(graph.input[0].type.tensor_type.shape.dim)
    with_lengths = len(graph.input) > 1
    raw = OUTPUTS[1] if with_lengths else OUTPUTS[0]
    for node in graph.node:
        for names, old in ((node.input, INPUTS[0]), (node.input, INPUTS[1]), (node.output, raw)):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = f"{_PREFIX}/{old}"
    vocabulary = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    blank = np.where(np.arange(vocabulary) == blank_id, 0, _NEVER).astype(np.float32)
    constants = {
        "time": np.array([1]),
        "shortest": np.array([shortest]),
        "zero": np.array([0]),
        "before": np.zeros(rank + 1, np.int64),  # pads of the beginning, and of the batch's end
        "after": np.zeros(rank - 2, np.int64),
        "blank": blank,
    }
    before = [
        ("Shape", (INPUTS[0],), "shape"),
        ("Gather", ("shape", "time"), "size"),
        ("Sub", ("shortest", "size"), "difference"),
        ("Max", ("difference", "zero"), "missing"),
        ("Concat", ("before", "missing", "after"), "pads"),
        ("Pad", (INPUTS[0], "pads"), f"{_PREFIX}/{INPUTS[0]}"),
    ]
    if with_lengths:
        before.append(("Max", (INPUTS[1], "shortest"), f"{_PREFIX}/{INPUTS[1]}"))
        after = [("Less", (INPUTS[1], "shortest"), "short"), ("Where", ("short", "zero", f"{_PREFIX}/{raw}"), raw)]
    else:
        after = [("Less", ("size", "shortest"), "short"), ("Where", ("short", "blank", f"{_PREFIX}/{raw}"), raw)]
    outer = {*INPUTS, *OUTPUTS}

    def full(name: str) -> str:
        return name if name in outer or name.startswith(_PREFIX) else f"{_PREFIX}/{name}"

    def nodes(operations: list[tuple[str, tuple[str, ...], str]]) -> list[onnx.NodeProto]:
        return [
            helper.make_node(
                kind, [full(name) for name in names], [full(output)], f"{_PREFIX}/{kind}_{output.rpartition('/')[2]}",
                **({"axis": 0} if kind in ("Concat", "Gather") else {}),
            )
            for kind, names, output in operations
        ]  # fmt: skip

    used = {name for _, names, _ in (*before, *after) for name in names}
    graph.initializer.extend(numpy_helper.from_array(v, full(name)) for name, v in constants.items() if name in used)
    add_nodes(graph, nodes(before), nodes(after))
    onnx.checker.check_model(model)
    with atomic(path) as temporary:
        onnx.save(model, str(temporary))
