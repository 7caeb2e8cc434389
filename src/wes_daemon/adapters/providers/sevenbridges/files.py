"""Files and folders of projects: found by path, one call per level of folders."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wes_daemon.adapters.json_values import as_text
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.codes import FOLDER_EXISTS
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, provider_error
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.addresses import public_url

Container = Mapping[str, str]
"""Where files lie: `{"project": <id>}` for a project's root, or `{"parent": <folder id>}`."""

_FOLDER = "folder"
_FILE_ID = re.compile(r"[0-9a-f]{24}")
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Reference:
    """One file or directory as the user named it.

    Attributes:
        kind: `File` or `Directory`.
        at: its place among the inputs, for messages.
    """

    kind: str
    path: str
    at: str

    def __str__(self) -> str:
        """Return the path for messages, without the parts of an address that may be secret."""
        return public_url(self.path) if is_address(self.path) else self.path


def is_file_id(text: str) -> bool:
    """Whether the text has the form of the platform's file ids."""
    return _FILE_ID.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether the text begins with a scheme and `://`."""
    return _ADDRESS.match(text) is not None


def find_file(client: SevenBridgesClient, reference: Reference, *, project: str, path: str) -> str:
    """Return the id of the file or folder at `path` in the project.

    Raises:
        Rejected: not exactly one entry has that name and kind.
    """
    *folders, name = [part for part in path.split("/") if part not in ("", ".")] or [""]
    container: Container = {"project": project}
    for folder in folders:
        container = {"parent": _only_id(client, reference, container=container, name=folder, kind="Directory")}
    return _only_id(client, reference, container=container, name=name, kind=reference.kind)


def ids_by_name(client: SevenBridgesClient, container: Container, *, name: str, kind: str) -> Sequence[str]:
    """Return the ids of the entries with that name and kind directly in the container."""
    entries = client.pages("ListFiles", "/files", {**container, "name": name})
    return [as_text(entry.get("id")) for entry in entries if _matches(entry, name=name, kind=kind)]


def find_or_create_folder(client: SevenBridgesClient, container: Container, name: str) -> str:
    """Return the id of the folder."""
    if ids := ids_by_name(client, container, name=name, kind="Directory"):
        return ids[0]
    try:
        folder = client.post("CreateFolder", "/files", {"name": name, "type": _FOLDER, **container})
    except Failure as failure:
        # Another thread or process may have created it since the listing.
        if failure.code in FOLDER_EXISTS and (ids := ids_by_name(client, container, name=name, kind="Directory")):
            return ids[0]
        raise
    return as_text(folder.get("id"))


def _only_id(client: SevenBridgesClient, reference: Reference, *, container: Container, name: str, kind: str) -> str:
    try:
        ids = ids_by_name(client, container, name=name, kind=kind)
    except Failure as failure:
        error = provider_error(failure)
        if isinstance(error, Rejected):
            raise Rejected(f"input {reference.at}: {reference}: {error}") from failure
        raise
    if len(ids) == 1:
        return ids[0]
    found = f"{len(ids)} entries of class {kind} are" if ids else f"no {kind} is"
    raise Rejected(f"input {reference.at}: {reference}: {found} named {name!r} there")


def _matches(entry: Mapping[str, object], *, name: str, kind: str) -> bool:
    is_folder = as_text(entry.get("type")).lower() == _FOLDER
    return entry.get("name") == name and is_folder == (kind == "Directory")
