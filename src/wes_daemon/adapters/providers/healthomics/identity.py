"""What a run is called: `1234567/8dd3…`, HealthOmics' id and uuid as its own log streams and folders spell them.

HealthOmics gives the id of a deleted run to a later one, so the id alone does not say which run is meant.
The provider keeps nothing between calls: what it must compare has to be in the id that the caller keeps.
A bare id, from a row that something else has written, works as well but is taken on trust.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wes_daemon.domain.runs import ProviderRunId

_FORM = re.compile(r"(?P<id>[0-9]{1,18})(?:/(?P<uuid>[0-9A-Za-z-]{1,64}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run is meant; `uuid` is None where only the id is known."""

    id: str
    uuid: str | None = None

    @classmethod
    def parse(cls, text: str) -> "RunIdentity | None":
        """The run that is meant, or None for what can be the name of no run here."""
        found = _FORM.fullmatch(text)
        return cls(found["id"], found["uuid"]) if found else None

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> "RunIdentity":
        """The identity that an answer of StartRun or GetRun tells."""
        return cls(str(run["id"]), run.get("uuid"))

    @property
    def provider_run_id(self) -> ProviderRunId:
        """The form that callers keep."""
        return ProviderRunId(f"{self.id}/{self.uuid}" if self.uuid else self.id)

    def is_of(self, run: Mapping[str, Any]) -> bool:
        """Whether an answer of GetRun speaks of this run, and not of a later one with the same id."""
        return self.uuid is None or run.get("uuid") in (None, self.uuid)
