"""Configurations that cannot be read: the message is one line that names file, line, column and text."""

import pytest

from espnet_ext.config import read_config
from espnet_ext.errors import UserError


@pytest.mark.parametrize(
    "content, message",
    [
        ("a: 1\nb: c: d\n", r"line 2, column 5 \(b: c: d\): mapping values are not allowed here"),
        ("a: 1\n\tb: 2\n", r"line 2, column 1 \(b: 2\): found character '\\t' that cannot start any token"),
        ("a: [1,\n2\nb: 3\n", r"line 3, column 2 .*flow sequence that begins in line 1, column 4 \(a: \[1,\)"),
        ("a: 1\nb: [1, 2\n", r"line 3, column 1 \(the end of the file\).* begins in line 2, column 4 \(b: \[1, 2\)"),
        ("a: 1\nb: !thing 2\n", r"line 2, column 4 \(b: !thing 2\): could not determine a constructor"),
        (b"a: 1\nb: caf\xe9\n", r"line 2, column 7 \(b: caf\ufffd\): .*continuation byte"),
        ("a: 1\nb: \x00\n", r"line 2, column 4 .*special characters are not allowed"),
        ("a: 1\nb: 2026-02-31\n", r"no valid YAML: .*day"),
    ],
    ids=["colons", "tab", "bracket", "bracket at the end", "tag", "Latin-1", "NUL", "date"],
)
def test_broken_yaml_names_the_line(tmp_path, content, message):
    path = tmp_path / "encrl.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"configuration {path} has no valid YAML")
    assert "\n" not in str(caught.value)  # the driver shows one line


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "e.yaml").write_text("# nothing\n")
    with pytest.raises(UserError, match="e.yaml is empty"):
        read_config(tmp_path / "e.yaml")
