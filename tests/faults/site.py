"""A place where daemons work: one database, the clouds, a fleet of daemons, and a service that queues runs."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random

from tests.faults.clouds import Cloud, serving
from tests.faults.daemons import DaemonProcess
from tests.faults.databases import CampaignDatabase, Databases
from tests.faults.fleet import Fleet
from tests.faults.traffic import MIXED, Traffic
from tests.faults.waiting import pause
from wes_daemon.domain.runs import ProviderType

_OWNED = (
    "SELECT s.run_id FROM submissions s JOIN daemons d ON d.id = s.owner"
    " WHERE d.pid = :pid AND s.state IN ('INTENT', 'PREPARED') AND d.lease_until > {now}"
)
_NOW = {"postgresql": "now()", "sqlite": "strftime('%Y-%m-%dT%H:%M:%f', 'now')"}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large and how quick a site is.

    Attributes:
        cap: DAEMON_MAX_CONCURRENT_WORKFLOWS.
        backlog: runs that have not ended, at any moment.
        pace: how long a simulated run lasts.
        lease, poll, check: the daemons' settings of these names, in seconds.
        stop: seconds that a daemon may take to stop.
    """

    daemons: int = 1
    cap: int = 10
    backlog: int = 20
    pace: timedelta = timedelta(seconds=0.3)
    lease: float = 2
    poll: float = 0.2
    check: float = 0.3
    stop: float = 10

    def slower(self, factor: float) -> "Scale":
        """The same where everything takes so many times as long."""
        return replace(
            self,
            lease=self.lease * factor,
            poll=self.poll * factor,
            check=self.check * factor,
            stop=self.stop * factor,
        )


@dataclass(frozen=True)
class Site:
    """Everything that one campaign needs."""

    directory: Path
    scale: Scale
    database: CampaignDatabase
    clouds: Sequence[Cloud]
    fleet: Fleet
    traffic: Traffic

    def tick(self) -> None:
        """A moment passes at the clouds and for the supervisor."""
        for cloud in self.clouds:
            cloud.tick()
        self.fleet.supervise()

    def go_on_for(self, seconds: float) -> None:
        """Let so much time pass, in which everything goes on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.tick()
            pause()

    def goes_on_until(self, holds: Callable[[], bool], *, within: float) -> bool:
        """Whether something comes to hold in so many seconds, in which everything goes on."""
        end = time.monotonic() + within
        while not holds():
            if time.monotonic() > end:
                return False
            self.tick()
            pause()
        return True

    def owned_by(self, process: DaemonProcess) -> Sequence[str]:
        """What a daemon that has stopped in order owns still."""
        rows = self.database.rows(_OWNED.format(now=_NOW[self.database.kind]), pid=process.pid)
        return [f"{process.log.name}: stopped and owns {row.run_id}" for row in rows]


@contextmanager
def site(
    databases: Databases,
    directory: Path,
    scale: Scale,
    random: Random,
    *,
    database: str,
    clouds: Sequence[ProviderType],
    own_server: bool = False,
    proxied: bool = False,
    fates: Sequence[str] = MIXED,
) -> Iterator[Site]:
    """A site on which nothing has happened yet; all that was started there has ended afterwards."""
    with ExitStack() as kept:
        opened = kept.enter_context(databases.open(database, directory, own_server=own_server, proxied=proxied))
        served = [kept.enter_context(serving(type, directory, scale.pace)) for type in clouds]
        fleet = Fleet(scale.daemons, _environment(directory, scale, opened, served), directory, longest_stop=scale.stop)
        kept.callback(fleet.end)
        traffic = Traffic(opened, served, random, backlog=scale.backlog, fates=fates)
        yield Site(directory, scale, opened, served, fleet, traffic)


def _environment(directory: Path, scale: Scale, database: CampaignDatabase, clouds: Sequence[Cloud]) -> dict[str, str]:
    settings = {
        "HOME": str(directory),
        "NO_PROXY": "127.0.0.1",
        "DATABASE_URI": database.uri,
        "DAEMON_DEFAULT_PROVIDER": str(clouds[0].type),
        "DAEMON_LEASE_SECONDS": str(scale.lease),
        "DAEMON_POLL_INTERVAL": str(scale.poll),
        "DAEMON_STATUS_CHECK_INTERVAL": str(scale.check),
        "DAEMON_MAX_CONCURRENT_WORKFLOWS": str(scale.cap),
        "DAEMON_WORKERS": "6",
    }
    shared = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return shared | settings | {name: value for cloud in clouds for name, value in cloud.environment().items()}
