"""All campaigns, by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from random import Random

from tests.faults.campaign import Campaign
from tests.faults.clouds import Cloud, HealthOmicsCloud, SevenBridgesCloud
from tests.faults.databases import POSTGRESQL, SQLITE
from tests.faults.injectors import (
    Crashes,
    FullDisks,
    Injector,
    NewerSchema,
    Points,
    RandomKills,
    Stalls,
    Stops,
    Storm,
    SwallowedCommits,
    WrongClocks,
)
from tests.faults.site import Scale

DATABASES = (SQLITE, POSTGRESQL)
CLOUDS: Sequence[type[Cloud]] = (SevenBridgesCloud, HealthOmicsCloud)
BOTH = tuple(cloud.type for cloud in CLOUDS)

# A process is told to stop before it reaches this one; where nothing is to be removed, nobody reaches the other.
_ON_REQUEST = ("stop.begun", "janitor.before_removal")


def campaigns() -> Mapping[str, Campaign]:
    """All of them, the longest first, so that several at a time end at about the same moment."""
    made = [*_storms(), *_kills(), *_raises(), *_stalls(), *_random_kills(), *_outages(), *_others()]
    return {campaign.name: campaign for campaign in made}


def points_of(cloud: type[Cloud]) -> Sequence[str]:
    """The points that a daemon passes again and again when it works for this cloud."""
    return [point for point in cloud.points if point not in _ON_REQUEST]


def _scale(database: str, daemons: int) -> Scale:
    """Several daemons on one SQLite file look less often: every look of each takes the only lock for writing."""
    scale = Scale(daemons=daemons)
    return replace(scale, poll=0.5, check=0.5) if database == SQLITE and daemons > 1 else scale


def _kills() -> Iterator[Campaign]:
    for cloud, database, daemons in product(CLOUDS, DATABASES, (1, 3)):
        yield Campaign(
            name=f"kill-{cloud.type}-{database}-{daemons}",
            injectors=_killing([*points_of(cloud), "stop.begun"]),
            database=database,
            clouds=[cloud.type],
            scale=_scale(database, daemons),
            striking=240,
        )


def _killing(points: Sequence[str]) -> Callable[[Random], Sequence[Injector]]:
    def injectors(chance: Random) -> Sequence[Injector]:
        faults = [f"{point}:kill:{nth}" for point in points for nth in (1, chance.randint(2, 4))]
        # A process is told to stop once.
        faults = [fault for fault in faults if not fault.startswith("stop.begun") or fault.endswith(":1")]
        return [Points("SIGKILL at a point", faults)]

    return injectors


def _random_kills() -> Iterator[Campaign]:
    for database, daemons in product(DATABASES, (1, 3)):
        yield Campaign(
            name=f"random-kills-{database}-{daemons}",
            injectors=lambda chance: [RandomKills(25, (0.3, 2.5), chance)],
            database=database,
            clouds=BOTH,
            scale=_scale(database, daemons),
        )


def _stalls() -> Iterator[Campaign]:
    for cloud, database in product(CLOUDS, DATABASES):
        yield Campaign(
            name=f"stall-{cloud.type}-{database}",
            injectors=_stalling(points_of(cloud)),
            database=database,
            clouds=[cloud.type],
            scale=_scale(database, 3),
            striking=180,
        )


def _stalling(points: Sequence[str]) -> Callable[[Random], Sequence[Injector]]:
    def injectors(chance: Random) -> Sequence[Injector]:
        faults = [f"{point}:stop:{chance.randint(1, 3)}" for point in points]
        return [Stalls([",".join(faults[::2]), ",".join(faults[1::2])])]

    return injectors


def _raises() -> Iterator[Campaign]:
    for cloud, database in product(CLOUDS, DATABASES):
        yield Campaign(
            name=f"raise-{cloud.type}-{database}",
            injectors=_raising(points_of(cloud)),
            database=database,
            clouds=[cloud.type],
            scale=_scale(database, 2),
            bugs_are_injected=True,
        )


def _raising(points: Sequence[str]) -> Callable[[Random], Sequence[Injector]]:
    def injectors(chance: Random) -> Sequence[Injector]:
        faults = [f"{point}:raise:{nth}" for point in points for nth in chance.sample(range(1, 8), 2)]
        chance.shuffle(faults)
        return [Points("bug at a point", [",".join(faults[::2]), ",".join(faults[1::2])], patience=8)]

    return injectors


def _storms() -> Iterator[Campaign]:
    for cloud, database in product(CLOUDS, DATABASES):
        yield Campaign(
            name=f"storm-{cloud.type}-{database}",
            injectors=lambda chance: [Storm(100, 0.15, chance)],
            database=database,
            clouds=[cloud.type],
            scale=_scale(database, 2),
            settling=300,
        )
    for database in DATABASES:
        yield Campaign(
            name=f"storm-and-kills-{database}",
            injectors=lambda chance: [
                Storm(60, 0.1, chance, weights={"acts after the caller is gone": 8}),
                RandomKills(15, (0.5, 3), chance),
            ],
            database=database,
            clouds=BOTH,
            scale=_scale(database, 3),
            settling=300,
        )


def _outages() -> Iterator[Campaign]:
    yield Campaign(
        name="crashes",
        injectors=lambda chance: [Crashes(10, (2, 6), chance)],
        database=POSTGRESQL,
        clouds=BOTH,
        scale=Scale(daemons=3),
        own_server=True,
    )
    yield Campaign(
        name="crashes-and-kills",
        injectors=lambda chance: [Crashes(6, (3, 6), chance), RandomKills(12, (1, 4), chance)],
        database=POSTGRESQL,
        clouds=BOTH,
        scale=Scale(daemons=3),
        own_server=True,
    )
    yield Campaign(
        name="swallowed-commits",
        injectors=lambda chance: [SwallowedCommits(30, (0.1, 1), chance)],
        database=POSTGRESQL,
        clouds=BOTH,
        scale=Scale(daemons=3),
        proxied=True,
        settling=240,
    )
    yield Campaign(
        name="full-disk",
        injectors=lambda chance: [FullDisks(8, (1, 3), chance)],
        database=SQLITE,
        clouds=BOTH,
        scale=Scale(daemons=2),
    )


def _others() -> Iterator[Campaign]:
    yield Campaign(
        name="five-replicas",
        injectors=lambda chance: [Storm(40, 0.05, chance), RandomKills(15, (0.5, 2), chance)],
        database=POSTGRESQL,
        clouds=BOTH,
        scale=Scale(daemons=5, cap=20, backlog=40),
        settling=300,
    )
    for database in DATABASES:
        yield Campaign(
            name=f"stops-{database}",
            injectors=lambda chance: [Stops(15, (0.5, 2), chance)],
            database=database,
            clouds=BOTH,
            scale=_scale(database, 2),
        )
        yield Campaign(
            name=f"clocks-{database}",
            injectors=lambda chance: [WrongClocks(), RandomKills(6, (1, 3), chance)],
            database=database,
            clouds=BOTH,
            scale=_scale(database, 3),
        )
        yield Campaign(
            name=f"newer-schema-{database}",
            injectors=lambda _: [NewerSchema()],
            database=database,
            clouds=BOTH,
            scale=_scale(database, 2),
        )
