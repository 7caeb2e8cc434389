"""The simulated services, in separate processes, so that their cost is not measured."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.apart import set_up, spawning
from benchmarks.rows import ActiveRun
from tests.integration.providers.healthomics_harness import CONFIG, start_many
from tests.integration.providers.sevenbridges_harness import APP, PROJECT, TOKEN, environment, furnish
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.sevenbridges.platform import Platform
from tests.simulators.sevenbridges.server import Authority, serving
from tests.simulators.sevenbridges.task_rules import TaskRules
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

CLOUDS = (ProviderType.SEVENBRIDGES, ProviderType.HEALTHOMICS)

# Requests that the simulators accept.
REQUESTS: Mapping[ProviderType, Mapping[str, object]] = {
    ProviderType.SEVENBRIDGES: {"workflow_url": APP, "workflow_params": {"sample": "NA12878"}},
    ProviderType.HEALTHOMICS: {
        **{"workflow_url": "omics:1234567", "workflow_type": "WDL", "workflow_type_version": "1.0"},
        "workflow_params": {"reads": "s3://reads/1.fastq.gz"},
    },
}

_ANSWERS_WITHIN = 300


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call that a simulated service received."""

    operation: str
    path: str
    params: Mapping[str, Sequence[str]]


class Cloud:
    """A simulated service.

    Attributes:
        environment: the settings of a daemon that uses it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.environment: Mapping[str, str] = self._receive()

    def add_runs(self, running: int, waiting: int) -> Sequence[ActiveRun]:
        """Add owned runs: `running` active ones, then `waiting` ones that have not started."""
        added: Sequence[ActiveRun] = self._request("add_runs", running, waiting)
        return added

    def start_waiting(self) -> None:
        """Start all waiting runs."""
        self._request("start_waiting")

    def take_calls(self) -> Sequence[RecordedCall]:
        """Return the calls since the last time, in order, and remove them."""
        found: Sequence[RecordedCall] = self._request("take_calls")
        return found

    def remove_runs(self) -> None:
        """Remove all runs."""
        self._request("remove_runs")

    def _request(self, name: str, *arguments: object) -> Any:
        self._connection.send((name, arguments))
        return self._receive()

    def _receive(self) -> Any:
        if not self._connection.poll(_ANSWERS_WITHIN):
            raise RuntimeError("the simulated service does not answer")
        return self._connection.recv()


@contextmanager
def cloud(type: ProviderType) -> Iterator[Cloud]:
    """Run a simulated service during the block."""
    here, there = spawning.Pipe()
    with TemporaryDirectory(prefix="wes-bench-") as directory:
        process = spawning.Process(target=_serve, args=(type, there, directory))
        process.start()
        there.close()
        try:
            yield Cloud(here)
        finally:
            process.kill()
            process.join()


def operations(calls: Sequence[RecordedCall]) -> Mapping[str, int]:
    """Return how often each operation was called."""
    return Counter(call.operation for call in calls)


class _SimulatedService(ABC):
    """One simulated service, inside its process."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]: ...

    @abstractmethod
    def add_runs(self, running: int, waiting: int) -> Sequence[ActiveRun]: ...

    @abstractmethod
    def start_waiting(self) -> None: ...

    @abstractmethod
    def take_calls(self) -> Sequence[RecordedCall]: ...

    @abstractmethod
    def remove_runs(self) -> None: ...


class _SevenBridges(_SimulatedService):
    def __init__(self, platform: Platform, bundle: Path, endpoint: str) -> None:
        self._platform = platform
        self._bundle = bundle
        self._endpoint = endpoint

    def environment(self) -> Mapping[str, str]:
        return environment(self._bundle, self._endpoint)

    def add_runs(self, running: int, waiting: int) -> Sequence[ActiveRun]:
        rules = TaskRules(self._platform)
        body = {"name": "wes-active", "project": PROJECT, "app": APP, "inputs": {"sample": "NA12878"}}
        answered: Any = rules.create(TOKEN, {}, body).body
        rules.run(TOKEN, {}, answered["id"])
        template = self._platform.tasks.pop(answered["id"])
        statuses = ["RUNNING"] * running + ["QUEUED"] * waiting
        ids = [self._platform.new_id("task") for _ in statuses]
        self._platform.tasks.update(
            {id: {**template, "id": id, "status": status} for id, status in zip(ids, statuses, strict=True)}
        )
        return [ActiveRun(id, _STATES[status], status) for id, status in zip(ids, statuses, strict=True)]

    def start_waiting(self) -> None:
        for id, task in self._platform.tasks.items():
            if task["status"] == "QUEUED":
                self._platform.move(id, "RUNNING")

    def take_calls(self) -> Sequence[RecordedCall]:
        made = [RecordedCall(call.operation, call.path, call.params) for call in self._platform.calls]
        self._platform.calls.clear()
        return made

    def remove_runs(self) -> None:
        self._platform.tasks.clear()


class _HealthOmics(_SimulatedService):
    def __init__(self, simulator: HealthOmicsSimulator) -> None:
        self._simulator = simulator

    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": self._simulator.url,
            "AWS_ACCESS_KEY_ID": CONFIG.access_key_id or "",
            "AWS_SECRET_ACCESS_KEY": CONFIG.secret_access_key or "",
            "AWS_REGION": CONFIG.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN": CONFIG.role_arn or "",
            "AWS_HEALTHOMICS_OUTPUT_URI": CONFIG.output_uri or "",
            "AWS_HEALTHOMICS_RATE_LIMITS": "off",
        }

    def add_runs(self, running: int, waiting: int) -> Sequence[ActiveRun]:
        ids = start_many(self._simulator, running + waiting) if running + waiting else []
        statuses = ["RUNNING"] * running + ["PENDING"] * waiting
        for id, status in zip(ids, statuses, strict=True):
            if status == "RUNNING":
                self._simulator.service.reach(id.partition("/")[0], status)
        return [ActiveRun(id, _STATES[status], status) for id, status in zip(ids, statuses, strict=True)]

    def start_waiting(self) -> None:
        service = self._simulator.service
        for started in service.started:
            if service.run(started.id).status == "PENDING":
                service.reach(started.id, "RUNNING")

    def take_calls(self) -> Sequence[RecordedCall]:
        made = [RecordedCall(call.operation, call.path, {}) for call in self._simulator.calls]
        self._simulator.calls.clear()
        return made

    def remove_runs(self) -> None:
        service = self._simulator.service
        service.started.clear()
        service._runs.clear()
        service._by_request.clear()


_STATES = {
    "RUNNING": RunState.RUNNING,
    "QUEUED": RunState.INITIALIZING,
    "PENDING": RunState.INITIALIZING,
}


def _serve(type: ProviderType, connection: Connection, directory: str) -> None:
    """Serve the requests of the parent process until this process is killed."""
    set_up(directory, {"HOME": directory})
    with _opened(type, Path(directory)) as served:
        connection.send(served.environment())
        while True:
            name, arguments = connection.recv()
            connection.send(getattr(served, name)(*arguments))


def _opened(type: ProviderType, directory: Path) -> AbstractContextManager[_SimulatedService]:
    return _sevenbridges(directory) if type == ProviderType.SEVENBRIDGES else _healthomics()


@contextmanager
def _sevenbridges(directory: Path) -> Iterator[_SimulatedService]:
    authority = Authority(directory)
    platform = furnish(Platform(_now))
    with serving(platform, authority) as endpoint:
        yield _SevenBridges(platform, authority.bundle, endpoint)


@contextmanager
def _healthomics() -> Iterator[_SimulatedService]:
    with HealthOmicsSimulator(_now) as simulator:
        yield _HealthOmics(simulator)


def _now() -> datetime:
    return datetime.now(UTC)
