"""What many samples come to."""

import pytest

from benchmarks.figure import middle
from benchmarks.numbers import percentile, shown


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.5, 50), (0.99, 99), (1, 100)])
def test_a_percentile_is_the_smallest_sample_that_so_many_do_not_exceed(share: float, expected: int) -> None:
    samples = list(range(100, 0, -1))

    assert percentile(samples, share) == expected


def test_of_a_single_sample_every_percentile_is_that_sample() -> None:
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (1234567.8, "1,234,568"), (100, "100"), (99.96, "100"), (12.34, "12.3"), (0.01234, "0.0123")),
        *((2.0, "2"), (30, "30"), (-45.67, "-45.7")),
    ],
)
def test_a_number_is_shown_with_three_digits_that_count(number: float, text: str) -> None:
    assert shown(number) == text


def test_one_slow_run_of_three_does_not_move_the_value() -> None:
    value = middle("time", [1.0, 100.0, 2.0], "s", at_most=5)

    assert (value.value, value.lowest, value.highest) == (2.0, 1.0, 100.0)
    assert value.is_met


@pytest.mark.parametrize(("number", "is_met"), [(4.9, False), (5.0, True), (7.0, True), (7.1, False)])
def test_a_target_includes_its_limits(number: float, is_met: bool) -> None:
    assert middle("ratio", [number], at_least=5, at_most=7).is_met is is_met


def test_a_value_without_target_is_neither_met_nor_missed() -> None:
    value = middle("CPU", [1.0], "s")

    assert value.is_met is None
    assert value.target == ""
