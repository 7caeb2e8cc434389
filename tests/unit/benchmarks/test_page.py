"""The page that is written of what was measured."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.catalogue import FULL
from benchmarks.figure import Value
from benchmarks.machine import ROOT
from benchmarks.page import page, read_findings, table
from benchmarks.results import Result, Results

ENVIRONMENT: Mapping[str, str] = {"date": "2026-01-02", "commit": "abc1234", "processor": "some", "Python": "3.11"}
FAST = Value(name="runs", value=6_000, unit="runs/s", lowest=5_000, highest=7_000, at_least=5_000)
SLOW = Value(name="p99", value=120, unit="ms", at_most=100)


def _result(*values: Value, **changes: object) -> Result:
    return Result(title="Some figure", environment=ENVIRONMENT, values=values, **changes)  # type: ignore[arg-type]


def test_the_page_says_of_each_target_whether_it_is_met() -> None:
    text = page({"some": _result(FAST, SLOW)}, {}, "plots")

    assert "| [Some figure](#some-figure) | runs | 6,000 runs/s | at least 5,000 runs/s | met |" in text
    assert "| [Some figure](#some-figure) | p99 | 120 ms | at most 100 ms | **not met** |" in text


def test_the_page_names_machine_and_commit() -> None:
    text = page({"some": _result(FAST)}, {}, "plots")

    assert "| processor | some |" in text
    assert "on 2026-01-02 at commit `abc1234`" in text


def test_what_was_found_out_stands_on_the_page_as_it_was_written() -> None:
    finding = "### What was slow\n\nThis."

    assert finding in page({"some": _result(FAST)}, {"some": finding, "other": "not this"}, "plots")
    assert "not this" not in page({"some": _result(FAST)}, {"some": finding, "other": "not this"}, "plots")


def test_what_could_not_be_measured_is_no_success() -> None:
    result = _result(problem="nobody was there")

    assert not result.is_met
    assert "Not measured: nobody was there." in page({"some": result}, {}, "plots")


def test_a_table_is_not_broken_by_what_stands_in_it() -> None:
    assert "a\\|b" in table(["x"], [["a|b"]])


def test_one_figure_is_measured_anew_and_the_others_stay(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.store("first", _result(FAST), {"first.svg": "<svg/>"})
    results.store("second", _result(FAST), {})

    results.store("second", _result(SLOW), {})

    assert results.all() == {"first": _result(FAST), "second": _result(SLOW)}
    assert (tmp_path / "first.svg").read_text() == "<svg/>"


def test_every_figure_has_its_finding() -> None:
    assert set(read_findings()) == {figure.name for figure in FULL}


def test_the_page_in_the_documents_is_that_of_the_stored_results() -> None:
    """`python -m benchmarks --only-page` writes it."""
    written = ROOT / "docs" / "benchmarks.md"
    results = Results(written.with_name("benchmarks")).all()

    assert written.read_text() == page(
        {figure.name: results[figure.name] for figure in FULL}, read_findings(), "benchmarks"
    )
