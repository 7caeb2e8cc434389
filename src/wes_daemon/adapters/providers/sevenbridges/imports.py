"""Objects of buckets as files of a project: one import per project and address, which any attempt can take up again.

Nothing is kept on disk: where an import puts its file is a function of the address, so the next attempt, of whichever
process, looks there first.
"""

import hashlib
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from urllib.parse import quote

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import FILE_NOT_FOUND, Failure
from wes_daemon.adapters.providers.sevenbridges.files import Files
from wes_daemon.adapters.providers.sevenbridges.inputs import Reference
from wes_daemon.adapters.providers.sevenbridges.reading import as_object, as_text
from wes_daemon.adapters.providers.sevenbridges.volumes import Located, Volumes
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, Rejected

FOLDER = "wes-daemon-imports"

# A file may be deleted on the platform; how long we go on believing in it.
_FRESH_FOR = timedelta(minutes=10)
_KEPT_AT_MOST = 10_000

Wanted = tuple[str, str]
"""Project and address."""


class Imports:
    """Has objects imported and knows what became of it."""

    def __init__(self, client: SevenBridgesClient, *, files: Files, volumes: Volumes, clock: Clock) -> None:
        self._client = client
        self._files = files
        self._volumes = volumes
        self._clock = clock
        self._done: dict[Wanted, tuple[str, datetime]] = {}
        self._under_way: dict[Wanted, str] = {}
        self._folders: dict[Wanted, str] = {}
        self._lock = threading.Lock()

    def file_id(self, reference: Reference, project: str) -> str | None:
        """The id of the imported file, or None while that takes; returns at once.

        Raises:
            Rejected: it cannot be imported.
        """
        wanted = (project, reference.path)
        return self._remembered(wanted) or self._brought_forward(wanted, reference)

    def _brought_forward(self, wanted: Wanted, reference: Reference) -> str | None:
        # One at a time: two runs that want one file at once should not both import it.
        with self._lock:
            found = self._remembered(wanted) or self._looked_up(wanted, reference)
            if found:
                self._remember(wanted, found)
            return found

    def _remembered(self, wanted: Wanted) -> str | None:
        found, at = self._done.get(wanted, ("", self._clock.now()))
        return found if self._clock.now() - at < _FRESH_FOR else None

    def _remember(self, wanted: Wanted, id: str) -> None:
        if len(self._done) >= _KEPT_AT_MOST:
            self._done.clear()
        self._done[wanted] = (id, self._clock.now())

    def _looked_up(self, wanted: Wanted, reference: Reference) -> str | None:
        step = self._followed if wanted in self._under_way else self._found_or_started
        try:
            return step(wanted, reference)
        except Failure as failure:
            if failure.code == FILE_NOT_FOUND and self._folders.pop(_beside(wanted), ""):
                raise NotNow(f"the folder {FOLDER} of {wanted[0]} is gone and will be made again") from failure
            raise

    def _found_or_started(self, wanted: Wanted, reference: Reference) -> str | None:
        located = self._volumes.locate(reference)
        folder, name = self._place(wanted), PurePosixPath(reference.path).name
        if found := self._files.named({"parent": folder}, name, "File"):
            return found[0]
        started = self._client.post("StartImport", "/storage/imports", _import_body(located, folder, name))
        self._under_way[wanted] = as_text(started.get("id"))
        return self._settled(wanted, started, reference)

    def _followed(self, wanted: Wanted, reference: Reference) -> str | None:
        id = self._under_way[wanted]
        try:
            told = self._client.get("GetImport", f"/storage/imports/{quote(id)}")
        except Failure as failure:
            if failure.is_passing:
                raise
            del self._under_way[wanted]
            raise NotNow(f"the import of {reference} is no longer known and starts again: {failure}") from failure
        return self._settled(wanted, told, reference)

    def _settled(self, wanted: Wanted, told: Mapping[str, object], reference: Reference) -> str | None:
        """The file's id if the import is over; a failed one is forgotten, so that another attempt may succeed."""
        if told.get("state") == "COMPLETED":
            del self._under_way[wanted]
            return as_text(as_object(told.get("result")).get("id")) or None
        if told.get("state") == "FAILED":
            del self._under_way[wanted]
            return self._despite(wanted, told, reference)
        return None

    def _despite(self, wanted: Wanted, told: Mapping[str, object], reference: Reference) -> str:
        """Another process may have imported the same file at the same time, which makes one of the two fail."""
        name = PurePosixPath(reference.path).name
        if found := self._files.named({"parent": self._place(wanted)}, name, "File"):
            return found[0]
        reason = as_text(as_object(told.get("error")).get("message")) or "without a word of explanation"
        raise Rejected(f"input {reference.at}: {reference}: the import into {wanted[0]} failed: {reason}")

    def _place(self, wanted: Wanted) -> str:
        """The folder for the files that lie beside each other in the bucket, so that index files stay beside theirs."""
        project, beside = wanted[0], _beside(wanted)
        if beside not in self._folders:
            if len(self._folders) >= _KEPT_AT_MOST:
                self._folders.clear()
            root = self._files.folder({"project": project}, FOLDER)
            name = hashlib.sha256(beside[1].encode()).hexdigest()[:12]
            self._folders[beside] = self._files.folder({"parent": root}, name)
        return self._folders[beside]


def _beside(wanted: Wanted) -> Wanted:
    """The folder in the bucket."""
    return (wanted[0], wanted[1].rpartition("/")[0])


def _import_body(located: Located, folder: str, name: str) -> Mapping[str, object]:
    return {
        "source": {"volume": located.volume, "location": located.location},
        "destination": {"parent": folder, "name": name},
        "overwrite": False,
    }
