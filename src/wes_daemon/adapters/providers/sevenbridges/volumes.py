"""The buckets that are attached to the platform."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.inputs import Reference
from wes_daemon.adapters.providers.sevenbridges.reading import as_object, as_text
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Rejected

_SERVICES: Mapping[str, str] = {"s3": "S3", "gs": "GCS"}
_FRESH_FOR = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Located:
    """Where a volume has an object."""

    volume: str
    location: str


class Volumes:
    """Finds the volume that holds an object; the list of volumes is asked for once a minute at most."""

    def __init__(self, client: SevenBridgesClient, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: Sequence[Mapping[str, object]] = ()
        self._known_at: datetime | None = None
        self._lock = threading.Lock()

    def locate(self, reference: Reference) -> Located:
        """The volume with the longest prefix that holds the object, and the object's place in it.

        Raises:
            Rejected: no volume holds it; says how to attach one.
        """
        parts = urlsplit(reference.path, allow_fragments=False)
        key = parts.path.removeprefix("/") + (f"?{parts.query}" if parts.query else "")
        service, bucket = _SERVICES[parts.scheme], parts.netloc
        prefixes = {
            _prefix(volume): as_text(volume.get("id"))
            for volume in self._volumes()
            if _holds(volume, service, bucket) and key.startswith(_prefix(volume))
        }
        if not prefixes or not key or key.endswith("/"):
            raise _not_attached(reference, bucket, is_folder=key.endswith("/"))
        prefix = max(prefixes, key=len)
        return Located(prefixes[prefix], key.removeprefix(prefix))

    def _volumes(self) -> Sequence[Mapping[str, object]]:
        with self._lock:
            now = self._clock.now()
            if self._known_at is None or now - self._known_at > _FRESH_FOR:
                self._known = list(self._client.pages("ListVolumes", "/storage/volumes", {"fields": "_all"}))
                self._known_at = now
            return self._known


def _holds(volume: Mapping[str, object], service: str, bucket: str) -> bool:
    described = as_object(volume.get("service"))
    is_service = as_text(described.get("type")).upper() == service
    return is_service and described.get("bucket") == bucket and volume.get("active") is not False


def _prefix(volume: Mapping[str, object]) -> str:
    """What stands before a location in a volume's keys."""
    return as_text(as_object(volume.get("service")).get("prefix"))


def _not_attached(reference: Reference, bucket: str, *, is_folder: bool) -> Rejected:
    if is_folder:
        return Rejected(
            f"input {reference.at}: {reference}: whole folders of a bucket are not imported: "
            "name its files one by one, or import the folder into the project and name it by its path there"
        )
    return Rejected(
        f"input {reference.at}: {reference}: no volume of this account holds the bucket {bucket}: "
        "attach it on the platform (Data, Volumes, Connect cloud storage), then submit the run again"
    )
