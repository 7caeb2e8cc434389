"""The stored results, beside the page, so that one figure can be measured again without the others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Measured, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one figure.

    Attributes:
        problem: why the figure could not be measured; empty if it was.
        plots: the names of the plots' files.
        environment: from `benchmarks.machine.environment`.
    """

    title: str
    environment: Mapping[str, str]
    problem: str = ""
    method: Sequence[str] = ()
    values: Sequence[Value] = ()
    plots: Sequence[str] = ()

    @property
    def is_met(self) -> bool:
        """Whether it was measured and every target is met."""
        return not self.problem and all(value.is_met is not False for value in self.values)


class Results:
    """The results by the names of the figures, in a folder together with their plots."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "results.json"

    def store(self, name: str, result: Result, plots: Mapping[str, str]) -> None:
        """Replace the stored result and plots of this figure."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for file, svg in plots.items():
            (self._folder / file).write_text(svg, encoding="utf-8")
        stored = self._read() | {name: asdict(result)}
        self._file.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def all(self) -> Mapping[str, Result]:
        """Return all stored results."""
        return {name: _result(stored) for name, stored in self._read().items()}

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        return found


def plot_files(name: str, measured: Measured) -> Mapping[str, str]:
    """Return the SVG text by file name."""
    return {f"{name}-{part}.svg" if part else f"{name}.svg": svg for part, svg in measured.plots.items()}


def _result(stored: Mapping[str, Any]) -> Result:
    lists = {name: tuple(stored[name]) for name in ("method", "plots")}
    return Result(**{**stored, **lists, "values": tuple(Value(**value) for value in stored["values"])})
