"""Makes ESPnet's `use_amp` compute in bfloat16 on processors that multiply it.

The autocast of `espnet2.train.trainer` is for CUDA and does nothing on a CPU, and so is the one by which ESPnet's model
keeps its front end in float32. `install` gives the name another meaning there. Weights, optimizer, features and losses
stay in float32. Bfloat16 has the exponents of float32, so no loss is scaled:
without a GPU the `GradScaler` of the trainer disables itself.
"""

import logging
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

# Names in /proc/cpuinfo: of x86 the first two, of Arm the last.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def install(module: ModuleType) -> None:
    """Changes `autocast` in an executed module: `espnet2.train.trainer` or `espnet2.asr.espnet_model`."""
    module.autocast = autocast


def install_ctc(module: ModuleType) -> None:
    """Lets the executed module `espnet2.asr.ctc` compute its loss in float32 on a CPU, the head included."""
    forward = module.CTC.forward

    def in_float32(self, hs_pad, *args, **kwargs):
        if hs_pad.device.type != "cpu":
            return forward(self, hs_pad, *args, **kwargs)
        import torch

        with torch.autocast("cpu", enabled=False):
            return forward(self, hs_pad.float(), *args, **kwargs)

    in_float32.__doc__ = forward.__doc__
    module.CTC.forward = in_float32


def autocast(device_type: str, enabled: bool = True, **options: Any) -> Any:
    """Returns ESPnet's autocast where there is a GPU, else one to bfloat16 on the CPU.

    Args:
        device_type: what ESPnet asks for, `cuda`.
        enabled: whether `use_amp` is set, or the front end is to take part.
        options: further ones of `torch.autocast`.
    """
    import torch

    if torch.cuda.is_available():
        return torch.autocast(device_type, enabled=enabled, **options)
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled and _says_whether_usable())


@cache
def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has instructions for bfloat16; without them it would be slower than float32.

    Args:
        cpuinfo: file of the kernel; where there is none (no Linux) the answer is no.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not _INSTRUCTIONS.isdisjoint(flags.split())


@cache
def _says_whether_usable() -> bool:
    usable = has_bfloat16()
    if usable:
        logging.info("use_amp: the models compute in bfloat16 on this CPU, losses in float32")
    else:
        logging.warning("use_amp has no effect: this CPU has no instructions for bfloat16 (avx512_bf16, amx_bf16)")
    return usable
