"""What was measured, kept beside the page so that one figure can be measured anew without the others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Measured, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one figure came to, where and when.

    Attributes:
        problem: why it could not be measured; empty where it was.
        plots: the names of the files.
        environment: as `benchmarks.machine` tells it.
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
    """The results by the figures' names, in a folder together with their plots."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "results.json"

    def keep(self, name: str, result: Result, plots: Mapping[str, str]) -> None:
        """Take the place of what was there for this figure."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for file, svg in plots.items():
            (self._folder / file).write_text(svg, encoding="utf-8")
        kept = self._read() | {name: asdict(result)}
        self._file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def all(self) -> Mapping[str, Result]:
        """Everything that was ever kept."""
        return {name: _result(kept) for name, kept in self._read().items()}

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        return found


def plot_files(name: str, measured: Measured) -> Mapping[str, str]:
    """The SVG by the names of the files."""
    return {f"{name}-{part}.svg" if part else f"{name}.svg": svg for part, svg in measured.plots.items()}


def _result(kept: Mapping[str, Any]) -> Result:
    lists = {name: tuple(kept[name]) for name in ("method", "plots")}
    return Result(**{**kept, **lists, "values": tuple(Value(**value) for value in kept["values"])})
