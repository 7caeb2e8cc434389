"""What many samples come to, and how a number is written."""

import math
from collections.abc import Sequence


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least this share of all do not exceed; `share` is above 0 and at most 1."""
    return sorted(samples)[max(math.ceil(share * len(samples)), 1) - 1]


def shown(number: float) -> str:
    """With three digits that count, or all of a large one's, and commas between thousands."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    digits = 2 - math.floor(math.log10(abs(number)))
    text = f"{number:.{min(digits, 9)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
