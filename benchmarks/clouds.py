"""The simulated services in a process of their own, so that their cost is not ours."""

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
from benchmarks.rows import Held
from tests.integration.providers.healthomics_harness import CONFIG, start_many
from tests.integration.providers.sevenbridges_harness import APP, PROJECT, TOKEN, environment, furnish
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.sevenbridges.platform import Platform
from tests.simulators.sevenbridges.server import Authority, serving
from tests.simulators.sevenbridges.task_rules import TaskRules
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

CLOUDS = (ProviderType.SEVENBRIDGES, ProviderType.HEALTHOMICS)

# What an unmarked test's run asks for, so that the services take it.
REQUESTS: Mapping[ProviderType, Mapping[str, object]] = {
    ProviderType.SEVENBRIDGES: {"workflow_url": APP, "workflow_params": {"sample": "NA12878"}},
    ProviderType.HEALTHOMICS: {
        **{"workflow_url": "omics:1234567", "workflow_type": "WDL", "workflow_type_version": "1.0"},
        "workflow_params": {"reads": "s3://reads/1.fastq.gz"},
    },
}

_ANSWERS_WITHIN = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that a service was asked for."""

    operation: str
    path: str
    params: Mapping[str, Sequence[str]]


class Cloud:
    """A simulated service.

    Attributes:
        environment: the settings of a daemon that works with it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.environment: Mapping[str, str] = self._hear()

    def hold(self, running: int, waiting: int) -> Sequence[Held]:
        """Let runs be there that run, and then others that wait to run; they all belong to us."""
        found: Sequence[Held] = self._order("hold", running, waiting)
        return found

    def go_on(self) -> None:
        """Let everything run that waits."""
        self._order("go_on")

    def calls(self) -> Sequence[Asked]:
        """What was asked for since the last time that this was asked, in order."""
        found: Sequence[Asked] = self._order("calls")
        return found

    def forget(self) -> None:
        """Let there be no runs any more."""
        self._order("forget")

    def _order(self, name: str, *arguments: object) -> Any:
        self._connection.send((name, arguments))
        return self._hear()

    def _hear(self) -> Any:
        if not self._connection.poll(_ANSWERS_WITHIN):
            raise RuntimeError("the simulated service does not answer")
        return self._connection.recv()


@contextmanager
def cloud(type: ProviderType) -> Iterator[Cloud]:
    """A service that is there as long as the block lasts."""
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


def operations(calls: Sequence[Asked]) -> Mapping[str, int]:
    """How often each was asked for."""
    return Counter(call.operation for call in calls)


class _Served(ABC):
    """One service, inside its process."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]: ...

    @abstractmethod
    def hold(self, running: int, waiting: int) -> Sequence[Held]: ...

    @abstractmethod
    def go_on(self) -> None: ...

    @abstractmethod
    def calls(self) -> Sequence[Asked]: ...

    @abstractmethod
    def forget(self) -> None: ...


class _SevenBridges(_Served):
    def __init__(self, platform: Platform, bundle: Path, endpoint: str) -> None:
        self._platform = platform
        self._bundle = bundle
        self._endpoint = endpoint

    def environment(self) -> Mapping[str, str]:
        return environment(self._bundle, self._endpoint)

    def hold(self, running: int, waiting: int) -> Sequence[Held]:
        rules = TaskRules(self._platform)
        body = {"name": "wes-active", "project": PROJECT, "app": APP, "inputs": {"sample": "NA12878"}}
        answered: Any = rules.create(TOKEN, {}, body).body
        rules.run(TOKEN, {}, answered["id"])
        template = self._platform.tasks.pop(answered["id"])
        words = ["RUNNING"] * running + ["QUEUED"] * waiting
        ids = [self._platform.new_id("task") for _ in words]
        self._platform.tasks.update(
            {id: {**template, "id": id, "status": word} for id, word in zip(ids, words, strict=True)}
        )
        return [Held(id, _STATES[word], word) for id, word in zip(ids, words, strict=True)]

    def go_on(self) -> None:
        for id, task in self._platform.tasks.items():
            if task["status"] == "QUEUED":
                self._platform.move(id, "RUNNING")

    def calls(self) -> Sequence[Asked]:
        made = [Asked(call.operation, call.path, call.params) for call in self._platform.calls]
        self._platform.calls.clear()
        return made

    def forget(self) -> None:
        self._platform.tasks.clear()


class _HealthOmics(_Served):
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

    def hold(self, running: int, waiting: int) -> Sequence[Held]:
        ids = start_many(self._simulator, running + waiting) if running + waiting else []
        words = ["RUNNING"] * running + ["PENDING"] * waiting
        for id, word in zip(ids, words, strict=True):
            if word == "RUNNING":
                self._simulator.service.reach(id.partition("/")[0], word)
        return [Held(id, _STATES[word], word) for id, word in zip(ids, words, strict=True)]

    def go_on(self) -> None:
        service = self._simulator.service
        for started in service.started:
            if service.run(started.id).status == "PENDING":
                service.reach(started.id, "RUNNING")

    def calls(self) -> Sequence[Asked]:
        made = [Asked(call.operation, call.path, {}) for call in self._simulator.calls]
        self._simulator.calls.clear()
        return made

    def forget(self) -> None:
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
    """Be the service until this process is ended."""
    set_up(directory, {"HOME": directory})
    with _opened(type, Path(directory)) as served:
        connection.send(served.environment())
        while True:
            name, arguments = connection.recv()
            connection.send(getattr(served, name)(*arguments))


def _opened(type: ProviderType, directory: Path) -> AbstractContextManager[_Served]:
    return _sevenbridges(directory) if type is ProviderType.SEVENBRIDGES else _healthomics()


@contextmanager
def _sevenbridges(directory: Path) -> Iterator[_Served]:
    authority = Authority(directory)
    platform = furnish(Platform(_now))
    with serving(platform, authority) as endpoint:
        yield _SevenBridges(platform, authority.bundle, endpoint)


@contextmanager
def _healthomics() -> Iterator[_Served]:
    with HealthOmicsSimulator(_now) as simulator:
        yield _HealthOmics(simulator)


def _now() -> datetime:
    return datetime.now(UTC)
