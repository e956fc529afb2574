"""YAML from elsewhere is read within limits."""

import pytest
import yaml

from espnet_ext.config import read_config, write_config
from espnet_ext.errors import UserError

LISTS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 41))
# Merged keys are copied while the file is loaded.
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], y{n}: 1}}\n" for n in range(1, 41))
LONG = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 100)}]\n"


@pytest.mark.parametrize("text", [LISTS, MERGES, LONG])
def test_aliases_that_stand_for_too_much(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=r"a\.yaml cannot be read: its aliases, e\.g\. \*a\d*, stand for more than"):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [1, *a]", "stands for something that it is a part of"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested too deep"),
        ("a: *b", "undefined alias"),
        ("a: 2026-99-99", "month must be"),
        ("a: b: c", "line 1"),
        ("a: " + "x" * (21 * 2**20), "characters are more than a configuration has"),
    ],
)
def test_other_yaml_that_no_configuration_holds(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"a\.yaml (cannot be read|has no valid YAML).*{message}"):
        read_config(tmp_path / "a.yaml")


def test_aliases_as_people_and_pyyaml_write_them(tmp_path):
    tokens = [f"▁token{n}*&" for n in range(5000)]
    config = {"token_list": tokens, "again": tokens, "base": {"x": 1}}
    write_config(config, tmp_path / "a.yaml")
    assert "*id001" in (tmp_path / "a.yaml").read_text()
    assert read_config(tmp_path / "a.yaml") == config
    (tmp_path / "b.yaml").write_text("base: &base {x: 1, y: 2}\nother: {<<: *base, y: 3}\n")
    assert read_config(tmp_path / "b.yaml")["other"] == {"x": 1, "y": 3}
    assert yaml.safe_load((tmp_path / "a.yaml").read_text()) == config
