"""One campaign: daemons work, things go wrong, everything calms down, and a judge looks at what is left."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.databases import Databases
from tests.faults.injectors import Injector
from tests.faults.judge import Verdict, judge
from tests.faults.site import Scale, Site, site
from tests.faults.waiting import pause
from wes_daemon.domain.runs import ProviderType


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What goes wrong where.

    Attributes:
        name: unique, and the same every time: with the seed it says what happens.
        injectors: made anew for each time, from the chance of that time.
        striking, settling: seconds after which whatever is not done is given up.
    """

    name: str
    injectors: Callable[[Random], Sequence[Injector]]
    database: str
    clouds: Sequence[ProviderType]
    scale: Scale = field(default_factory=Scale)
    own_server: bool = False
    proxied: bool = False
    bugs_are_injected: bool = False
    striking: float = 120
    settling: float = 150

    def slower(self, factor: float) -> "Campaign":
        """The same for a machine that has much else to do."""
        return replace(
            self, scale=self.scale.slower(factor), striking=self.striking * factor, settling=self.settling * factor
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a campaign.

    Attributes:
        injected: faults by kind.
        seconds: how long it took.
    """

    name: str
    seed: int
    injected: Mapping[str, int]
    verdict: Verdict
    notes: Sequence[str]
    seconds: float

    def as_json(self) -> Mapping[str, Any]:
        """As it is handed from process to process."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Outcome":
        """As it was handed over."""
        return cls(**{**values, "verdict": Verdict(**values["verdict"])})


def carry_out(campaign: Campaign, databases: Databases, directory: Path, seed: int) -> Outcome:
    """Carry a campaign out, in a directory of its own."""
    began = time.monotonic()
    chance = Random(f"{seed} {campaign.name}")
    injectors = campaign.injectors(chance)
    with site(
        databases,
        directory,
        campaign.scale,
        chance,
        database=campaign.database,
        clouds=campaign.clouds,
        own_server=campaign.own_server,
        proxied=campaign.proxied,
    ) as here:
        _strike(here, injectors, campaign.striking)
        _settle(here, campaign.settling)
        unfinished = _stop(here)
        verdict = judge(here, bugs_are_injected=campaign.bugs_are_injected)
    problems = [*verdict.problems, *unfinished, *here.fleet.problems, *_of_all(injectors, "problems")]
    return Outcome(
        name=campaign.name,
        seed=seed,
        injected=dict(sum((injector.injected for injector in injectors), Counter())),
        verdict=Verdict(**{**asdict(verdict), "problems": problems}),
        notes=_of_all(injectors, "notes"),
        seconds=round(time.monotonic() - began, 1),
    )


def _strike(here: Site, injectors: Sequence[Injector], seconds: float) -> None:
    for injector in injectors:
        injector.begin(here)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not all(injector.is_done for injector in injectors):
        here.traffic.step()
        here.tick()
        for injector in injectors:
            injector.step(here)
        pause()
    for injector in injectors:
        injector.calm(here)
    here.fleet.disarm()


def _settle(here: Site, seconds: float) -> None:
    """Wait until every run has ended, or needs a person."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and here.traffic.unsettled():
        here.traffic.wind_down()
        here.tick()
        pause()


def _stop(here: Site) -> Sequence[str]:
    stopped = here.fleet.stop()
    return [problem for process in stopped for problem in here.owned_by(process)]


def _of_all(injectors: Sequence[Injector], name: str) -> list[str]:
    return [text for injector in injectors for text in getattr(injector, name)]
