r"""Reads the lines of Kaldi-style files one after the other, and names what later stages stumble over.

Lines end at `\n` alone, as for all programs of the recipe; `str.splitlines` ends them at U+0085, U+2028 ... too.
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from espnet_ext.data.findings import Findings
from espnet_ext.errors import UserError

# Kaldi's validate_text.pl, which stage 3 runs, refuses white space but blanks and tabs; a mark of byte order and
# control characters and marks without width would become a part of an id or a word that nobody sees. The joiners
# U+200C and U+200D belong to the words of some languages.
_BAD_CHARACTER = re.compile(
    r"[^\S \t]|[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAMES = {"\r": "CARRIAGE RETURN", "\x85": "NEXT LINE", "\x0b": "LINE TABULATION", "\x0c": "FORM FEED", "\0": "NULL"}
_REMEDIES = {
    "\r": r"remove it: sed -i 's/\r//g' FILE",
    "\ufeff": r"a mark of byte order, remove it: sed -i 's/\xEF\xBB\xBF//g' FILE",
}


def read_lines(path: Path, errors: str = "strict") -> Iterator[tuple[int, str]]:
    r"""Yields number, from 1, and content of the lines of a file, without their `\n`.

    Args:
        path: The file.
        errors: What is done with bytes that are not UTF-8, as of `bytes.decode`.

    Raises:
        UserError: The file is missing or not UTF-8.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run the data preparation (stage 1)") from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                yield number, line.decode("utf-8", errors).removesuffix("\n")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path} is not UTF-8 ({error.reason} in line {number}, byte {error.start + 1} of it); "
                    "convert it with iconv"
                ) from error


def bad_character(line: str, path_follows: bool = False) -> str | None:
    """Returns name and remedy of the first character that no id and no word may hold; None where there is none.

    Args:
        line: A line, of any number of fields.
        path_follows: After the first field comes a path, whose names may hold Unicode's other white space.
    """
    begin = (*line.split(" ", 1), "")
    found = _BAD_CHARACTER.search(begin[0] if path_follows else line)
    if not found and path_follows:
        found = _CONTROL.search(line, len(begin[0]))
    if not found:
        return None
    character = found.group()
    name = _NAMES.get(character) or unicodedata.name(character, "control character")
    remedy = _REMEDIES.get(character, "replace it by a blank, or remove it")
    return f"U+{ord(character):04X} ({name}) at character {found.start() + 1}; {remedy}"


def read_rows(path: Path, findings: Findings, of_paths: bool = False) -> Iterator[tuple[int, str, str]]:
    """Yields number, key and value of the lines `<key> <value>` that can be used; the others become errors.

    Args:
        path: The file.
        findings: Receives the errors.
        of_paths: The values are paths or commands.

    Raises:
        UserError: The file is missing or not UTF-8.
    """
    for number, line in read_lines(path):
        if problem := bad_character(line, of_paths):
            findings.error(f"{path}, line {number}: {problem.replace('FILE', str(path))}")
            continue
        key, value = (*line.split(maxsplit=1), "", "")[:2]
        if key:
            yield number, key, value.rstrip()
        else:
            findings.error(f"{path}, line {number}: empty line; remove it")


def read_table(path: Path, findings: Findings, of_paths: bool = False) -> dict[str, str]:
    """Reads a small file as a whole; a key that comes twice is an error and its first value counts."""
    table: dict[str, str] = {}
    for number, key, value in read_rows(path, findings, of_paths):
        if key in table:
            findings.error(_twice(path, number, key))
        else:
            table[key] = value
    return table


def read_sorted_rows(path: Path, findings: Findings, of_paths: bool = False) -> Iterator[tuple[str, str]]:
    """Yields key and value of a file of any size; lines out of order and keys that come twice are errors.

    The order is that of `LC_ALL=C sort`, without which stage 3 takes no data directory.
    """
    last, in_order = "", True
    for number, key, value in read_rows(path, findings, of_paths):
        if key == last:
            findings.error(_twice(path, number, key))
            continue
        if key < last and in_order:  # as of their UTF-8 bytes
            in_order = False
            findings.error(
                f"{path}, line {number}: {key} comes after {last}: not in the order of LC_ALL=C sort; sort the files: "
                f"utils/fix_data_dir.sh {path.parent}"
            )
        yield key, value
        last = key


def check_last_line(path: Path, joined: bool, findings: Findings) -> None:
    """Finds a last line that does not end: an error where a file is joined to others, else a warning."""
    with path.open("rb") as file:
        if not file.seek(0, 2) or (file.seek(-1, 2), file.read(1))[1] == b"\n":
            return
    message = f"{path}: its last line has no end, so it may be cut off; add what is missing, or: echo >> {path}"
    if joined:
        findings.error(message)
    else:
        findings.warnings.append(message)


def read_keys(path: Path) -> Iterator[str]:
    """Yields the keys of a file; of lines with a bad character (see `read_rows`) what is likely meant."""
    for _, line in read_lines(path):
        if key := line.replace("\ufeff", "").split(maxsplit=1)[:1]:
            yield key[0]


def shown(key: str) -> str:
    """Returns a key so that it cannot be taken for one that looks like it, e.g. with its accents written apart."""
    return key if key.isascii() else f"{key} ({ascii(key)[1:-1]})"


def _twice(path: Path, number: int, key: str) -> str:
    return f"{path}, line {number}: utterance id {key} comes twice; keep one of its lines"
