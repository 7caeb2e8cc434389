"""What goes wrong, kind by kind; each injector does its part in small steps and counts what it has done."""

import random
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence

import psutil

from tests.faults.clouds import Weather
from tests.faults.fleet import Slot
from tests.faults.site import Site
from tests.integration.persistence.proxy import Loss
from wes_daemon.adapters.persistence.location import VERSION_TABLE

RANDOM_KILL = "SIGKILL at a random moment"

# Of a lease: long enough for another daemon to take over what the sleeping one holds.
_PAST = 1.75


class Injector(ABC):
    """One way for things to go wrong.

    Attributes:
        injected: how often each kind of fault has really happened.
        problems: what should not have followed.
        notes: what is worth knowing of a campaign, and no fault of anybody's.
    """

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.problems: list[str] = []
        self.notes: list[str] = []

    @property
    @abstractmethod
    def is_done(self) -> bool:
        """Whether it has done all that it was to do."""

    def begin(self, site: Site) -> None:
        """Before the first daemon is started."""

    @abstractmethod
    def step(self, site: Site) -> None:
        """Do what is due; called again and again until all injectors of the campaign are done."""

    def calm(self, site: Site) -> None:
        """Leave nothing behind that goes wrong later on."""


class Points(Injector):
    """Processes that strike themselves where they were told to; each slot is armed with the next of these.

    Args:
        kind: the name of this fault in the table.
        faults: what each process is told in turn; several may stand in one, separated by commas.
        patience: leases after which a process whose point is not reached is killed from outside; infinite where
            every process comes to its point in the end, however busy the machine is.
        unarmed: slots that are never armed, so that somebody is always well.
    """

    def __init__(self, kind: str, faults: Iterable[str], *, patience: float = 6, unarmed: int = 0) -> None:
        super().__init__()
        self._kind = kind
        self._waiting = deque(faults)
        self._patience = patience
        self._unarmed = unarmed
        self._armed: dict[int, float] = {}
        self._awaited = sum(len(faults.split(",")) for faults in self._waiting)
        self._given_up: list[str] = []

    @property
    def is_done(self) -> bool:
        return self.injected[self._kind] + len(self._given_up) >= self._awaited

    def begin(self, site: Site) -> None:
        site.fleet.arm = self._arm

    def step(self, site: Site) -> None:
        fired = site.fleet.fired
        self.injected[self._kind] = len(fired)
        for slot in site.fleet.alive:
            if slot.faults:
                self._outage_log(slot, fired, site.scale.lease)

    def calm(self, site: Site) -> None:
        self.injected[self._kind] = len(site.fleet.fired)
        if self._given_up:
            self.notes.append(f"not reached: {' '.join(sorted(self._given_up))}")

    def _arm(self, slot: Slot) -> str:
        return self._waiting.popleft() if self._waiting and slot.number >= self._unarmed else ""

    def _outage_log(self, slot: Slot, fired: Sequence[str], lease: float) -> None:
        process = slot.process
        if process is None or process.is_stopped:
            return
        if "stop.begun" in slot.faults and not process.told and process.has_begun and process.age > 1:
            process.send(signal.SIGTERM)
        missing = [fault for fault in slot.faults.split(",") if fault not in fired]
        if process.age > lease * self._patience * (1 + slot.faults.count(",") / 2):
            self._given_up += missing
            process.end()
            self.injected[RANDOM_KILL] += 1


class Stalls(Points):
    """Processes that stop themselves at points, and go on when their lease is long over and another has taken over."""

    def __init__(self, faults: Iterable[str], *, patience: float = 12) -> None:
        super().__init__("SIGSTOP past the lease", faults, patience=patience, unarmed=1)
        self._since: dict[int, float] = {}

    def step(self, site: Site) -> None:
        super().step(site)
        for slot in site.fleet.alive:
            if slot.faults and slot.process and slot.process.is_stopped:
                since = self._since.setdefault(slot.process.pid, time.monotonic())
                if time.monotonic() - since > site.scale.lease * _PAST:
                    self._go_on(slot)

    def calm(self, site: Site) -> None:
        super().calm(site)
        for slot in site.fleet.alive:
            self._go_on(slot)

    def _go_on(self, slot: Slot) -> None:
        if slot.process:
            slot.process.send(signal.SIGCONT)
            self._since.pop(slot.process.pid, None)


class Now(Injector):
    """Something that is done so many times, at moments that chance decides.

    Args:
        times: how often.
        every: the shortest and the longest time between two, in seconds.
    """

    def __init__(self, times: int, every: tuple[float, float], chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self._left = times
        self._every = every
        self._next = time.monotonic() + every[1]

    @property
    def is_done(self) -> bool:
        return self._left <= 0

    def step(self, site: Site) -> None:
        if self._left > 0 and time.monotonic() >= self._next and self.strike(site):
            self._left -= 1
            self._next = time.monotonic() + self.chance.uniform(*self._every)

    @abstractmethod
    def strike(self, site: Site) -> bool:
        """Do it once; whether it could be done."""


class RandomKills(Now):
    """SIGKILL to whichever daemon."""

    def strike(self, site: Site) -> bool:
        process = self.chance.choice(site.fleet.slots).process
        if process is None or process.exit_code is not None:
            return False
        process.end()
        self.injected[RANDOM_KILL] += 1
        return True


class Stops(Now):
    """SIGTERM in the middle of the work; every third time twice."""

    def strike(self, site: Site) -> bool:
        process = self.chance.choice(site.fleet.slots).process
        if process is None or process.exit_code is not None or not process.has_begun:
            return False
        process.send(signal.SIGTERM)
        if self.chance.random() < 1 / 3:
            time.sleep(self.chance.uniform(0, 0.3))
            process.send(signal.SIGTERM)
        kind = "SIGTERM twice" if process.told > 1 else "SIGTERM in a batch"
        code = process.wait(site.fleet.longest_stop)
        if code is None:
            self.problems.append(f"{process.log.name}: did not stop within {site.fleet.longest_stop} s")
            process.end()
        if code == 0:
            self.problems += site.owned_by(process)
        self.injected[kind] += 1
        return True


class Crashes(Now):
    """PostgreSQL is stopped at once, and started again a moment later."""

    def strike(self, site: Site) -> bool:
        server = site.database.server
        assert server is not None, "a campaign with crashes has a server of its own"
        server.crash()
        time.sleep(self.chance.uniform(0, 2))
        server.start()
        self.injected["PostgreSQL stopped at once"] += 1
        return True


class SwallowedCommits(Now):
    """PostgreSQL commits, and whoever asked for it never hears so: hung up on, or left waiting."""

    _KINDS: Mapping[Loss, str] = {Loss.CLOSED: "COMMIT, then cut", Loss.LEFT_WAITING: "COMMIT, then silence"}

    def strike(self, site: Site) -> bool:
        proxy = site.database.proxy
        assert proxy is not None, "a campaign that loses answers has a proxy"
        [loss] = self.chance.choices([Loss.CLOSED, Loss.LEFT_WAITING], [9, 1])
        lost = proxy.lost
        proxy.lose_commits(1, loss)
        happened = site.goes_on_until(lambda: proxy.lost > lost, within=10)
        self.injected[self._KINDS[loss]] += happened
        return happened


class FullDisks(Now):
    """No file of any daemon may grow, for a moment."""

    def strike(self, site: Site) -> bool:
        processes = [psutil.Process(slot.process.pid) for slot in site.fleet.alive if slot.process]
        limit = self.chance.randrange(8, 64) * 1024
        for process in processes:
            process.rlimit(psutil.RLIMIT_FSIZE, (limit, psutil.RLIM_INFINITY))
        site.go_on_for(self.chance.uniform(0.5, 2))
        for process in processes:
            process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        self.injected["SQLite file limit"] += 1
        return True


class WrongClocks(Injector):
    """One daemon's clock is an hour ahead, and another's an hour behind."""

    def __init__(self) -> None:
        super().__init__()
        self.injected["clock an hour off"] = 2

    @property
    def is_done(self) -> bool:
        return True

    def begin(self, site: Site) -> None:
        for slot, shift in zip(site.fleet.slots, ("3600", "-3600"), strict=False):
            slot.extras = {"WES_CLOCK_SHIFT": shift}

    def step(self, site: Site) -> None:
        """They stay as wrong as they are."""


class Storm(Injector):
    """Requests go wrong at random, at the clouds.

    Args:
        number: how many, over all clouds.
        share: of all requests.
        weights: how often each kind of the clouds' is drawn, where it is not as often as the others.
    """

    def __init__(
        self, number: int, share: float, chance: random.Random, *, weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self._number = number
        self._weather = _RandomWeather(number, share, chance, weights or {})

    @property
    def is_done(self) -> bool:
        return sum(self.injected.values()) >= self._number

    def begin(self, site: Site) -> None:
        for cloud in site.clouds:
            cloud.expose(self._weather)

    def step(self, site: Site) -> None:
        self.injected = Counter({f"cloud {kind}": number for kind, number in self._weather.blown.items()})

    def calm(self, site: Site) -> None:
        self.step(site)
        for cloud in site.clouds:
            cloud.expose(None)


class _RandomWeather(Weather):
    def __init__(self, number: int, share: float, chance: random.Random, weights: Mapping[str, float]) -> None:
        self.blown: Counter[str] = Counter()
        self._left = number
        self._share = share
        self._chance = chance
        self._weights = weights
        self._lock = threading.Lock()

    def blow(self, operation: str, kinds: Collection[str]) -> str | None:
        with self._lock:
            if self._left <= 0 or self._chance.random() > self._share:
                return None
            names = sorted(kinds)
            [kind] = self._chance.choices(names, [self._weights.get(name, 1) for name in names])
            self._left -= 1
            self.blown[kind] += 1
            return kind


class NewerSchema(Injector):
    """A newer version adds a column while daemons work; they go on, and one of this version is started no more."""

    _ADDED = "ALTER TABLE submissions ADD COLUMN of_a_newer_version TEXT"
    _REVISION = f"UPDATE {VERSION_TABLE} SET version_num = '{{}}'"

    def __init__(self) -> None:
        super().__init__()
        self._before = ""

    @property
    def is_done(self) -> bool:
        return bool(self.injected)

    def step(self, site: Site) -> None:
        if not all(slot.process and slot.process.has_begun for slot in site.fleet.slots):
            return
        [[self._before]] = site.database.rows(f"SELECT version_num FROM {VERSION_TABLE}")
        site.database.write(self._ADDED)
        site.database.write(self._REVISION.format("9999"))
        self._require_refusal(site)
        unsettled = len(site.traffic.unsettled())
        if not site.goes_on_until(lambda: len(site.traffic.unsettled()) < unsettled, within=120):
            self.problems.append("after an additive migration no run came to its end")
        self.injected["newer schema"] += 1

    def calm(self, site: Site) -> None:
        if self._before:
            site.database.write(self._REVISION.format(self._before))

    def _require_refusal(self, site: Site) -> None:
        fresh = site.fleet.launch()
        code = fresh.wait(site.fleet.longest_stop)
        if code in (None, 0) or "a newer wes-daemon has upgraded it" not in fresh.log_text():
            self.problems.append(f"on a newer schema a daemon ended with {code} and said: {fresh.log_text()}")
