"""What a model looks like: the same colour and marker in every figure and table of a report."""

from dataclasses import dataclass

from espnet_ext.report.results import Results
from espnet_ext.report.system import System

# Okabe and Ito's palette (jfly.uni-koeln.de/color) is safe for colour-blind readers; markers repeat the distinction.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
# Matplotlib's name and Chart.js's of shapes that both draw.
_MARKERS = {"o": "circle", "s": "rect", "^": "triangle", "D": "rectRot", "v": "rectRounded", "P": "crossRot",
            "*": "star"}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Colour (`#rrggbb`) and marker, by matplotlib's name."""

    colour: str
    marker: str

    @property
    def web_marker(self) -> str:
        """The marker by Chart.js's name."""
        return _MARKERS[self.marker]


class Palette:
    """The looks of a report's models.

    In a report of experiment directories the colour tells the model and the marker its start. Where the rows come from
    a file each row has a look of its own; the first 49 differ.
    """

    def __init__(self, results: Results):
        self.by_start = results.by_start
        self.models = _numbers(system.model if self.by_start else system.label for system in results.systems)
        self.starts = _numbers(results.series(system) for system in results.systems)
        self._series = results.series

    def of(self, system: System) -> Look:
        """Returns the look of a row."""
        return self.named(system.model if self.by_start else system.label, self._series(system))

    def named(self, model: str, series: str | None = None) -> Look:
        """Returns the look of a model by name; one that is no row of the report gets the next free colour."""
        number = self.models.setdefault(model, len(self.models))
        colour, turn = _COLOURS[number % len(_COLOURS)], number // len(_COLOURS)
        marker = self.starts.get(series, 0) + turn if self.by_start else number + turn
        return Look(colour, list(_MARKERS)[marker % len(_MARKERS)])


def _numbers(names) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}
