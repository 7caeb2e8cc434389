"""Five daemons on one PostgreSQL share many runs."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from tests.faults.clouds import SHORT, HealthOmicsCloud
from tests.faults.databases import POSTGRESQL, Databases
from tests.faults.judge import Verdict, judge
from tests.faults.site import Scale, Site, site

_BOUND_SECONDS = 1500
_ACCEPTED = (
    "SELECT d.pid FROM run_events e JOIN daemons d ON d.id = e.by"
    " WHERE e.from_state = 'QUEUED' AND e.to_state IN ('INITIALIZING', 'RUNNING')"
)


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How many runs each process has handed over, how long all took, and what the judge says."""

    shares: Mapping[int, int]
    seconds: float
    verdict: Verdict


def share(runs: int, daemons: int, cap: int, directory: Path) -> Sharing:
    """Queue all runs at once, and let the daemons work until all have ended."""
    # Fewer looks than elsewhere: what is measured is how runs are shared, on two cores for everything.
    scale = Scale(daemons=daemons, cap=cap, pace=timedelta(seconds=1), lease=10, poll=0.5, check=2)
    clouds = [HealthOmicsCloud.type]
    with (
        Databases(directory) as databases,
        site(databases, directory, scale, Random(runs), database=POSTGRESQL, clouds=clouds, fates=[SHORT]) as here,
    ):
        return _shared(here, runs)


def _shared(here: Site, runs: int) -> Sharing:
    here.fleet.supervise()
    here.go_on_for(3)
    here.traffic.queue(runs)
    began = time.monotonic()
    while here.traffic.unsettled() and time.monotonic() - began < _BOUND_SECONDS:
        here.go_on_for(0.5)
    seconds = time.monotonic() - began
    here.fleet.stop()
    shares = Counter({slot.process.pid: 0 for slot in here.fleet.slots if slot.process})
    shares.update(row.pid for row in here.database.rows(_ACCEPTED))
    return Sharing(shares=dict(shares), seconds=seconds, verdict=judge(here))
