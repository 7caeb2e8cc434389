"""Files and folders of projects, by name."""

from collections.abc import Mapping, Sequence

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import FILE_EXISTS, PROJECT_CODES, Failure
from wes_daemon.adapters.providers.sevenbridges.inputs import Reference
from wes_daemon.adapters.providers.sevenbridges.reading import as_text
from wes_daemon.application.ports.errors import Rejected

FOLDER = "folder"


class Files:
    """Looks names up, one call per level of folders."""

    def __init__(self, client: SevenBridgesClient) -> None:
        self._client = client

    def find(self, project: str, path: str, reference: Reference) -> str:
        """The id of what lies at `path` in the project.

        Raises:
            Rejected: there is nothing, or no one thing, of that kind.
        """
        *folders, name = [part for part in path.split("/") if part not in ("", ".")] or [""]
        place = {"project": project}
        for folder in folders:
            place = {"parent": self._only(place, folder, "Directory", reference)}
        return self._only(place, name, reference.kind, reference)

    def named(self, place: Mapping[str, str], name: str, kind: str) -> Sequence[str]:
        """The ids of the files or folders of that name right there.

        Args:
            place: `{"project": …}` for its root, or `{"parent": <folder's id>}`.
        """
        found = self._client.pages("ListFiles", "/files", {**place, "name": name})
        return [as_text(file.get("id")) for file in found if _fits(file, name, kind)]

    def folder(self, place: Mapping[str, str], name: str) -> str:
        """The id of the folder, made where it does not exist."""
        if found := self.named(place, name, "Directory"):
            return found[0]
        try:
            made = self._client.post("CreateFolder", "/files", {"name": name, "type": FOLDER, **place})
        except Failure as failure:
            # Somebody was faster.
            if failure.code == FILE_EXISTS and (found := self.named(place, name, "Directory")):
                return found[0]
            raise
        return as_text(made.get("id"))

    def _only(self, place: Mapping[str, str], name: str, kind: str, reference: Reference) -> str:
        try:
            found = self.named(place, name, kind)
        except Failure as failure:
            if failure.code in PROJECT_CODES:
                raise Rejected(f"input {reference.at}: {reference}: {failure}") from failure
            raise
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} of that name" if found else "no such thing"
        raise Rejected(f"input {reference.at}: {reference}: there is {what} at {name!r} as a {kind}")


def _fits(file: Mapping[str, object], name: str, kind: str) -> bool:
    is_folder = as_text(file.get("type")).lower() == FOLDER
    return file.get("name") == name and is_folder == (kind == "Directory")
