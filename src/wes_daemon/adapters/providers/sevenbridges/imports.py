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

from wes_daemon.adapters.json_values import as_object, as_text
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient, as_message
from wes_daemon.adapters.providers.sevenbridges.codes import NO_IMPORT, PARENT_GONE
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, provider_error
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
        if source in self._import_ids:
            return self._poll(source, reference)
        volume_object = self._volumes.find_object(reference)
        try:
            return self._find_or_start(source, reference, volume_object=volume_object)
        except Failure as failure:
            if failure.code not in PARENT_GONE:
                raise _refused_import(reference, failure) from failure
        # The folder was deleted after it had been found: it is created again, once.
        self._folders.pop(_bucket_folder(source), None)
        try:
            return self._find_or_start(source, reference, volume_object=volume_object)
        except Failure as failure:
            raise _refused_import(reference, failure) from failure

    def _find_or_start(self, source: _Source, reference: Reference, *, volume_object: Mapping[str, str]) -> str | None:
        folder, name = self._folder(source), PurePosixPath(reference.path).name
        if ids := ids_by_name(self._client, {"parent": folder}, name=name, kind="File"):
            return ids[0]
        body = {
            "source": volume_object,
            "destination": {"parent": folder, "name": name},
            "overwrite": False,
        }
        try:
            started = self._client.post("StartImport", "/storage/imports", body)
        except Failure as failure:
            if not _has_failed(failure.answer):
                raise
            started = failure.answer
        self._import_ids[source] = as_text(started.get("id"))
        return self._result(source, reference, answer=started)

    def _poll(self, source: _Source, reference: Reference) -> str | None:
        id = self._import_ids[source]
        try:
            answer = self._client.get("GetImport", f"/storage/imports/{quote(id)}")
        except Failure as failure:
            if failure.is_transient:
                raise
            if failure.code in NO_IMPORT:
                del self._import_ids[source]
                raise NotNow(f"the import of {reference} is no longer known and starts again: {failure}") from failure
            if not _has_failed(failure.answer):
                raise _refused_import(reference, failure) from failure
            # The service answers 404 about an import whose object does not exist, with the import as the body.
            answer = failure.answer
        return self._result(source, reference, answer=answer)

    def _result(self, source: _Source, reference: Reference, *, answer: Mapping[str, object]) -> str | None:
        """Return the file's id if the import has ended. Forget an ended import: a later attempt may start another."""
        if answer.get("state") == "COMPLETED":
            del self._import_ids[source]
            return as_text(as_object(answer.get("result")).get("id")) or None
        if _has_failed(answer):
            del self._import_ids[source]
            return self._imported_by_another(source, reference, answer=answer)
        return None

    def _imported_by_another(self, source: _Source, reference: Reference, *, answer: Mapping[str, object]) -> str:
        """Find the file after a failed import: of two simultaneous imports of one file, one fails."""
        name = PurePosixPath(reference.path).name
        if ids := ids_by_name(self._client, {"parent": self._folder(source)}, name=name, kind="File"):
            return ids[0]
        reason = as_message(answer.get("error")) or as_text(answer.get("message")) or "the service gave no reason"
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

        Of several active volumes the one with the longest prefix is used.

        Raises:
            Rejected: no volume holds the object; the message says how to attach one.
        """
        parts = urlsplit(reference.path, allow_fragments=False)
        key = parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
        service, bucket = _SERVICES[parts.scheme], parts.netloc
        volumes = [
            volume
            for volume in self._list()
            if _is_of_bucket(volume, service=service, bucket=bucket) and key.startswith(_prefix(volume))
        ]
        active = [volume for volume in volumes if volume.get("active") is not False]
        if not active or not key or key.endswith("/"):
            raise _not_importable(reference, bucket=bucket, key=key, inactive=volumes)
        volume = max(active, key=lambda volume: len(_prefix(volume)))
        return {"volume": as_text(volume.get("id")), "location": key.removeprefix(_prefix(volume))}

    def _list(self) -> Sequence[Mapping[str, object]]:
        with self._lock:
            now = self._clock.now()
            if self._listed_at is None or now - self._listed_at > _VOLUMES_FRESH_FOR:
                self._volumes = list(self._client.pages("ListVolumes", "/storage/volumes", {"fields": "_all"}))
                self._listed_at = now
            return self._volumes


def _bucket_folder(source: _Source) -> _Source:
    return (source[0], source[1].rpartition("/")[0])


def _is_of_bucket(volume: Mapping[str, object], *, service: str, bucket: str) -> bool:
    described = as_object(volume.get("service"))
    return as_text(described.get("type")).upper() == service and described.get("bucket") == bucket


def _prefix(volume: Mapping[str, object]) -> str:
    """Return the part of the volume's keys that precedes a location: empty, or whole folders with a `/` at the end.

    The service treats a prefix as the name of a folder, with or without slashes around it.
    """
    folders = as_text(as_object(volume.get("service")).get("prefix")).strip("/")
    return f"{folders}/" if folders else ""


def _has_failed(answer: Mapping[str, object]) -> bool:
    return answer.get("state") == "FAILED"


def _refused_import(reference: Reference, failure: Failure) -> Failure | Rejected:
    """Return the rejection that names the input, if the failure rejects the run; else the failure."""
    error = provider_error(failure)
    return Rejected(f"input {reference.at}: {reference}: {error}") if isinstance(error, Rejected) else failure


def _not_importable(
    reference: Reference, *, bucket: str, key: str, inactive: Sequence[Mapping[str, object]]
) -> Rejected:
    if key.endswith("/"):
        return Rejected(
            f"input {reference.at}: {reference}: whole folders of a bucket are not imported: "
            "name its files one by one, or import the folder into the project and name it by its path there"
        )
    if inactive and key:
        names = ", ".join(as_text(volume.get("id")) for volume in inactive)
        return Rejected(
            f"input {reference.at}: {reference}: the volume {names}, which holds the object, is inactive: "
            "activate it on the platform (Data, Volumes), then submit the run again"
        )
    return Rejected(
        f"input {reference.at}: {reference}: no volume of this account holds the bucket {bucket}: "
        "attach it on the platform (Data, Volumes, Connect cloud storage), then submit the run again"
    )
