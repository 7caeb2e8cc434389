"""Imports objects of buckets as files of a project, through the volume that holds the bucket.

Nothing is stored on this machine. The path of an imported file is a function of project and address, so the next
attempt, in any process, finds the file.
"""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient, as_object, as_text
from wes_daemon.adapters.providers.sevenbridges.errors import FILE_NOT_FOUND, Failure
from wes_daemon.adapters.providers.sevenbridges.files import Reference, find_or_create_folder, ids_by_name
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, Rejected

FOLDER = "wes-daemon-imports"

# An imported file may be deleted on the platform, so its id is reused for a limited time.
_FILES_FRESH_FOR = timedelta(minutes=10)
_VOLUMES_FRESH_FOR = timedelta(minutes=1)
_MAX_CACHED = 10_000

_SERVICES: Mapping[str, str] = {"s3": "S3", "gs": "GCS"}

_Source = tuple[str, str]
"""Project, and address of an object or of a folder in a bucket."""


class Imports:
    """Imports objects, each one once per project, and remembers the imports of this process."""

    def __init__(self, client: SevenBridgesClient, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._volumes = Volumes(client, clock=clock)
        self._files: dict[_Source, tuple[str, datetime]] = {}
        self._import_ids: dict[_Source, str] = {}
        self._folders: dict[_Source, str] = {}
        self._lock = threading.Lock()

    def file_id(self, reference: Reference, project: str) -> str | None:
        """Return the id of the imported file, or None while the import runs. Does not wait for the import.

        Raises:
            Rejected: the object cannot be imported.
        """
        source = (project, reference.path)
        if cached := self._cached(source):
            return cached
        # One at a time: two runs that need the same file must not both import it.
        with self._lock:
            id = self._cached(source) or self._poll_or_start(source, reference)
            if id:
                self._cache(source, id)
            return id

    def _cached(self, source: _Source) -> str | None:
        id, cached_at = self._files.get(source, ("", self._clock.now()))
        return id if self._clock.now() - cached_at < _FILES_FRESH_FOR else None

    def _cache(self, source: _Source, id: str) -> None:
        if len(self._files) >= _MAX_CACHED:
            self._files.clear()
        self._files[source] = (id, self._clock.now())

    def _poll_or_start(self, source: _Source, reference: Reference) -> str | None:
        step = self._poll if source in self._import_ids else self._find_or_start
        try:
            return step(source, reference)
        except Failure as failure:
            if failure.code == FILE_NOT_FOUND and self._folders.pop(_bucket_folder(source), ""):
                raise NotNow(
                    f"the folder {FOLDER} of {source[0]} no longer exists and will be created again"
                ) from failure
            raise

    def _find_or_start(self, source: _Source, reference: Reference) -> str | None:
        volume_object = self._volumes.find_object(reference)
        folder, name = self._folder(source), PurePosixPath(reference.path).name
        if ids := ids_by_name(self._client, {"parent": folder}, name=name, kind="File"):
            return ids[0]
        body = {
            "source": volume_object,
            "destination": {"parent": folder, "name": name},
            "overwrite": False,
        }
        started = self._client.post("StartImport", "/storage/imports", body)
        self._import_ids[source] = as_text(started.get("id"))
        return self._result(source, reference, answer=started)

    def _poll(self, source: _Source, reference: Reference) -> str | None:
        id = self._import_ids[source]
        try:
            answer = self._client.get("GetImport", f"/storage/imports/{quote(id)}")
        except Failure as failure:
            if failure.is_transient:
                raise
            del self._import_ids[source]
            raise NotNow(f"the import of {reference} is no longer known and starts again: {failure}") from failure
        return self._result(source, reference, answer=answer)

    def _result(self, source: _Source, reference: Reference, *, answer: Mapping[str, object]) -> str | None:
        """Return the file's id if the import has ended. Forget an ended import: a later attempt may start another."""
        if answer.get("state") == "COMPLETED":
            del self._import_ids[source]
            return as_text(as_object(answer.get("result")).get("id")) or None
        if answer.get("state") == "FAILED":
            del self._import_ids[source]
            return self._imported_by_another(source, reference, answer=answer)
        return None

    def _imported_by_another(self, source: _Source, reference: Reference, *, answer: Mapping[str, object]) -> str:
        """Find the file after a failed import: of two simultaneous imports of one file, one fails."""
        name = PurePosixPath(reference.path).name
        if ids := ids_by_name(self._client, {"parent": self._folder(source)}, name=name, kind="File"):
            return ids[0]
        reason = as_text(as_object(answer.get("error")).get("message")) or "the service gave no reason"
        raise Rejected(f"input {reference.at}: {reference}: the import into {source[0]} failed: {reason}")

    def _folder(self, source: _Source) -> str:
        """Return the id of the folder for the objects of one bucket folder: index files stay beside their files."""
        project, bucket_folder = source[0], _bucket_folder(source)
        if bucket_folder not in self._folders:
            if len(self._folders) >= _MAX_CACHED:
                self._folders.clear()
            root = find_or_create_folder(self._client, {"project": project}, FOLDER)
            name = hashlib.sha256(bucket_folder[1].encode()).hexdigest()[:12]
            self._folders[bucket_folder] = find_or_create_folder(self._client, {"parent": root}, name)
        return self._folders[bucket_folder]


class Volumes:
    """Finds the volume that holds an object. The list of volumes is requested at most once a minute."""

    def __init__(self, client: SevenBridgesClient, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._volumes: Sequence[Mapping[str, object]] = ()
        self._listed_at: datetime | None = None
        self._lock = threading.Lock()

    def find_object(self, reference: Reference) -> Mapping[str, str]:
        """Return volume and location of the object, as the source of an import.

        Of several volumes the one with the longest prefix is used.

        Raises:
            Rejected: no volume holds the object; the message says how to attach one.
        """
        parts = urlsplit(reference.path, allow_fragments=False)
        key = parts.path.removeprefix("/") + (f"?{parts.query}" if parts.query else "")
        service, bucket = _SERVICES[parts.scheme], parts.netloc
        prefixes = {
            _prefix(volume): as_text(volume.get("id"))
            for volume in self._list()
            if _holds(volume, service=service, bucket=bucket) and key.startswith(_prefix(volume))
        }
        if not prefixes or not key or key.endswith("/"):
            raise _not_importable(reference, bucket=bucket, key=key)
        prefix = max(prefixes, key=len)
        return {"volume": prefixes[prefix], "location": key.removeprefix(prefix)}

    def _list(self) -> Sequence[Mapping[str, object]]:
        with self._lock:
            now = self._clock.now()
            if self._listed_at is None or now - self._listed_at > _VOLUMES_FRESH_FOR:
                self._volumes = list(self._client.pages("ListVolumes", "/storage/volumes", {"fields": "_all"}))
                self._listed_at = now
            return self._volumes


def _bucket_folder(source: _Source) -> _Source:
    return (source[0], source[1].rpartition("/")[0])


def _holds(volume: Mapping[str, object], *, service: str, bucket: str) -> bool:
    described = as_object(volume.get("service"))
    is_service = as_text(described.get("type")).upper() == service
    return is_service and described.get("bucket") == bucket and volume.get("active") is not False


def _prefix(volume: Mapping[str, object]) -> str:
    """Return the part of the volume's keys that precedes a location."""
    return as_text(as_object(volume.get("service")).get("prefix"))


def _not_importable(reference: Reference, *, bucket: str, key: str) -> Rejected:
    if key.endswith("/"):
        return Rejected(
            f"input {reference.at}: {reference}: whole folders of a bucket are not imported: "
            "name its files one by one, or import the folder into the project and name it by its path there"
        )
    return Rejected(
        f"input {reference.at}: {reference}: no volume of this account holds the bucket {bucket}: "
        "attach it on the platform (Data, Volumes, Connect cloud storage), then submit the run again"
    )
