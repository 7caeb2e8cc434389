"""Which app a `workflow_url` names, and what kind of input each of its ports takes."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.reading import as_object, as_objects, as_text
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.addresses import public_url

FORMS = "owner/project/app, owner/project/app/revision, sbg://owner/project/app[/revision], or the app's API address"

_SEGMENT = re.compile(r"[^\s/?#%\\]+")
_REVISION = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class App:
    """An app of the platform, and its revision where the request pins one; else the service pins the latest."""

    id: str
    revision: int | None = None

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}/{self.revision}"


def read_app(workflow_url: str, *, api_host: str) -> App:
    """The app that the address names.

    Raises:
        Rejected: it is of none of the known forms.
    """
    path = _path(workflow_url.strip(), api_host)
    segments = path.split("/") if path is not None else []
    if len(segments) not in (3, 4) or not all(map(_is_name, segments)):
        raise _refused(workflow_url)
    revision = segments[3] if len(segments) == 4 else None
    if revision is not None and not _REVISION.fullmatch(revision):
        raise _refused(workflow_url)
    return App("/".join(segments[:3]), None if revision is None else int(revision))


def file_ports(client: SevenBridgesClient, app: App) -> Mapping[str, str]:
    """`File` or `Directory` for each input port that takes such; one call.

    Raises:
        Failure: the app is not to be had.
    """
    document = as_object(client.get("GetApp", f"/apps/{quote(str(app))}").get("raw"))
    return {port: kind for port, type in _ports(document.get("inputs")) if (kind := _kind(type))}


def _path(url: str, api_host: str) -> str | None:
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.query or parts.fragment:
        return None
    if parts.scheme == "sbg":
        return unquote(f"{parts.netloc}{parts.path}").removesuffix("/")
    if parts.scheme == "https" and parts.hostname == api_host and parts.path.startswith("/v2/apps/"):
        return unquote(parts.path.removeprefix("/v2/apps/")).removesuffix("/").removesuffix("/raw")
    return None


def _is_name(segment: str) -> bool:
    return segment not in (".", "..") and _SEGMENT.fullmatch(segment) is not None


def _refused(workflow_url: str) -> Rejected:
    return Rejected(f"workflow_url {public_url(workflow_url)!r} names no app of Seven Bridges: use {FORMS}")


def _ports(inputs: object) -> list[tuple[str, object]]:
    """Names and types, from either form of a CWL document."""
    if isinstance(inputs, Mapping):
        return [(str(name), port.get("type") if isinstance(port, Mapping) else port) for name, port in inputs.items()]
    # draft-2 writes `#name`, packed documents `#main/name`.
    return [(re.split(r"[#/]", as_text(port.get("id")))[-1], port.get("type")) for port in as_objects(inputs)]


def _kind(type: object) -> str | None:
    found = re.search(r"\b(File|Directory)\b", json.dumps(type))
    return found.group(1) if found else None
