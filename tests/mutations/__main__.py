"""`python -m tests.mutations`: plant bugs one by one, and tell which of them no test has found."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import click

from tests.integration.persistence.server import PostgreSQLServer
from tests.mutations.mutant import Mutant
from tests.mutations.mutants import MUTANTS
from tests.mutations.planting import Garden, Trial, garden
from tests.mutations.workspace import Verdict

_SERVER = "TEST_DATABASE_URI"


def main() -> int:
    """Plant bugs in copies of the package, one by one; each must make a test fail. 1 where one is not found."""
    asked = _arguments()
    chosen = [mutant for mutant in MUTANTS if not asked.names or mutant.name in asked.names]
    with _one_server(), garden(jobs=asked.jobs) as copies:
        healthy = copies.without_bugs(chosen)
        if healthy.verdict is not Verdict.PASSED:
            click.echo(f"without any bug the tests have {healthy.verdict}: {healthy.words}", err=True)
            return 1
        return _report(copies, chosen)


def _report(copies: Garden, chosen: Sequence[Mutant]) -> int:
    begun = perf_counter()
    click.echo("| mutant | found by | seconds |\n| --- | --- | --- |")
    missed = [trial for trial in map(_shown, copies.trials(chosen)) if not trial.is_found]
    click.echo(f"\n{len(chosen) - len(missed)} of {len(chosen)} found in {perf_counter() - begun:.0f} s")
    for trial in missed:
        click.echo(f"{trial.mutant.name}: {trial.mutant.breaks} {trial.outcome.words}")
    return 1 if missed else 0


def _shown(trial: Trial) -> Trial:
    found = trial.outcome.words or "its time was over" if trial.is_found else f"NOT FOUND ({trial.outcome.verdict})"
    click.echo(f"| {trial.mutant.name} | {found} | {trial.took.total_seconds():.1f} |")
    return trial


@contextmanager
def _one_server() -> Iterator[None]:
    """One PostgreSQL server for all sessions of tests: to make one takes longer than most of them."""
    if _SERVER in os.environ:
        yield
        return
    server = PostgreSQLServer()
    try:
        server.start()
        os.environ[_SERVER] = server.uri()
        yield
    finally:
        os.environ.pop(_SERVER, None)
        server.remove()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=main.__doc__)
    known = [mutant.name for mutant in MUTANTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs to plant (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="bugs at once, each in a copy of its own (default: 2)")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"no such bug: {', '.join(unknown)}; there are: {', '.join(known)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
