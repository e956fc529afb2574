"""Size of a model by its `config.yaml`: parameters, layers and multiply-accumulates; no checkpoint is read."""

import argparse
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_ext.config import read_config
from espnet_ext.errors import UserError
from espnet_ext.quiet import quiet_espnet

SPEECH_SEC = 10


@dataclass(frozen=True)
class Size:
    """None where not known. `parameters` counts the trainable ones; `macs_per_sec` is per second of speech.

    `head_parameters` are those of them that are the CTC layer's; `bytes` is the size of all weights in float32, also
    of the frozen ones.
    """

    parameters: int | None = None
    layers: int | None = None
    macs_per_sec: float | None = None
    head_parameters: int | None = None
    bytes: int | None = None


def model_size(exp_dir: Path, notes: list[str]) -> Size:
    """Builds the model that `config.yaml` describes and measures it; why something is unknown is added to `notes`."""
    path = exp_dir / "config.yaml"
    if not path.is_file():
        notes.append("no config.yaml, so the size is unknown")
        return Size()
    with quiet_espnet():
        from espnet2.tasks.asr import ASRTask

        from espnet_ext.encoder.layers import encoder_layers

    # Statistics and initial values do not change the size, and their files may be elsewhere.
    config = read_config(path) | {"normalize": None, "normalize_conf": {}, "init": None}
    try:
        with quiet_espnet():
            model = ASRTask.build_model(argparse.Namespace(**config))
    # A model may need a plugin or a download that is not here; the rest of the report does not depend on it.
    except Exception as error:
        notes.append(f"the model of config.yaml cannot be built here ({type(error).__name__}: {error})")
        return Size()
    encoder_conf = config.get("encoder_conf") or {}
    layers = encoder_conf.get("num_blocks", encoder_conf.get("num_layers"))
    if layers is None:
        with contextlib.suppress(UserError):  # an encoder without a list of layers
            layers = len(encoder_layers(model.encoder))
    parameters, head = (
        sum(p.numel() for p in part.parameters() if p.requires_grad) if part else 0 for part in (model, model.ctc)
    )
    size = 4 * sum(p.numel() for p in model.parameters())
    if config.get("input_size") is not None:
        notes.append("the model reads features instead of a waveform, so its MACs are not counted")
        return Size(parameters, layers, None, head, size)
    try:
        with quiet_espnet():
            macs = macs_per_second(model, sample_rate(config))
    except Exception as error:
        notes.append(f"the model does not run on {SPEECH_SEC} s of silence ({type(error).__name__}: {error})")
        return Size(parameters, layers, None, head, size)
    return Size(parameters, layers, macs, head, size)


def macs_per_second(model: Any, sample_rate: int) -> float:
    """Counts the multiply-accumulates of encoder and CTC layer for one 10 s utterance, per second of it.

    Counted are matrix products and convolutions (half of torch's FLOPs), not the Fourier transform, normalisations and
    activations. Self-attention grows with the square of the length, so another length gives another number.

    Args:
        model: `ESPnetASRModel` with CTC.
        sample_rate: Of its input, Hz.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    samples = SPEECH_SEC * sample_rate
    fused = torch.backends.mha.get_fastpath_enabled()
    # The counter knows matrix products, but not every fused attention that torch may choose for a device.
    torch.backends.mha.set_fastpath_enabled(False)
    model.eval()
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            encoded, _ = model.encode(torch.zeros(1, samples), torch.tensor([samples]))
            # With intermediate CTC the encoder returns (output, outputs of layers).
            model.ctc.ctc_lo(encoded[0] if isinstance(encoded, tuple) else encoded)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() / 2 / SPEECH_SEC


def sample_rate(config: Mapping[str, Any]) -> int:
    """Returns the sampling rate of a model's audio, Hz."""
    from humanfriendly import parse_size

    return parse_size(str((config.get("frontend_conf") or {}).get("fs", 16000)))
