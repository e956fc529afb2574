"""The Python code that stands in a page of the documentation."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def code_of(page: str, kind: str = "python") -> str:
    """Returns the code of all blocks of a page that begin with these words, as one program."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks, f"{page} has no block {kind}"
    return "\n".join(blocks)
