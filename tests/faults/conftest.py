"""Databases for the campaigns of a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, Outcome, carry_out
from tests.faults.databases import Databases

CarryOut = Callable[[Campaign], Outcome]


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Made once: a server takes a while to start."""
    with Databases(tmp_path_factory.mktemp("databases")) as databases:
        yield databases


@pytest.fixture
def outcome_of(databases: Databases, tmp_path: Path) -> CarryOut:
    """Carries a campaign out; the seed is always the same, so that a test that fails fails again."""
    return lambda campaign: carry_out(campaign, databases, tmp_path, seed=1)
