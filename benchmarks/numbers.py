"""Percentiles, and numbers as text."""

import math
from collections.abc import Sequence


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that is not exceeded by `share` of all samples; `share` is above 0 and at most 1."""
    return sorted(samples)[max(math.ceil(share * len(samples)), 1) - 1]


def shown(number: float) -> str:
    """Return the number with three significant digits, or all integer digits, and commas between thousands."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    digits = 2 - math.floor(math.log10(abs(number)))
    text = f"{number:.{min(digits, 9)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
