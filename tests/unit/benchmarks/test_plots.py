"""Plots as SVG."""

from xml.etree import ElementTree

from benchmarks.plots import bars, lines

SVG = "{http://www.w3.org/2000/svg}"


def _widths(svg: str) -> list[float]:
    return [float(rect.attrib["width"]) for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect")]


def test_bars_are_as_long_as_their_values() -> None:
    first, second = _widths(bars("Speed", "/s", [("a", 50), ("b", 100)], limit=80))

    assert round(second / first, 2) == 2


def test_bars_show_label_value_and_limit() -> None:
    svg = bars("Speed", "/s", [("a < b", 1234)], limit=80)

    assert "a &lt; b" in svg
    assert "1,234 /s" in svg
    assert 'class="limit"' in svg


def test_lines_rise_where_values_do() -> None:
    svg = lines("Time", "runs", "s", {"ours": [(10, 1), (100, 2), (1000, 4)]}, x_is_logarithmic=True)

    [line] = ElementTree.fromstring(svg).iter(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    across, up = zip(*points, strict=True)
    assert round(across[1] - across[0], 1) == round(across[2] - across[1], 1)
    assert up[0] > up[1] > up[2]


def test_a_plot_can_be_drawn_of_a_single_point_of_nothing() -> None:
    ElementTree.fromstring(lines("Time", "runs", "s", {"ours": [(0, 0)]}))
    ElementTree.fromstring(bars("Time", "s", [("ours", 0)]))


def test_a_plot_is_readable_on_a_dark_page() -> None:
    assert "prefers-color-scheme: dark" in bars("Time", "s", [("ours", 1)])
