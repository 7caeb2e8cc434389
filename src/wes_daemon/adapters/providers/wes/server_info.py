"""What the server says about itself: the spelling of workflow types, its engines, and whether it honours keys."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.adapters.json_values import as_object, as_text
from wes_daemon.adapters.providers.wes.client import WesClient, as_texts
from wes_daemon.adapters.providers.wes.errors import Failure
from wes_daemon.application.ports.environment import Clock

HONOURED_TAG = "idempotency_key"
"""The tag of service-info by which a server says that it honours `Idempotency-Key`; its value is `HONOURED`."""
HONOURED = "honoured"

_KEPT_FOR = timedelta(hours=1)
# After an answer that cannot be used: short enough to notice a correction, long enough not to ask before each run.
_RETRIED_AFTER = timedelta(minutes=1)

# Names for the same type. Source: the registries of WES and TRS, and the servers named in docs/providers/wes.md.
_SAME_TYPES: Sequence[frozenset[str]] = (
    frozenset({"nfl", "nextflow"}),
    frozenset({"smk", "snakemake"}),
    frozenset({"gxformat2", "galaxy"}),
)
# The engines that run a type, the most usual one first.
_ENGINES: Mapping[str, Sequence[str]] = {
    "cwl": ("cwltool", "cwl-runner", "toil", "toil-cwl-runner", "arvados"),
    "wdl": ("cromwell", "miniwdl", "toil"),
    "nfl": ("nextflow",),
    "smk": ("snakemake",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """The parts of service-info that a submission needs; empty where the server says nothing.

    Attributes:
        types, engines: the names as the server spells them.
        versions: of the API.
    """

    types: Sequence[str] = ()
    engines: Sequence[str] = ()
    versions: Sequence[str] = ()
    honours_key: bool = False

    def spelling_of_type(self, type: str) -> str:
        """Return the workflow type as the server spells it; unchanged if the server does not list it."""
        wanted = _synonyms(type)
        return next((name for name in self.types if name.strip().lower() in wanted), type)

    def spelling_of_engine(self, engine: str) -> str:
        """Return the engine as the server spells it; unchanged if the server does not list it."""
        return next((name for name in self.engines if name.lower() == engine.strip().lower()), engine)

    def engine_for(self, type: str) -> str | None:
        """Return the listed engine that most likely runs this type; None if that cannot be told."""
        listed = {name.lower(): name for name in self.engines}
        usual = next((engines for name, engines in _ENGINES.items() if name in _synonyms(type)), ())
        found = next((listed[name] for name in usual if name in listed), None)
        return found or (self.engines[0] if len(self.engines) == 1 else None)

    @property
    def has_task_list(self) -> bool:
        """Whether the server has the task list of WES 1.1."""
        return any(version.startswith("1.1") for version in self.versions)


class ServerInfoReader:
    """Reads service-info at its first use and keeps it for an hour. Safe to use from several threads.

    Threads that need it at the same time may each read it: a server that does not answer delays none of them twice.
    """

    def __init__(self, client: WesClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._info = ServerInfo()
        self._valid_until = timedelta.min
        self._lock = threading.Lock()

    def read(self) -> ServerInfo:
        """Return what the server says about itself; empty if it refuses to say it.

        Raises:
            Failure: the server gave no answer, or refuses the credential.
            NotNow: the call gate refuses the call.
        """
        with self._lock:
            info, is_valid = self._info, self._clock.monotonic() < self._valid_until
        if is_valid:
            return info
        info, kept_for = self._fetch()
        with self._lock:
            self._info, self._valid_until = info, self._clock.monotonic() + kept_for
        return info

    def _fetch(self) -> tuple[ServerInfo, timedelta]:
        try:
            return server_info(self._client.service_info()), _KEPT_FOR
        except Failure as failure:
            # A server that offers no service-info to this user can still run workflows.
            if failure.is_not_offered or failure.status == 403:
                return ServerInfo(), _RETRIED_AFTER
            raise


def server_info(answer: Mapping[str, object]) -> ServerInfo:
    """Read the answer; `workflow_engine_versions` maps to strings in WES 1.0, and to objects in WES 1.1."""
    return ServerInfo(
        types=_names(answer.get("workflow_type_versions")),
        engines=_names(answer.get("workflow_engine_versions")),
        versions=as_texts(answer.get("supported_wes_versions")),
        honours_key=as_text(as_object(answer.get("tags")).get(HONOURED_TAG)).strip().lower() == HONOURED,
    )


def _names(value: object) -> Sequence[str]:
    return [name for name in as_object(value) if name.strip()]


def _synonyms(type: str) -> frozenset[str]:
    name = type.strip().lower()
    return next((names for names in _SAME_TYPES if name in names), frozenset({name}))
