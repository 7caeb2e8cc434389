"""`python -m tests.conformance --suite DIRECTORY`: the CWL standard's tests through the daemon and by cwltool alone."""

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from tests.conformance.comparison import differences, table
from tests.conformance.daemons import SEARCH_PATH, running_daemon
from tests.conformance.suite import (
    TESTS_FILE,
    Case,
    Outcome,
    Result,
    Runner,
    cwltool_alone,
    load_cases,
    run_cases,
    through_daemon,
)


@click.command()
@click.option(
    "--suite",
    required=True,
    envvar="WES_DAEMON_TEST_CWL_SUITE",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help=f"A copy of the standard's repository: the directory of its {TESTS_FILE}.",
)
@click.option("--only", help="Numbers of tests, such as 2,30-64; by default all.")
@click.option("--containers-only", is_flag=True, help="Only tests whose documents name a container.")
@click.option("--container", type=click.Choice(["none", "docker", "podman"]), default="none", show_default=True)
@click.option("--jobs", "-j", type=click.IntRange(1), default=2, show_default=True, help="Tests at a time.")
@click.option("--keep", is_flag=True, help="Keep the runs, the database and the daemon's log.")
def main(suite: Path, only: str | None, containers_only: bool, container: str, jobs: int, keep: bool) -> None:
    """Run the tests of the CWL standard, and compare the daemon's results with those of cwltool alone."""
    numbers = None if only is None else read_numbers(only)
    cases = [
        case
        for case in load_cases(suite)
        if (numbers is None or case.number in numbers) and (case.names_container or not containers_only)
    ]
    with _directory(keep) as directory:
        alone = _run("cwltool", _cwltool_alone(container, directory), cases, jobs)
        with running_daemon(directory, at_once=jobs) as settings:
            daemon = _run("daemon", through_daemon(container, settings), cases, jobs)
    click.echo(f"\n{table(alone, daemon)}")
    found = differences(alone, daemon)
    for expected, result in found:
        click.echo(f"\n{_title(result.case)}: {expected.outcome} with cwltool alone, {result.outcome} here")
        click.echo(result.error or expected.error)
    if found:
        raise click.ClickException(f"{len(found)} of {len(cases)} tests differ from cwltool alone, see above")
    click.echo(f"\nall {len(cases)} tests have the results of cwltool alone")


def read_numbers(text: str) -> Collection[int]:
    """Read `2,30-64`."""
    ranges = (part.partition("-") for part in text.split(","))
    try:
        return {number for first, dash, last in ranges for number in range(int(first), int(last or first) + 1)}
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not of the form 2,30-64.", param_hint="--only") from error


def _cwltool_alone(container: str, directory: Path) -> Runner:
    if container != "podman" or os.geteuid() != 0:
        return cwltool_alone(container, SEARCH_PATH)
    # As root cwltool cannot use Podman 4.3, because it passes --userns=keep-id; it passes no such option to Docker.
    podman = shutil.which("podman")
    if podman is None:
        raise click.ClickException("podman is not installed")
    programs = directory / "programs"
    programs.mkdir()
    (programs / "docker").symlink_to(podman)
    return cwltool_alone("docker", os.pathsep.join([str(programs), SEARCH_PATH]))


def _run(name: str, runner: Runner, cases: Sequence[Case], jobs: int) -> Sequence[Result]:
    return run_cases(runner, cases, at_once=jobs, report=_reporter(name))


def _reporter(name: str) -> Callable[[Result], None]:
    def report(result: Result) -> None:
        click.echo(f"{name} {_title(result.case)}: {result.outcome}")
        if result.outcome is Outcome.FAILED:
            click.echo(result.error)

    return report


def _title(case: Case) -> str:
    return f"{case.number} {case.name}"


@contextmanager
def _directory(keep: bool) -> Iterator[Path]:
    """Return a directory that also contains all temporary files of both runners."""
    directory = Path(tempfile.mkdtemp(prefix="wes-conformance-"))
    tempfile.tempdir = str(directory)
    try:
        yield directory
    finally:
        tempfile.tempdir = None
        if keep:
            click.echo(f"runs, database and log are in {directory}")
        else:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main(prog_name="python -m tests.conformance")
