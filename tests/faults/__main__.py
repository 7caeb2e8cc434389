"""`python -m tests.faults`: everything that may go wrong, with real processes, and a table of what came of it."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import rmtree
from statistics import median
from tempfile import mkdtemp

import click

from tests.faults.campaign import Outcome
from tests.faults.catalogue import campaigns
from tests.faults.judge import shown
from tests.faults.replicas import share
from tests.faults.table import story, table
from tests.faults.takeover import measure
from tests.faults.workers import carried_out, work

_ALLOWED_BESIDES_LEASE = 10
_FAULTS = 1_000


@click.group(invoke_without_command=True)
@click.option("--seed", type=int, help="What chance begins with; printed, and drawn where it is not given.")
@click.option("--only", multiple=True, help="Part of a campaign's name, such as kill or sqlite; several are allowed.")
@click.option("--faults", type=int, help="Go on with the next seed until so many are injected; 1000 without --only.")
@click.option("--jobs", type=int, default=3, show_default=True, help="Campaigns at a time.")
@click.option("--slower", type=float, default=1, help="Leases and bounds so many times as long: for a busy machine.")
@click.option("--keep", is_flag=True, help="Keep databases and logs, also where nothing is wrong.")
@click.pass_context
def cli(
    ctx: click.Context,
    /,
    seed: int | None,
    only: Sequence[str],
    faults: int | None,
    jobs: int,
    slower: float,
    keep: bool,
) -> None:
    """Let everything go wrong, and count what was lost and what was started twice."""
    if ctx.invoked_subcommand is not None:
        return
    seed = int(time.time()) % 100_000 if seed is None else seed
    names = [name for name in campaigns() if not only or any(part in name for part in only)]
    click.echo(f"seed {seed}, {len(names)} campaigns, {jobs} at a time")
    outcomes: list[Outcome] = []
    with _directory(keep) as directory:
        for following in count(seed):
            orders = [(name, following) for name in names]
            for outcome in carried_out(orders, at_once=jobs, directory=directory / str(following), slower=slower):
                click.echo(story(outcome))
                outcomes.append(outcome)
            if _injected(outcomes) >= (_FAULTS if faults is None and not only else faults or 0):
                break
        click.echo(f"\nseed {seed}\n{table(outcomes)}")
        if not all(outcome.verdict.is_good for outcome in outcomes):
            raise _Wrong("something did not hold, see above")


@cli.command("list")
def list_campaigns() -> None:
    """Name all campaigns."""
    click.echo("\n".join(campaigns()))


@cli.command(hidden=True, name="work")
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("slower", type=float)
def work_on_orders(directory: Path, slower: float) -> None:
    """Carry out what standard input names."""
    work(sys.stdin, sys.stdout, directory, slower)


@cli.command()
@click.option("--trials", type=int, default=50)
@click.option("--lease", "leases", type=float, multiple=True, default=(2, 5), help="Seconds; several are allowed.")
def takeover(trials: int, leases: Sequence[float]) -> None:
    """Measure how long what a killed daemon had claimed waits for another one."""
    for lease in leases:
        with _directory() as directory:
            seconds, verdict = measure(trials, lease, directory)
            click.echo(
                f"lease {lease:g} s: {trials} kills, median {median(seconds):.2f} s, worst {max(seconds):.2f} s,"
                f" runs {verdict.runs}, lost {len(verdict.lost)}, twice {len(verdict.twice)}{shown(verdict.problems)}"
            )
            if max(seconds) > lease + _ALLOWED_BESIDES_LEASE or not verdict.is_good:
                raise _Wrong(f"more than the lease and {_ALLOWED_BESIDES_LEASE} s, or something else did not hold")


@cli.command()
@click.option("--runs", type=int, default=2000)
@click.option("--daemons", type=int, default=5)
@click.option("--cap", type=int, default=100)
def replicas(runs: int, daemons: int, cap: int) -> None:
    """Let several daemons share many runs on PostgreSQL."""
    with _directory() as directory:
        shared = share(runs, daemons, cap, directory)
        verdict = shared.verdict
        click.echo(f"{verdict.runs} runs in {shared.seconds:.0f} s, cap {cap}, started {verdict.starts}")
        for pid, number in sorted(shared.shares.items()):
            click.echo(f"  process {pid}: {number} runs")
        click.echo(f"lost {len(verdict.lost)}, twice {len(verdict.twice)}{shown(verdict.problems)}")
        if not verdict.is_good or not all(shared.shares.values()):
            raise _Wrong("not every daemon had a share, or something else did not hold")


class _Wrong(click.ClickException):
    """Something did not hold."""


def _injected(outcomes: Sequence[Outcome]) -> int:
    return sum(sum(outcome.injected.values()) for outcome in outcomes)


@contextmanager
def _directory(keep: bool = False) -> Iterator[Path]:
    """A folder for databases and logs, which stays where something is wrong."""
    directory = Path(mkdtemp(prefix="wes-faults-"))
    try:
        yield directory
    except BaseException:
        click.echo(f"databases and logs are in {directory}", err=True)
        raise
    if keep:
        click.echo(f"databases and logs are in {directory}")
    else:
        rmtree(directory)


if __name__ == "__main__":
    cli(prog_name="python -m tests.faults")
