"""Each benchmark at a size at which it says nothing of the machine: it runs through, and yields what it should."""

from pathlib import Path

import pytest

from benchmarks.catalogue import FULL, QUICK, TINY
from benchmarks.databases import Databases
from benchmarks.figure import Figure
from benchmarks.peer import is_installed
from benchmarks.site import Site
from tests.integration.conftest import PostgreSQL


@pytest.fixture
def site(postgresql_server: PostgreSQL, tmp_path: Path) -> Site:
    """On the server of the session."""
    return Site(tmp_path, Databases(tmp_path, postgresql_server))


@pytest.mark.nightly
@pytest.mark.parametrize("figure", TINY, ids=[figure.name for figure in TINY])
def test_a_figure_runs_through_and_has_a_value_with_a_target(figure: Figure, site: Site) -> None:
    measured = figure(site)

    assert any(value.is_met is not None for value in measured.values)
    assert measured.method
    assert all(plot.startswith("<svg ") for plot in measured.plots.values())


def test_the_same_figures_are_there_at_every_size() -> None:
    names = [[figure.name for figure in figures] for figures in (FULL, QUICK, TINY)]

    assert names[0] == names[1] == names[2]
    assert len(set(names[0])) == len(names[0])


@pytest.mark.nightly
@pytest.mark.skipif(not is_installed(), reason="the extra `bench` is not installed")
def test_the_peer_is_measured_where_it_is_installed(site: Site) -> None:
    [run_work] = [figure for figure in TINY if figure.name == "run-work"]

    measured = run_work(site)

    assert "wes-daemon compared with Procrastinate" in [value.name for value in measured.values]
