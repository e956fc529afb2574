"""The Python code that stands in a page of the documentation."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def code_of(page: str, of_recipes: bool = False) -> str:
    """Returns the blocks of Python of a page as one program: those that run a recipe, or the others."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    chosen = [block for block in blocks if ("Recipe." in block) == of_recipes]
    assert chosen, f"{page} has no such block"
    return "\n".join(chosen)
