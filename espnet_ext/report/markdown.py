"""RESULTS.md."""

from urllib.parse import quote

from espnet_ext.report.escape import markdown
from espnet_ext.report.notes import environment, notes
from espnet_ext.report.results import Results
from espnet_ext.report.table import PUBLISHED, Table, cost_table, difference_table, error_table, main_table


def to_markdown(results: Results, figures: list[tuple[str, str]]) -> str:
    """Returns the whole file.

    Args:
        results: What is shown.
        figures: (title, path relative to the file) of the figures.
    """
    parts = [f"# {markdown(results.title)}", layout(main_table(results)), markdown(results.decoding)]
    parts.append(bullets(notes(results)))
    parts += [f"![{markdown(name)}]({quote(path)})" for name, path in figures]
    for name in results.test_sets:
        errors, differences = error_table(results, name), difference_table(results, name)
        heading = markdown(name)
        parts.append(f"## {heading}: percent of words, by kind of error")
        parts.append(layout(errors) if errors.rows else "Not scored yet.")
        parts += [f"## {heading}: differences", layout(differences)] if differences.rows else []
    parts += ["## Training cost", layout(cost_table(results))]
    parts.append("## Environment\n\n" + bullets(environment()))
    return "\n\n".join(parts) + "\n"


def bullets(lines: list[str]) -> str:
    """Returns a Markdown list of lines of plain text."""
    return "\n".join(f"- {markdown(line)}" for line in lines)


def layout(table: Table) -> str:
    """Returns a Markdown table, padded so that it reads as well in a terminal: names left, numbers right.

    Cells are plain text.
    """
    head = [f"*{PUBLISHED}*" if cell == PUBLISHED else markdown(cell) for cell in table.head]
    lines = [head, *([markdown(cell) for cell in row] for row in table.rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: list[str]) -> str:
        padded = [cell.ljust(width) if place < table.names else cell.rjust(width)
                  for place, (cell, width) in enumerate(zip(cells, widths, strict=True))]  # fmt: skip
        return f"| {' | '.join(padded)} |"

    rule = [f":{'-' * (width - 1)}" if place < table.names else f"{'-' * (width - 1)}:"
            for place, width in enumerate(widths)]  # fmt: skip
    return "\n".join([line(lines[0]), f"| {' | '.join(rule)} |", *map(line, lines[1:])])
