"""A benchmark and its result: values with their targets, and plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Protocol

from benchmarks.numbers import shown

if TYPE_CHECKING:
    from benchmarks.site import Site


class NotMeasured(Exception):
    """The figure cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One number and its target.

    Attributes:
        lowest, highest: of the samples whose median is `value`.
        at_least, at_most: the target; None if there is none.
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
        """Whether the target is met; None if there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        reached = self.at_least is None or self.value >= self.at_least
        return reached and (self.at_most is None or self.value <= self.at_most)

    @property
    def target(self) -> str:
        """The target as text; empty if there is none."""
        least = [] if self.at_least is None else [f"at least {shown(self.at_least)}"]
        most = [] if self.at_most is None else [f"at most {shown(self.at_most)}"]
        return " and ".join(least + most)

    @property
    def spread(self) -> str:
        """The range from the lowest to the highest sample; empty for a single sample."""
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
    """Return the median of several samples as a value."""
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
    """The measurements of one figure.

    Attributes:
        method: how it was measured, in full sentences.
        plots: SVG by the suffix of the file name; the suffix of a single plot is empty.
        problems: what could not be measured, with the reasons.
    """

    method: Sequence[str]
    values: Sequence[Value]
    plots: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()


class Figure(Protocol):
    """A benchmark. The parameters of an instance set its size."""

    @property
    def name(self) -> str:
        """The name on the command line."""

    @property
    def title(self) -> str:
        """The heading on the page."""

    def __call__(self, site: "Site") -> Measured:
        """Measure the figure.

        Raises:
            NotMeasured: it cannot be measured here.
        """
