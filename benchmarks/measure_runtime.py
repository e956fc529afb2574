"""Measures one model in one runtime, in a process that imports nothing else: speed, latency and memory.

Run by `runtimes.py`; prints JSON. Nothing is imported at the top that a runtime does not need, because what
is imported counts in the memory.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def espnet(path: str) -> Callable[[np.ndarray], object]:
    """ESPnet's model by PyTorch: an experiment directory."""
    import torch

    torch.set_num_threads(1)
    from espnet_ext.decode.recognizer import open_recognizer

    recognizer = open_recognizer(path)
    return lambda speech: recognizer(speech).argmax(-1)


def onnx(path: str) -> Callable[[np.ndarray], object]:
    """A waveform model of `encrl export` in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda speech: session.run(None, {"x": speech[None], "x_lengths": np.array([len(speech)])})[0].argmax(-1)


def sherpa(path: str) -> Callable[[np.ndarray], object]:
    """A model of the folder for sherpa-onnx, in sherpa-onnx."""
    import sherpa_onnx

    recognizer = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
        model=path, tokens=str(Path(path).with_name("tokens.txt")), num_threads=1
    )

    def run(speech: np.ndarray) -> object:
        stream = recognizer.create_stream()
        stream.accept_waveform(16000, speech)  # the only rate that is exported
        recognizer.decode_stream(stream)
        return stream.result.text

    return run


RUNTIMES = {"espnet": espnet, "onnx": onnx, "sherpa": sherpa}


def peak_memory() -> int:
    """Returns the most bytes this process has held (Linux; 0 elsewhere).

    Not `ru_maxrss`, which a child inherits from its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("path")
    parser.add_argument("--seconds", nargs="+", type=float, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--sample_rate", type=int, required=True, help="Of the model's audio, Hz")
    args = parser.parse_args()
    run = RUNTIMES[args.runtime](args.path)
    rng = np.random.default_rng(0)
    latency = {}
    for seconds in args.seconds:
        speech = (0.05 * rng.standard_normal(int(seconds * args.sample_rate))).astype(np.float32)
        run(speech)  # warm-up
        latency[seconds] = []
        for _ in range(args.runs):
            start = time.perf_counter()
            run(speech)
            latency[seconds].append(time.perf_counter() - start)
    result = {"latency_sec": latency, "peak_memory": peak_memory()}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
