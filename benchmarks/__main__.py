"""`python -m benchmarks`: measures all figures, or the named ones, and writes the page."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks.catalogue import FULL, QUICK
from benchmarks.figure import Figure, Measured, NotMeasured
from benchmarks.machine import ROOT, environment
from benchmarks.page import amount, page, read_findings, verdict
from benchmarks.results import Result, Results, plot_files
from benchmarks.site import Site, site

_PAGE = ROOT / "docs" / "benchmarks.md"
_FOLDER = "benchmarks"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([figure.name for figure in FULL]), metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Measure small sizes once, to see whether the figures work; write nothing.")
@click.option("--only-page", is_flag=True, help="Measure nothing; write the page again from the stored results.")
def cli(names: Sequence[str], quick: bool, only_page: bool) -> None:
    """Measure the named figures (default: all) and write docs/benchmarks.md."""
    results = Results(_PAGE.with_name(_FOLDER))
    is_good = True
    if not only_page:
        with site() as place:
            about = environment(place.databases.version())
            for figure in [each for each in (QUICK if quick else FULL) if not names or each.name in names]:
                is_good &= _measure(figure, place, about, None if quick else results)
    if not quick:
        _write_page(_PAGE, results)
        click.echo(f"written: {_PAGE.relative_to(ROOT)}")
    raise SystemExit(0 if is_good or quick else 1)


def _measure(figure: Figure, place: Site, about: Mapping[str, str], results: Results | None) -> bool:
    """Measure a figure, print and store its result, and return whether all targets are met."""
    click.echo(f"\n{figure.title}  [{figure.name}]")
    begun = time.monotonic()
    try:
        measured = figure(place)
        result = _result(figure, measured, about)
    except NotMeasured as error:
        measured, result = _no_result(figure, about, str(error))
    except RuntimeError as error:
        # A broken figure must not cost the results of the others, which took many minutes.
        click.echo(str(error), err=True)
        measured, result = _no_result(figure, about, "it failed; the reason is on the console")
    _print(result, time.monotonic() - begun)
    if results is not None:
        results.store(figure.name, result, plot_files(figure.name, measured))
    return result.is_met


def _result(figure: Figure, measured: Measured, about: Mapping[str, str]) -> Result:
    return Result(
        title=figure.title,
        environment=about,
        problem="; ".join(measured.problems),
        method=measured.method,
        values=measured.values,
        plots=tuple(plot_files(figure.name, measured)),
    )


def _no_result(figure: Figure, about: Mapping[str, str], problem: str) -> tuple[Measured, Result]:
    return Measured(method=(), values=()), Result(title=figure.title, environment=about, problem=problem)


def _print(result: Result, seconds: float) -> None:
    if result.problem:
        click.echo(f"  not measured: {result.problem}")
    for value in result.values:
        spread = f"({value.spread})" if value.spread else ""
        target = f"{value.target}: {verdict(value).strip('*')}" if value.target else ""
        click.echo(f"  {value.name:46} {amount(value):>20} {spread:24} {target}".rstrip())
    click.echo(f"  took {seconds:.0f} s")


def _write_page(path: Path, results: Results) -> None:
    stored = results.all()
    ordered = {figure.name: stored[figure.name] for figure in FULL if figure.name in stored}
    path.write_text(page(ordered, read_findings(), _FOLDER), encoding="utf-8")


if __name__ == "__main__":
    cli(prog_name="python -m benchmarks")
