"""The commands that documents show, read out of their fenced blocks."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
RUN = "<!-- test: run -->"
_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_KEYWORDS = {"do", "then", "else", "done", "fi", "{", "}"}
_SEPARATORS = {";", "&&", "||", "|", "&"}


@dataclass
class Block:
    """A fenced block of shell commands.

    Attributes:
        path: the document.
        line: its number, of the fence, from 1.
        text: what stands between the fences.
        runs: it is marked by `RUN`: it works as it is after the quick start, in the recipe's directory.
    """

    path: Path
    line: int
    text: str
    runs: bool

    @property
    def where(self) -> str:
        """What a message says of the place."""
        return f"{self.path.relative_to(REPO)}:{self.line}"

    @property
    def is_typed(self) -> bool:
        """Whether it is commands to type, rather than a file or a part of one to write."""
        return not self.text.lstrip().startswith(("#!", "--"))


@dataclass
class Command:
    """A simple command.

    Attributes:
        words: without assignments before it; of arrays that the block sets, the elements.
        directory: where it is typed, below the repository; None: outside, or a directory that nobody has yet.
        abridged: it ends in `...`: more options are needed.
    """

    words: list[str]
    directory: Path | None
    abridged: bool


def documents() -> list[Path]:
    """Returns the documents that are written by hand."""
    results = REPO / "docs/results"  # written by commands, apart from the page that names these
    found = [path for path in (REPO / "docs").rglob("*.md") if results not in path.parents]
    return sorted([*found, results / "README.md", *REPO.glob("*.md")])


def blocks(path: Path) -> Iterator[Block]:
    """Gives the shell blocks of a document, also those in lists.

    Raises:
        ValueError: a block does not end.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if not opened:
            number += 1
            continue
        first, indent = number, opened[1]
        number += 1
        while number < len(lines) and lines[number].rstrip() != f"{indent}```":
            number += 1
        if number == len(lines):
            raise ValueError(f"{path}:{first + 1}: the block does not end")
        if opened[2] in ("bash", "sh"):
            text = "\n".join(line.removeprefix(indent) for line in lines[first + 1 : number])
            runs = first > 0 and lines[first - 1].strip() == RUN
            yield Block(path, first + 1, text, runs)
        number += 1


def words(block: Block) -> Iterator[list[str]]:
    """Gives the simple commands of a block as words; what a loop goes over is no command."""
    lines = block.text.replace("\\\n", " ").rstrip("\\").splitlines()
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
        lexer.whitespace_split, lexer.commenters = True, "#"
        current: list[str] = []
        for word in [*lexer, ";"]:
            if word in _SEPARATORS:
                if current and current[0] not in ("for", "while", "if", "case"):
                    yield current
                current = []
            elif current or word not in _KEYWORDS:
                current.append(word)


def commands(block: Block) -> Iterator[Command]:
    """Gives the simple commands of a block, in the directories where they are typed."""
    directory: Path | None = REPO
    arrays: dict[str, list[str]] = {}
    for given in words(block):
        if len(given) > 1 and given[0].endswith("=") and given[1] == "(":
            arrays[given[0][:-1]] = given[2:-1]
            continue
        while given and re.match(r"[A-Za-z_]\w*=", given[0]):
            given = given[1:]
        given = [one for word in given for one in _expanded(word, arrays)]
        if not given:
            continue
        if given[0] == "cd":
            there = (directory or REPO) / given[1]
            directory = there.resolve() if there.is_dir() else None
        abridged = given[-1] == "..."
        yield Command(given[:-1] if abridged else given, directory, abridged)


def _expanded(word: str, arrays: dict[str, list[str]]) -> list[str]:
    match = re.fullmatch(r"\$\{(\w+)\[@\]\}", word)
    return arrays.get(match[1], [word]) if match else [word]
