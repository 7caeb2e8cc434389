"""The former daemon: rows as it writes them, and provider runs as it creates them, at both simulated clouds."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import Engine

from tests.contracts.persistence_harness import ServiceRow
from tests.integration.persistence.harness import SqlHarness
from tests.integration.providers.healthomics_harness import CONFIG
from tests.integration.providers.sevenbridges_fixtures import draft
from tests.integration.providers.sevenbridges_harness import APP, SevenBridgesHarness
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon.domain.runs import ProviderType

DRAFT, WAITING, RUNNING, COMPLETE, FAILED = "draft", "waiting", "running", "complete", "failed"
"""How far a provider run has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One row that the former daemon has left, and the provider runs that it has created for it.

    Attributes:
        runs: how far each has come, the oldest first.
        is_recorded: whether the row's tags hold the id of the oldest: they do if the user had set no tags.
    """

    kind: str
    state: str
    runs: Sequence[str] = ()
    is_recorded: bool = False


class FormerCloud(ABC):
    """A cloud, as the former daemon used it."""

    type: ProviderType
    url: str
    user_tags: ClassVar[Mapping[str, object]]

    @abstractmethod
    def create(self, run_id: str, progress: str) -> str:
        """Create a provider run as the former daemon did, and let it come so far; return its id."""

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The names of all provider runs that were ever started, in order."""

    @abstractmethod
    def status(self, id: str) -> str:
        """The cloud's own status of a run."""

    @abstractmethod
    def tick(self) -> None:
        """What is to be stopped stops, and what the new daemon has started completes."""

    @abstractmethod
    def now(self) -> datetime:
        """The time on the cloud's clock."""


class FormerSevenBridges(FormerCloud):
    """Tasks that were created and run in two steps, without recording the draft."""

    type = ProviderType.SEVENBRIDGES
    url = APP
    user_tags: ClassVar[Mapping[str, object]] = {"project": "genomes"}

    def __init__(self, harness: SevenBridgesHarness, api: Any) -> None:
        self._harness = harness
        self._platform = harness.platform
        self._api = api

    def create(self, run_id: str, progress: str) -> str:
        task = draft(self._api, name=f"WES-{run_id}", description=f"Workflow run {run_id}")
        id = str(task.id)
        if progress != DRAFT:
            task.run()
        if progress in (RUNNING, COMPLETE, FAILED):
            self._platform.move(id, "RUNNING")
        if progress == COMPLETE:
            self._platform.complete(id)
        if progress == FAILED:
            self._platform.fail(id)
        return id

    def names(self) -> Sequence[str]:
        return [start.name for start in self._platform.started]

    def status(self, id: str) -> str:
        return str(self._platform.tasks[id]["status"])

    def tick(self) -> None:
        for id, task in list(self._platform.tasks.items()):
            if task["status"] == "ABORTING":
                self._platform.move(id, "ABORTED")
            elif task["name"].startswith("wes-") and task["status"] in ("QUEUED", "RUNNING"):
                self._platform.complete(id)

    def now(self) -> datetime:
        return self._harness.clock.now()


class FormerHealthOmics(FormerCloud):
    """Runs that were started in one step, each under a random request id."""

    type = ProviderType.HEALTHOMICS
    url = "1234567"
    user_tags: ClassVar[Mapping[str, object]] = {"provider_type": "healthomics"}

    def __init__(self, simulator: HealthOmicsSimulator) -> None:
        self._service = simulator.service

    def create(self, run_id: str, progress: str) -> str:
        request = {
            "workflowId": self.url,
            "name": f"WES-{run_id}",
            "parameters": {"sample": "NA12878"},
            "tags": {"WES-RunId": run_id},
            "roleArn": CONFIG.role_arn,
            "outputUri": f"{CONFIG.output_uri}/{run_id}",
            "requestId": str(uuid4()),
        }
        answer = self._service.operate("StartRun", request)
        assert answer is not None
        id = str(answer["id"])
        statuses = {RUNNING: "RUNNING", COMPLETE: "COMPLETED", FAILED: "FAILED"}
        if progress in statuses:
            self._service.reach(id, statuses[progress])
        return id

    def names(self) -> Sequence[str]:
        return [str(self._service.run(entry.id).request["name"]) for entry in self._service.started]

    def status(self, id: str) -> str:
        return self._service.run(id).status

    def tick(self) -> None:
        for entry in self._service.started:
            run = self._service.run(entry.id)
            if run.status == "STOPPING":
                self._service.reach(entry.id, "CANCELLED")
            elif run.request["name"].startswith("wes-") and not run.has_ended:
                self._service.reach(entry.id, "COMPLETED")

    def now(self) -> datetime:
        return self._service.now()


class FormerDaemon:
    """Leaves rows in a database, and provider runs at one cloud.

    Attributes:
        ids: the provider runs of each row, the oldest first.
    """

    def __init__(self, engine: Engine, cloud: FormerCloud) -> None:
        self.cloud = cloud
        self.ids: dict[str, Sequence[str]] = {}
        self._store = SqlHarness(engine)

    def leave(self, left: Left) -> str:
        """Leave a row and its provider runs; return the run's id."""
        run_id = f"{self.cloud.type[:2]}-{left.kind.replace(' ', '-')}"[:36]
        ids = [self.cloud.create(run_id, progress) for progress in left.runs]
        tags = dict(self.cloud.user_tags)
        if left.is_recorded:
            tags = {"provider_type": str(self.cloud.type), "provider_id": ids[0]}
        self._store.put(
            ServiceRow(
                run_id=run_id,
                state=left.state,
                tags=json.dumps(tags),
                workflow_params='{"sample": "NA12878"}',
                workflow_url=self.cloud.url,
                start_time=self.cloud.now(),
            )
        )
        self.ids[run_id] = ids
        return run_id
