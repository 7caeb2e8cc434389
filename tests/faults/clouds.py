"""The two clouds, simulated on loopback: they outlive the daemons, let runs end, and keep the ledger that judges."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from tests.fault_points import POINTS
from tests.integration.providers.healthomics_harness import CONFIG
from tests.integration.providers.sevenbridges_harness import APP, environment, furnish
from tests.simulators.healthomics import faults as healthomics_faults
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.sevenbridges import faults as sevenbridges_faults
from tests.simulators.sevenbridges.platform import Platform
from tests.simulators.sevenbridges.server import Authority
from tests.simulators.sevenbridges.server import serving as serving_platform
from wes_daemon.domain.runs import ProviderType

T = TypeVar("T")

SHORT, LONG, BAD = "short", "long", "bad"
"""What becomes of a run: it completes after a moment, it lasts until it is cancelled, or it fails."""

_LATE_SECONDS = 2.0
_HANGING_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Start:
    """A run that a cloud has started, and whose it says that it is."""

    key: str
    id: str
    at: datetime


class Weather(ABC):
    """What may befall a request."""

    @abstractmethod
    def blow(self, operation: str, kinds: Collection[str]) -> str | None:
        """The kind that befalls this request, or None."""


@dataclass
class Ledger:
    """When a cloud's runs have ended; when they were started the cloud knows itself."""

    pace: timedelta
    under_way: dict[str, Start] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)
    seen: int = 0

    def take_up(self, started: Sequence[Start]) -> None:
        """Note what was started since the last time."""
        self.under_way.update({start.id: start for start in started})
        self.seen += len(started)

    def is_over(self, start: Start, now: datetime) -> bool:
        """Whether a run has lasted long enough."""
        return now - start.at >= self.pace

    def note_end(self, id: str, now: datetime) -> None:
        """Strike a run off."""
        del self.under_way[id]
        self.ended[id] = now


class Cloud(ABC):
    """One of the services.

    Attributes:
        type: whose tag its runs bear.
        url: the workflow that its runs ask for.
        points: where a daemon passes that works for this cloud alone.
        ledger: when its runs have ended.
    """

    type: ProviderType
    url: str
    points: Collection[str] = POINTS
    kinds: Collection[str]

    def __init__(self, pace: timedelta) -> None:
        self.ledger = Ledger(pace)

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """The settings of a daemon that works with it."""

    @abstractmethod
    def started(self, *, since: int = 0) -> Sequence[Start]:
        """Every run that was ever started, in order, but for the first `since`."""

    @abstractmethod
    def tick(self) -> None:
        """Let its runs go on: some end, and what is to be stopped stops."""

    @abstractmethod
    def expose(self, weather: Weather | None) -> None:
        """Let every request suffer what the weather says; None: it clears up."""

    def drafts(self) -> Sequence[Start]:
        """What was prepared and never started, and is still there."""
        return ()


class SevenBridgesCloud(Cloud):
    """Seven Bridges: drafts first, then runs."""

    type = ProviderType.SEVENBRIDGES
    url = APP
    kinds = (
        "cut before it acts",
        "acts, then cuts",
        "acts, then 5xx",
        "acts, then hangs",
        "acts after the caller is gone",
        "acts, then garbles",
        "429",
        "5xx",
    )

    def __init__(self, pace: timedelta, platform: Platform, bundle: Path, endpoint: str) -> None:
        super().__init__(pace)
        self._platform = platform
        self._bundle = bundle
        self._endpoint = endpoint

    def environment(self) -> Mapping[str, str]:
        return environment(self._bundle, self._endpoint)

    def started(self, *, since: int = 0) -> Sequence[Start]:
        with self._platform.lock:
            return [Start(start.name, start.task, start.at) for start in self._platform.started[since:]]

    def drafts(self) -> Sequence[Start]:
        with self._platform.lock:
            tasks = list(self._platform.tasks.values())
        return [Start(task["name"], task["id"], task["_created"]) for task in tasks if task["status"] == "DRAFT"]

    def tick(self) -> None:
        with self._platform.lock:
            now = self._platform.now()
            self.ledger.take_up(self.started(since=self.ledger.seen))
            for start in list(self.ledger.under_way.values()):
                self._go_on(start, now)

    def expose(self, weather: Weather | None) -> None:
        suffered = {
            "cut before it acts": sevenbridges_faults.CUT_BEFORE,
            "acts, then cuts": sevenbridges_faults.CUT_AFTER,
            "acts, then 5xx": sevenbridges_faults.GATEWAY_TIMEOUT_AFTER,
            "acts, then hangs": sevenbridges_faults.SLOW,
            "acts after the caller is gone": sevenbridges_faults.LATE,
            "acts, then garbles": sevenbridges_faults.MALFORMED_AFTER,
            "429": sevenbridges_faults.TOO_MANY,
            "5xx": sevenbridges_faults.BAD_GATEWAY,
        }
        self._platform.faults.storm(None if weather is None else _blowing(weather, suffered))

    def _go_on(self, start: Start, now: datetime) -> None:
        task = self._platform.tasks[start.id]
        fate = task["inputs"]["sample"]
        if task["status"] == "ABORTING":
            self._platform.move(start.id, "ABORTED")
        elif fate == LONG or not self.ledger.is_over(start, now):
            if task["status"] == "QUEUED":
                self._platform.move(start.id, "RUNNING")
            return
        elif fate == BAD:
            self._platform.fail(start.id)
        else:
            self._platform.complete(start.id)
        self.ledger.note_end(start.id, now)


class HealthOmicsCloud(Cloud):
    """HealthOmics: a run is started by one call that bears a token.

    Attributes:
        simulator, service: the simulated service, on the wire and by itself.
    """

    type = ProviderType.HEALTHOMICS
    url = "omics:1234567"
    points = tuple(point for point in POINTS if not point.startswith(("prepared.", "start.", "janitor.")))
    kinds = SevenBridgesCloud.kinds

    def __init__(self, pace: timedelta, simulator: HealthOmicsSimulator) -> None:
        super().__init__(pace)
        self.simulator = simulator
        self.service = simulator.service

    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL_OMICS": self.simulator.url,
            "AWS_ENDPOINT_URL_S3": self.simulator.url,
            "AWS_ACCESS_KEY_ID": CONFIG.access_key_id or "",
            "AWS_SECRET_ACCESS_KEY": CONFIG.secret_access_key or "",
            "AWS_REGION": CONFIG.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN": CONFIG.role_arn or "",
            "AWS_HEALTHOMICS_OUTPUT_URI": CONFIG.output_uri or "",
            "AWS_HEALTHOMICS_RATE_LIMITS": "off",
        }

    def started(self, *, since: int = 0) -> Sequence[Start]:
        with self.service.lock:
            runs = [(entry, self.service.run(entry.id)) for entry in self.service.started[since:]]
            return [Start(entry.request_id, f"{entry.id}/{entry.uuid}", run.created) for entry, run in runs]

    def tick(self) -> None:
        with self.service.lock:
            now = self.service.now()
            self.ledger.take_up(self.started(since=self.ledger.seen))
            for start in list(self.ledger.under_way.values()):
                self._go_on(start, now)

    def expose(self, weather: Weather | None) -> None:
        suffered = {
            "cut before it acts": healthomics_faults.cut(after_acting=False),
            "acts, then cuts": healthomics_faults.cut(after_acting=True),
            "acts, then 5xx": healthomics_faults.internal(after_acting=True),
            "acts, then hangs": healthomics_faults.hang(_HANGING_SECONDS, after_acting=True),
            "acts after the caller is gone": healthomics_faults.late(_LATE_SECONDS),
            "acts, then garbles": healthomics_faults.garbled(),
            "429": healthomics_faults.throttled(),
            "5xx": healthomics_faults.bad_gateway(),
        }
        self.simulator.faults.weather = _blowing(weather, suffered) if weather else lambda _: None

    def calls_for(self, key: str) -> Sequence[datetime]:
        """When somebody has asked for the runs of this key, which is the first that each submission does."""
        return [call.at for call in list(self.simulator.calls) if key in call.path]

    def _go_on(self, start: Start, now: datetime) -> None:
        id = start.id.partition("/")[0]
        run = self.service.run(id)
        fate = run.request["parameters"]["sample"]
        if run.status == "STOPPING":
            self.service.reach(id, "CANCELLED")
        elif fate == LONG or not self.ledger.is_over(start, now):
            if run.status == "PENDING":
                self.service.reach(id, "RUNNING")
            return
        elif fate == BAD:
            self.service.reach(id, "FAILED", failure="RUN_TASK_FAILED")
        else:
            self.service.reach(id, "COMPLETED")
        self.ledger.note_end(start.id, now)


@contextmanager
def sevenbridges(directory: Path, pace: timedelta) -> Iterator[SevenBridgesCloud]:
    """A platform of its own."""
    authority = Authority(directory)
    platform = furnish(Platform(_now))
    with serving_platform(platform, authority, slowness=_HANGING_SECONDS, lateness=_LATE_SECONDS) as endpoint:
        yield SevenBridgesCloud(pace, platform, authority.bundle, endpoint)


@contextmanager
def healthomics(pace: timedelta) -> Iterator[HealthOmicsCloud]:
    """A service of its own."""
    with HealthOmicsSimulator(_now) as simulator:
        yield HealthOmicsCloud(pace, simulator)


def serving(type: ProviderType, directory: Path, pace: timedelta) -> AbstractContextManager[Cloud]:
    """The cloud of this type, for as long as it is needed."""
    return sevenbridges(directory, pace) if type == ProviderType.SEVENBRIDGES else healthomics(pace)


def _blowing(weather: Weather, suffered: Mapping[str, T]) -> Callable[[str], T | None]:
    def blow(operation: str) -> T | None:
        kind = weather.blow(operation, suffered.keys())
        return None if kind is None else suffered[kind]

    return blow


def _now() -> datetime:
    return datetime.now(UTC)
