"""RESULTS.md."""

from espnet_ext.report.notes import environment, notes
from espnet_ext.report.results import Results
from espnet_ext.report.table import Table, cost_table, difference_table, error_table, main_table


def to_markdown(results: Results, figures: list[tuple[str, str]]) -> str:
    """Returns the whole file.

    Args:
        results: What is shown.
        figures: (title, path relative to the file) of the figures.
    """
    parts = [f"# {results.title}", layout(main_table(results)), results.decoding]
    parts.append("\n".join(f"- {line}" for line in notes(results)))
    parts += [f"![{name}]({path})" for name, path in figures]
    for name in results.test_sets:
        errors, differences = error_table(results, name), difference_table(results, name)
        parts.append(f"## {name}: percent of words, by kind of error")
        parts.append(layout(errors) if errors.rows else "Not scored yet.")
        parts += [f"## {name}: differences", layout(differences)] if differences.rows else []
    parts += ["## Training cost", layout(cost_table(results))]
    parts.append("## Environment\n\n" + "\n".join(f"- {line}" for line in environment()))
    return "\n\n".join(parts) + "\n"


def layout(table: Table) -> str:
    """Returns a Markdown table, padded so that it reads as well in a terminal: names left, numbers right."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (table.head, *table.rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: list[str]) -> str:
        padded = [cell.ljust(width) if place < table.names else cell.rjust(width)
                  for place, (cell, width) in enumerate(zip(cells, widths, strict=True))]  # fmt: skip
        return f"| {' | '.join(padded)} |"

    rule = [f":{'-' * (width - 1)}" if place < table.names else f"{'-' * (width - 1)}:"
            for place, width in enumerate(widths)]  # fmt: skip
    return "\n".join([line(lines[0]), f"| {' | '.join(rule)} |", *map(line, lines[1:])])
