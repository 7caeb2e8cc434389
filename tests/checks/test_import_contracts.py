"""Each import contract holds, and fails when it is broken on purpose."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# For each contract: a module, and the import that it must not have.
BREACHES = {
    "layers": ("domain/states.py", "import wes_daemon.application.ports.environment"),
    "application-rooms": (
        "application/following/cancel_runs.py",
        "import wes_daemon.application.requests.create_run",
    ),
    "ports": ("application/ports/telemetry.py", "import wes_daemon.application.following.status_recorder"),
    "providers": (
        "adapters/providers/local/provider.py",
        "import wes_daemon.adapters.providers.directory",
    ),
    "adapters": ("adapters/providers/local/provider.py", "import wes_daemon.adapters.resilience.stack"),
    "frameworks": ("domain/runs.py", "import pydantic"),
    "sqlalchemy": ("adapters/telemetry.py", "import sqlalchemy"),
    "injector": ("bootstrap/settings.py", "import dependency_injector"),
    "pytest": ("plugins/rates.py", "import pytest"),
    "acyclic": ("domain/errors.py", "import wes_daemon.domain.runs"),
}


def _contracts() -> dict[str, str]:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"]: contract["name"] for contract in configuration["tool"]["importlinter"]["contracts"]}


def _lint(source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return subprocess.run(
        [sys.executable, "-c", program, "--config", str(ROOT / "pyproject.toml"), "--no-cache", *arguments],
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=source,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_contract_is_broken_by_a_test_here() -> None:
    assert set(BREACHES) == set(_contracts())


def test_every_contract_holds() -> None:
    result = _lint(ROOT / "src")

    assert result.returncode == 0, result.stdout
    assert f"{len(BREACHES)} kept, 0 broken" in result.stdout


@pytest.mark.parametrize("contract", sorted(BREACHES))
def test_a_contract_that_is_broken_on_purpose_fails(contract: str, tmp_path: Path) -> None:
    copy = tmp_path / "src"
    shutil.copytree(ROOT / "src", copy, ignore=shutil.ignore_patterns("__pycache__"))
    module, breach = BREACHES[contract]
    broken = copy / "wes_daemon" / module
    broken.write_text(f"{broken.read_text()}\n{breach}\n")

    result = _lint(copy, "--contract", contract)

    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{_contracts()[contract]} BROKEN" in result.stdout
