"""Plots as SVG, readable on light and on dark pages."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from benchmarks.numbers import shown

Point = tuple[float, float]

_WIDTH, _ROW = 640, 30
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 50
_HEIGHT = 320
_COLOURS = 4
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 14px }
.grid { stroke: #8c959f; stroke-opacity: .35 } .limit { stroke: #cf222e; stroke-dasharray: 5 4 }
.line { fill: none; stroke-width: 2.5 } .c0 { fill: #0969da; stroke: #0969da } .c1 { fill: #bf8700; stroke: #bf8700 }
.c2 { fill: #1a7f37; stroke: #1a7f37 } .c3 { fill: #8250df; stroke: #8250df } .line { fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .limit { stroke: #ff7b72 } .c0 { fill: #58a6ff; stroke: #58a6ff }
.c1 { fill: #d29922; stroke: #d29922 } .c2 { fill: #3fb950; stroke: #3fb950 } .c3 { fill: #bc8cff; stroke: #bc8cff }
.line { fill: none } }
</style>"""


def bars(title: str, unit: str, rows: Sequence[tuple[str, float]], *, limit: float | None = None) -> str:
    """Draw a bar for each label; `limit` is a dashed line across all bars."""
    left, right = 200, 110
    longest = max([value for _, value in rows] + ([limit] if limit else [])) or 1
    scale = (_WIDTH - left - right) / longest
    drawn = [_bar(label, value, unit, left, _TOP + n * _ROW, scale) for n, (label, value) in enumerate(rows)]
    height = _TOP + len(rows) * _ROW + 12
    if limit is not None:
        x = left + limit * scale
        drawn.append(f'<line class="limit" x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{height - 10}"/>')
    return _document(title, height, drawn)


def lines(
    title: str,
    x_name: str,
    y_name: str,
    series: Mapping[str, Sequence[Point]],
    *,
    is_logarithmic: bool = False,
    x_is_logarithmic: bool | None = None,
) -> str:
    """Draw a line for each series; axes begin at 0, or are logarithmic and span the values."""
    points = [point for line in series.values() for point in line]
    across = _Axis([x for x, _ in points], is_logarithmic if x_is_logarithmic is None else x_is_logarithmic)
    up = _Axis([y for _, y in points], is_logarithmic)
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    drawn = []
    for mark in across.marks:
        x = _LEFT + across.place(mark) * inner_width
        drawn.append(_text(x, _HEIGHT - _BOTTOM + 18, shown(mark), "middle"))
    for mark in up.marks:
        y = _HEIGHT - _BOTTOM - up.place(mark) * inner_height
        drawn.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        drawn.append(_text(_LEFT - 8, y + 4, shown(mark), "end"))
    for n, (name, line) in enumerate(series.items()):
        at = [(_LEFT + across.place(x) * inner_width, _HEIGHT - _BOTTOM - up.place(y) * inner_height) for x, y in line]
        drawn += _line(at, n)
        drawn += _legend(name, n)
    drawn.append(_text(_LEFT + inner_width / 2, _HEIGHT - 8, x_name, "middle"))
    drawn.append(_text(8, _TOP - 8, y_name, "start"))
    return _document(title, _HEIGHT, drawn)


class _Axis:
    """Maps values to places between 0 and 1, and chooses the marked values."""

    def __init__(self, values: Sequence[float], is_logarithmic: bool) -> None:
        self.place: Callable[[float], float]
        if is_logarithmic and min(values) > 0:
            low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
            high = max(high, low + 1)
            self.marks = [10.0**power for power in range(low, high + 1)]
            self.place = lambda value: (math.log10(value) - low) / (high - low)
        else:
            step = _round_step(max(values) or 1)
            top = math.ceil((max(values) or 1) / step) * step
            self.marks = [n * step for n in range(round(top / step) + 1)]
            self.place = lambda value: value / top


def _round_step(top: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that gives between three and eight marks."""
    power = 10.0 ** math.floor(math.log10(top))
    return next(step for step in (power / 5, power / 2, power, power * 2) if top / step <= 7)


def _bar(label: str, value: float, unit: str, left: int, y: int, scale: float) -> str:
    width = max(value * scale, 1)
    value_text = f"{shown(value)} {unit}".strip()
    return (
        _text(left - 10, y + 15, label, "end")
        + f'<rect class="c0" x="{left}" y="{y}" width="{width:.1f}" height="20" rx="2"/>'
        + _text(left + width + 8, y + 15, value_text, "start")
    )


def _line(points: Sequence[Point], n: int) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    colour = f"c{n % _COLOURS}"
    dots = [f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points if len(points) <= 12]
    return [f'<polyline class="line {colour}" style="fill:none" points="{path}"/>', *dots]


def _legend(name: str, n: int) -> list[str]:
    y = _TOP + 8 + n * 20
    return [
        f'<rect class="c{n % _COLOURS}" x="{_LEFT + 12}" y="{y}" width="14" height="4"/>',
        _text(_LEFT + 32, y + 7, name, "start"),
    ]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _document(title: str, height: int, drawn: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
        f' aria-label="{escape(title)}">'
    )
    name = f'<text class="title" x="8" y="18">{escape(title)}</text>'
    return "\n".join([head, _STYLE, name, *drawn, "</svg>", ""])
