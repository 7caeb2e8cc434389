"""What a WES service does meanwhile: it queues runs and asks for the end of some, by writing rows."""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from random import Random
from uuid import UUID

from tests.faults.clouds import BAD, LONG, SHORT, Cloud
from tests.faults.databases import Busy, CampaignDatabase
from wes_daemon.domain.states import ENDED

MIXED = (SHORT,) * 6 + (LONG, LONG, BAD)
"""What becomes of runs, each as likely as the others."""

_CANCELLED_AT_ONCE = 0.04
_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDED))

_QUEUE = (
    "INSERT INTO workflow_runs"
    " (run_id, state, workflow_params, workflow_type, workflow_type_version, workflow_url, tags)"
    " VALUES (:run_id, 'QUEUED', :params, 'CWL', 'v1.2', :url, :tags)"
)
_CANCEL = "UPDATE workflow_runs SET state = 'CANCELING' WHERE run_id = :run_id AND state = :state"


class Traffic:
    """Runs, as many as are worked off.

    Attributes:
        fates: what is to become of each run, by its id.
        cancelled: runs whose end was asked for.
    """

    def __init__(
        self,
        database: CampaignDatabase,
        clouds: Sequence[Cloud],
        random: Random,
        *,
        backlog: int,
        fates: Sequence[str] = MIXED,
    ) -> None:
        self._database = database
        self._clouds = clouds
        self._random = random
        self._backlog = backlog
        self._choice = fates
        self.fates: dict[str, str] = {}
        self.cancelled: set[str] = set()

    def step(self) -> None:
        """Queue as many runs as have ended, and cancel those that last."""
        with suppress(Busy):
            queued = self.queue(self._backlog - len(self.unsettled()))
            self._cancel([id for id in queued if self._random.random() < _CANCELLED_AT_ONCE], "QUEUED")
            self.cancel_lasting()

    def wind_down(self) -> None:
        """Queue no more; what lasts is cancelled still."""
        with suppress(Busy):
            self.cancel_lasting()

    def queue(self, number: int) -> Sequence[str]:
        """Queue so many runs and return their ids."""
        rows = [self._row() for _ in range(number)]
        if rows:
            self._database.write(_QUEUE, *rows)
            self.fates.update({str(row["run_id"]): json.loads(str(row["params"]))["sample"] for row in rows})
        return [str(row["run_id"]) for row in rows]

    def unsettled(self) -> Collection[str]:
        """Runs that have not ended and that no person has to look at."""
        rows = self._database.rows(
            "SELECT w.run_id, w.state, s.state AS submission FROM workflow_runs w"
            f" LEFT JOIN submissions s ON s.run_id = w.run_id WHERE w.state NOT IN ({_ENDED})"
        )
        return [row.run_id for row in rows if row.submission != "REVIEW"]

    def cancel_lasting(self) -> None:
        """Ask for the end of runs that would run for ever."""
        rows = self._database.rows("SELECT run_id FROM workflow_runs WHERE state = 'RUNNING'")
        lasting = [row.run_id for row in rows if self.fates.get(row.run_id) == LONG]
        self._cancel([id for id in lasting if id not in self.cancelled], "RUNNING")

    def _cancel(self, ids: Sequence[str], state: str) -> None:
        for id in ids:
            if self._database.write(_CANCEL, {"run_id": id, "state": state}):
                self.cancelled.add(id)

    def _row(self) -> Mapping[str, object]:
        cloud = self._random.choice(self._clouds)
        return {
            "run_id": str(UUID(int=self._random.getrandbits(128), version=4)),
            "params": json.dumps({"sample": self._random.choice(self._choice)}),
            "url": cloud.url,
            "tags": json.dumps({"provider_type": cloud.type}),
        }
