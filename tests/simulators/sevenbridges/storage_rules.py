"""Apps, files, folders, volumes and imports."""

from collections.abc import Mapping
from typing import Any

from tests.simulators.sevenbridges.errors import ApiError, bad_request, not_found
from tests.simulators.sevenbridges.listing import Answer, Params, only, page
from tests.simulators.sevenbridges.platform import Platform

_FILE_FIELDS = ("href", "id", "name", "project", "parent", "type")
_VOLUME_FIELDS = ("href", "id", "name", "access_mode")


class StorageRules:
    """What is not a task, for one platform; every method is a route."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def app(self, id: str) -> Answer:
        """An app at a revision, or at its latest."""
        parts = id.split("/")
        app = "/".join(parts[:3])
        revisions = self._platform.apps.get(app)
        if not revisions:
            raise not_found(6002, f"App {id} not found")
        revision = int(parts[3]) if len(parts) > 3 else len(revisions) - 1
        if not 0 <= revision < len(revisions):
            raise not_found(6002, f"Revision {id} not found")
        found = {"id": f"{app}/{revision}", "revision": revision, "raw": revisions[revision]["raw"]}
        return Answer({"href": f"{self._platform.base}/apps/{app}/{revision}", "name": parts[2], **found})

    def files(self, token: str, params: Params) -> Answer:
        """What lies in a project's root, or in a folder; not what lies in folders below."""
        project, parent, names = only(params, "project"), only(params, "parent"), params.get("name")
        if (project is None) == (parent is None):
            raise bad_request("Either project or parent must be given")
        if parent is not None and parent not in self._platform.files:
            raise not_found(5002, "Requested folder does not exist")
        self._platform.of_project(project or self._platform.files[parent or ""]["project"], token)
        here = [
            file
            for file in self._platform.files.values()
            if file["parent"] == parent
            and (parent or file["project"] == project)
            and file["name"] in (names or [file["name"]])
        ]
        return page(self._platform.base, "/files", params, here, _FILE_FIELDS)

    def create_folder(self, token: str, body: Mapping[str, Any]) -> Answer:
        """A folder, once per name and place."""
        parent = body.get("parent")
        self._require_folder(parent)
        project = self._platform.files[parent]["project"] if parent else body["project"]
        self._platform.of_project(project, token)
        for file in self._platform.files.values():
            if (file["parent"], file["project"], file["name"]) == (parent, project, body["name"]):
                raise ApiError(409, 5030, f"The folder {body['name']} already exists")
        id = self._platform.add_file(body["name"], project, parent=parent, type="folder")
        return Answer(dict(self._platform.files[id]), status=201)

    def volumes(self, params: Params) -> Answer:
        """The attached buckets; with their service only where all fields are asked for."""
        return page(self._platform.base, "/storage/volumes", params, self._platform.volumes, _VOLUME_FIELDS)

    def start_import(self, body: Mapping[str, Any]) -> Answer:
        """An import, which takes as long as the test says."""
        if body["source"]["volume"] not in {volume["id"] for volume in self._platform.volumes}:
            raise not_found(9104, "Volume does not exist")
        self._require_folder(body["destination"]["parent"])
        id = self._platform.new_id("import").replace("-", "")
        self._platform.imports[id] = {"id": id, "state": "PENDING", "result": None, "error": None, **body}
        return Answer(dict(self._platform.imports[id]), status=201)

    def get_import(self, id: str) -> Answer:
        """How far an import has come."""
        if id not in self._platform.imports:
            raise not_found(9008, "Import does not exist")
        record = self._platform.imports[id]
        # An import that failed because its object does not exist is answered with the import itself, and 404.
        return Answer(dict(record), status=404 if record["state"] == "FAILED" and record.get("is_missing") else 200)

    def _require_folder(self, id: str | None) -> None:
        if id is not None and id not in self._platform.files:
            raise not_found(5026, "Destination folder is not found")
        if id is not None and self._platform.files[id]["type"] != "folder":
            raise bad_request("The parent is not a folder", 5022)
