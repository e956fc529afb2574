"""YAML of unknown origin: what its aliases stand for is counted before anything walks through it.

PyYAML shares what an alias (`*name`) stands for, so a few lines of aliases of aliases load at once. ESPnet walks
through the result to find file names, and visits everything as often as the aliases say: 2 ** 40 times for 40 lines.
"""

from typing import Any

import yaml

MAX_CHARACTERS = 20 * 2**20
# OWSM's list of 50,000 tokens, aliased once, counts 1.3 million.
_MAX_ALIASED = 4 * 2**20
_PER_NODE = 16


class YAMLLimitError(yaml.YAMLError):
    """YAML that no configuration needs."""


def load_yaml(text: str) -> Any:
    """Loads YAML as `yaml.safe_load`, within limits.

    Raises:
        yaml.YAMLError: no YAML, too long, too deep, or aliases that stand for too much.
    """
    if len(text) > MAX_CHARACTERS:
        raise YAMLLimitError(f"{len(text)} characters are more than a configuration has (at most {MAX_CHARACTERS})")
    try:
        if "&" in text and "*" in text:  # an alias needs both
            _check_aliases(text)
        return yaml.safe_load(text)
    except RecursionError as error:
        raise YAMLLimitError("lists or mappings are nested too deep") from error


def _check_aliases(text: str) -> None:
    """Adds up, for every anchor, the size of what it names with all aliases in it written out."""
    anchored: dict[str, int] = {}
    inside: list[tuple[str | None, int]] = []  # of every open list or mapping: its anchor and its size so far
    aliased = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append((event.anchor, _PER_NODE))
            continue
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in inside):
                raise YAMLLimitError(f"the alias *{event.anchor} stands for something that it is a part of")
            size = anchored.get(event.anchor, 0)  # where there is no such anchor, the loader says so
            aliased += size
            if aliased > _MAX_ALIASED:
                raise YAMLLimitError(
                    f"its aliases, e.g. *{event.anchor}, stand for more than {_MAX_ALIASED} characters; "
                    "write out what they stand for"
                )
        elif isinstance(event, yaml.ScalarEvent):
            size = _PER_NODE + len(event.value)
            _name(anchored, event.anchor, size)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = inside.pop()
            _name(anchored, anchor, size)
        else:
            continue
        if inside:
            inside[-1] = (inside[-1][0], inside[-1][1] + size)


def _name(anchored: dict[str, int], anchor: str | None, size: int) -> None:
    if anchor is not None:
        anchored[anchor] = size
