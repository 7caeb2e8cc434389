"""The wheels, built once, and an environment that tests share as long as they do not change it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.distributions.environment import Environment, build_wheels

pytest.importorskip("pip", reason="pip installs the wheels")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The wheels of the package and of the example."""
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def environment(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which nothing is installed or uninstalled any more."""
    return Environment(tmp_path_factory.mktemp("shared"), wheels)
