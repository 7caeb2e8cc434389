"""What a benchmark is, and what it yields: values with their targets, and plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Protocol

from benchmarks.numbers import shown

if TYPE_CHECKING:
    from benchmarks.site import Site


class NotMeasured(Exception):
    """The figure cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One number, and what it should be.

    Attributes:
        lowest, highest: of the runs of which `value` is the median.
        at_least, at_most: the target, where there is one.
    """

    name: str
    value: float
    unit: str = ""
    lowest: float | None = None
    highest: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        reached = self.at_least is None or self.value >= self.at_least
        return reached and (self.at_most is None or self.value <= self.at_most)

    @property
    def target(self) -> str:
        """The target in words; empty where there is none."""
        least = [] if self.at_least is None else [f"at least {shown(self.at_least)}"]
        most = [] if self.at_most is None else [f"at most {shown(self.at_most)}"]
        return " and ".join(least + most)

    @property
    def spread(self) -> str:
        """From the lowest to the highest; empty where there was one run."""
        if self.lowest is None or self.highest is None or self.lowest == self.highest:
            return ""
        return f"{shown(self.lowest)} to {shown(self.highest)}"


def middle(
    name: str,
    samples: Sequence[float],
    unit: str = "",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Value:
    """The value that is the median of several runs."""
    return Value(
        name=name,
        value=median(samples),
        unit=unit,
        lowest=min(samples),
        highest=max(samples),
        at_least=at_least,
        at_most=at_most,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one figure came to.

    Attributes:
        method: what was done, in full sentences.
        plots: SVG by the end of its file's name; empty for a figure's only one.
        problems: what could not be measured, and why.
    """

    method: Sequence[str]
    values: Sequence[Value]
    plots: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()


class Figure(Protocol):
    """Something that is measured. The parameters of an instance say at which size."""

    @property
    def name(self) -> str:
        """As on the command line."""

    @property
    def title(self) -> str:
        """As on the page."""

    def __call__(self, site: "Site") -> Measured:
        """Measure it.

        Raises:
            NotMeasured: it cannot be had here.
        """
