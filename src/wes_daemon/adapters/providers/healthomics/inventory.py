"""What an account holds of ours, in the service's own pages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wes_daemon.adapters.providers.healthomics.client import HealthOmicsClient
from wes_daemon.adapters.providers.healthomics.identity import RunIdentity
from wes_daemon.adapters.providers.healthomics.payloads import KEY_TAG
from wes_daemon.adapters.providers.healthomics.states import DELETED, moment, report
from wes_daemon.application.ports.providers import OwnedPage, OwnedRun, Recorded, as_key
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId

Item = Mapping[str, Any]


class Inventory:
    """The account's runs that are named and tagged as ours.

    A list shows neither tags nor uuid, so each run that is called like one of ours is asked for by itself, unless the
    caller has its whole id on record.
    """

    def __init__(self, client: HealthOmicsClient) -> None:
        self._client = client

    def part(self, since: datetime, after: str | None, recorded: Recorded) -> OwnedPage:
        """As `WorkflowProvider.marked`; `after` is the service's own token."""
        items, following = self._client.page_of_runs(after)
        named = [(item, key) for item in items if (key := _key(item, since))]
        on_record = recorded([key for _, key in named]) if named else {}
        found = [self._marked(item, key, on_record.get(key), since) for item, key in named]
        return OwnedPage(runs=[run for run in found if run], following=following)

    def _marked(
        self, item: Item, key: IdempotencyKey, recorded: ProviderRunId | None, since: datetime
    ) -> OwnedRun | None:
        identity = RunIdentity.parse(recorded) if recorded else None
        if identity is not None and identity.id == str(item["id"]):
            return _told(item, key, identity, since)
        run = self._client.get_run(str(item["id"]))
        if run is None or run["status"] == DELETED or (run.get("tags") or {}).get(KEY_TAG) != key:
            return None
        run = {**run, "id": item["id"]}
        return _told(run, key, RunIdentity.of(run), since)


def _key(item: Item, since: datetime) -> IdempotencyKey | None:
    """The key that a run is named after, unless it is older than is asked for."""
    created = moment(item.get("creationTime"))
    is_old = created is not None and created < since
    return None if is_old or item.get("status") == DELETED else as_key(str(item.get("name") or ""))


def _told(run: Item, key: IdempotencyKey, identity: RunIdentity, since: datetime) -> OwnedRun:
    told = report(run)
    return OwnedRun(
        id=identity.provider_run_id,
        key=key,
        created_at=moment(run.get("creationTime")) or since,
        state=told.state,
        provider_status=told.provider_status,
    )
