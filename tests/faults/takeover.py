"""How long it takes until another daemon goes on with what a killed one had claimed."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from tests.faults.clouds import SHORT, HealthOmicsCloud
from tests.faults.databases import POSTGRESQL, Databases
from tests.faults.judge import Verdict, judge
from tests.faults.site import Scale, Site, site

_STRIKE = "claim.after_commit:kill:1"
_BOUND_SECONDS = 60
_OWNED = "SELECT s.run_id FROM submissions s JOIN daemons d ON d.id = s.owner WHERE d.pid = :pid AND s.state = 'INTENT'"


def measure(trials: int, lease: float, directory: Path) -> tuple[Sequence[float], Verdict]:
    """Seconds from each kill to the survivor's first call for a run of the dead one, and what the judge says."""
    scale = Scale(daemons=1, lease=lease)
    chance = Random(trials)
    clouds = [HealthOmicsCloud.type]
    with (
        Databases(directory) as databases,
        site(databases, directory, scale, chance, database=POSTGRESQL, clouds=clouds, fates=[SHORT]) as here,
    ):
        here.fleet.supervise()
        seconds = [_trial(here) for _ in range(trials)]
        here.fleet.stop()
        return seconds, judge(here)


def _trial(here: Site) -> float:
    orphans, killed_at = _kill_one_with_claims(here)
    [cloud] = here.clouds
    assert isinstance(cloud, HealthOmicsCloud)

    def answers() -> list[datetime]:
        return [at for id in orphans for at in cloud.calls_for(id) if at > killed_at]

    _until(lambda: bool(answers()), here)
    taken_over_at = min(answers())
    _until(lambda: not here.traffic.unsettled(), here)
    return (taken_over_at - killed_at).total_seconds()


def _kill_one_with_claims(here: Site) -> tuple[Sequence[str], datetime]:
    """Start a daemon that dies as soon as it has claimed something; the other one may claim first, so try again."""
    victim = here.fleet.launch(faults=_STRIKE)
    _until(lambda: victim.has_begun, here)
    while victim.exit_code is None:
        here.traffic.queue(3)
        _until(lambda: victim.exit_code is not None or not here.traffic.unsettled(), here)
    orphans = [row.run_id for row in here.database.rows(_OWNED, pid=victim.pid)]
    return orphans, datetime.fromtimestamp(here.fleet.last_fired, UTC)


def _until(holds: Callable[[], bool], here: Site) -> None:
    if not here.goes_on_until(holds, within=_BOUND_SECONDS):
        raise AssertionError(f"not within {_BOUND_SECONDS} s: {here.fleet.processes[-1].log_text()}")
