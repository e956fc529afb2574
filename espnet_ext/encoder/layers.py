"""Layers of encoders: what each family calls them, by which other modules choose, copy, prune and watch them."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from operator import attrgetter

from torch import Tensor, nn

from espnet_ext.errors import UserError

# The lists of layers that encoders have, and the batch's dimension in what these layers return: ESPnet's conformer,
# transformer, branchformer and e_branchformer; torchaudio's conformer.
_LISTS = {"encoders": 0, "conformer.conformer_layers": 1}
_KEY = re.compile(rf"(encoder\.(?:{'|'.join(map(re.escape, _LISTS))})\.)(\d+)(\..+)")
# The modules inside of a layer by what they are for.
PARTS = {
    "feed_forward": r"\.(ffn[12]|feed_forward|feed_forward_macaron|norm_ff|norm_ff_macaron|norm_mlp)\.",
    "self_attn": r"\.(self_attn|attn)\.",
    "conv": r"\.(conv_module|cgmlp)\.",
}


def split_key(key: str) -> tuple[str, int, str] | None:
    """Splits the name of a parameter at its layer.

    Returns:
        ("encoder.encoders.", 3, ".norm.bias") of "encoder.encoders.3.norm.bias"; None outside of the encoder's layers.
    """
    match = _KEY.fullmatch(key)
    return match and (match[1], int(match[2]), match[3])


def in_part(key: str, part: str) -> bool:
    """Returns whether a parameter of an encoder layer belongs to one of `PARTS`."""
    split = split_key(key)
    return split is not None and re.search(PARTS[part], split[2]) is not None


def encoder_layers(encoder: nn.Module) -> list[nn.Module]:
    """Returns the layers of an encoder in order.

    Raises:
        UserError: the encoder has none of the known lists of layers.
    """
    return list(_find_list(encoder)[0])


def layer_depth(output: str) -> Fraction | None:
    """Returns the fraction of the depth that "layer:A/B" names; None for an output that is no layer's.

    Raises:
        ValueError: it is no fraction.
        ZeroDivisionError: B is 0.
    """
    return Fraction(output.removeprefix("layer:")) if output.startswith("layer:") else None


def layer_index(depth: Fraction, num_layers: int) -> int:
    """Index of the layer at a fraction of the depth: 1/2 of 12 layers is layer 6, index 5."""
    return max(1, round(depth * num_layers)) - 1


@contextmanager
def tap_layers(encoder: nn.Module, outputs: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Collects layer outputs, (B, T, D), by name, while the context is open.

    Args:
        encoder: whose layers they are.
        outputs: names, see `layer_depth`; those that are no layer's are passed over.
    """
    tapped: dict[str, Tensor] = {}
    handles = []
    depths = {name: depth for name in outputs if (depth := layer_depth(name)) is not None}
    if depths:
        layers, batch_dim = _find_list(encoder)
        for name, depth in depths.items():

            def keep(_module: nn.Module, _inputs: tuple, output: object, name: str = name) -> None:
                while isinstance(output, tuple):  # ESPnet's layers return ((x, pos_emb), mask)
                    output = output[0]
                tapped[name] = output.transpose(0, batch_dim)

            handles.append(layers[layer_index(depth, len(layers))].register_forward_hook(keep))
    try:
        yield tapped
    finally:
        for handle in handles:
            handle.remove()


def _find_list(encoder: nn.Module) -> tuple[nn.ModuleList | nn.Sequential, int]:
    """Returns the list of layers and the dimension of the batch in what they return."""
    for name, batch_dim in _LISTS.items():
        try:
            layers = attrgetter(name)(encoder)
        except AttributeError:
            continue
        if isinstance(layers, nn.ModuleList | nn.Sequential):
            return layers, batch_dim
    raise UserError(f"encoder {type(encoder).__name__} has no list of layers; use criteria on 'encoder' instead")
