"""Plain text as Markdown. Names, titles and notes are the user's; what they hold must not act as a mark.

HTML has `html.escape` of the standard library.
"""

import re
import unicodedata

# Only where CommonMark or GitHub would see a mark, because tables are read in a terminal too: `a_b`, `2 * 3`, `[1, 2]`
# and `p<0.1` stay as they are.
_MARKS = re.compile(
    r"[\\`|]"  # escapes, code, columns
    r"|(?<!\s)\*|\*(?!\s)|(?<![^\W_])_|_(?![^\W_])"  # emphasis, but not between blanks or within a word
    r"|\](?=[(\[:])"  # links and their definitions
    r"|^\[(?=[ xX]\])|^#(?=#*(?:\s|$))|^>|^[-+](?=\s)"  # what begins a task, heading, quotation or list
)
_NUMBER = re.compile(r"^(\d{1,9})([.)])(?=\s)")  # of a list
# Signs that not every renderer lets a backslash escape: tags, entities, strikethrough, mathematics.
_ENTITIES = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)|[~$]")
_NAMES = {"<": "&lt;", "&": "&amp;", "~": "&#126;", "$": "&#36;"}


def markdown(text: str) -> str:
    """Returns one line of Markdown that shows a text: a cell of a table, an item of a list, a heading, a sentence."""
    text = _MARKS.sub(r"\\\g<0>", one_line(text))
    text = _NUMBER.sub(r"\1\\\2", text)
    return _ENTITIES.sub(lambda sign: _NAMES[sign[0]], text)


def markdown_code(text: str) -> str:
    """Returns Markdown that shows a text as code; not for tables, where a bar would end the cell."""
    text = one_line(text)
    runs = [len(run) for run in re.findall("`+", text)]
    fence = "`" * next(count for count in range(1, len(runs) + 2) if count not in runs)
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def one_line(text: str) -> str:
    """Returns a text without line breaks; other control characters become a sign that can be seen."""
    shown = (char if char.isspace() or unicodedata.category(char) != "Cc" else "\ufffd" for char in text)
    return " ".join("".join(shown).split())
