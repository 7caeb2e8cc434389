"""`python -m tests.mutations`: plants mutants one by one, and reports those that no test detects."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import click

from tests.integration.persistence.server import PostgreSQLServer
from tests.mutations.catalogue.mutants import MUTANTS
from tests.mutations.mutant import Mutant
from tests.mutations.runner import MutantRunner, Trial, mutant_runner
from tests.mutations.workspace import Verdict

_SERVER = "TEST_DATABASE_URI"


def main() -> int:
    """Plant mutants in copies of the package, one by one; the tests have to detect each. Returns 1 if one is missed."""
    arguments = _arguments()
    chosen = [mutant for mutant in MUTANTS if not arguments.names or mutant.name in arguments.names]
    with _one_server(), mutant_runner(jobs=arguments.jobs) as runner:
        baseline = runner.baseline(chosen)
        if baseline.verdict is not Verdict.PASSED:
            click.echo(f"without a mutant the tests {baseline.verdict}: {baseline.detail}", err=True)
            return 1
        return _report(runner, chosen)


def _report(runner: MutantRunner, chosen: Sequence[Mutant]) -> int:
    started = perf_counter()
    click.echo("| mutant | detected by | seconds |\n| --- | --- | --- |")
    missed = [trial for trial in map(_printed, runner.trials(chosen)) if not trial.is_detected]
    click.echo(f"\n{len(chosen) - len(missed)} of {len(chosen)} detected in {perf_counter() - started:.0f} s")
    for trial in missed:
        click.echo(f"{trial.mutant.name}: {trial.mutant.breaks} {trial.outcome.detail}")
    return 1 if missed else 0


def _printed(trial: Trial) -> Trial:
    detected_by = trial.outcome.detail or "timeout" if trial.is_detected else f"NOT DETECTED ({trial.outcome.verdict})"
    click.echo(f"| {trial.mutant.name} | {detected_by} | {trial.duration.total_seconds():.1f} |")
    return trial


@contextmanager
def _one_server() -> Iterator[None]:
    """One PostgreSQL server for all sessions of tests: starting one takes longer than most sessions."""
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
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to plant (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time, each in its own copy (default: 2)")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"unknown mutant: {', '.join(unknown)}; the mutants are: {', '.join(known)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
