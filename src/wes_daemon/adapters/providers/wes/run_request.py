"""The form that a submission sends to `POST /runs`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from wes_daemon.adapters.providers.wes.server_info import ServerInfo
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import Submission, as_key
from wes_daemon.domain.addresses import public_url
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import RESERVED_TAGS, Attachment, IdempotencyKey

KEY_TAG = "idempotency_key"
"""The tag with the idempotency key: the run ownership marker."""

_PARAMETER_TAG_PREFIX = "provider_"
_WORKFLOW_FILES = (".cwl", ".wdl", ".nf", ".smk", ".ga", ".py", ".json", ".yaml", ".yml", ".zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What is sent, in the server's spelling.

    Attributes:
        fields: the form's texts, by the names of the specification; JSON is text, too.
    """

    fields: Mapping[str, str]
    attachments: Sequence[Attachment] = ()

    @property
    def names_engine(self) -> bool:
        """Whether the request says which engine runs the workflow."""
        return "workflow_engine" in self.fields

    def with_engine(self, engine: str) -> "RunRequest":
        """Return the same request for this engine."""
        return replace(self, fields={**self.fields, "workflow_engine": engine})

    def parts(self) -> Sequence[tuple[str, Any]]:
        """Return the parts of the multipart form, as the HTTP library takes them; a text has no file name."""
        return [(name, (None, text)) for name, text in self.fields.items()] + [
            ("workflow_attachment", (file.name, file.content, "application/octet-stream")) for file in self.attachments
        ]


def run_request(submission: Submission, info: ServerInfo, *, own_name: str) -> RunRequest:
    """Return the request of a submission.

    Args:
        own_name: the name of this provider, which a run may give in place of an engine.

    Raises:
        Rejected: the run's row holds values that the API cannot carry.
    """
    request = submission.request
    _check_url(request.workflow_url, submission.attachments)
    try:
        params, engine_parameters = request.params, dict(_engine_parameters(submission))
    except InvalidRequest as error:
        raise Rejected(str(error)) from error
    fields = {
        "workflow_type": info.spelling_of_type(request.workflow_type),
        "workflow_type_version": request.workflow_type_version,
        "workflow_url": request.workflow_url,
        # wes-service fails without inputs, so that an empty object is sent as well.
        "workflow_params": _json("workflow_params", params),
        "tags": _json("tags", dict(_tags(submission))),
    }
    if engine_parameters:
        fields["workflow_engine_parameters"] = _json("workflow_engine_parameters", engine_parameters)
    if _is_engine(request.workflow_engine, info, own_name):
        fields["workflow_engine"] = info.spelling_of_engine(str(request.workflow_engine))
        if request.workflow_engine_version:
            fields["workflow_engine_version"] = request.workflow_engine_version
    return RunRequest(fields=fields, attachments=submission.attachments)


def key_in(tags: Mapping[str, object]) -> IdempotencyKey | None:
    """Return the key of the run ownership marker in a run's tags; None if it has none."""
    marker = tags.get(KEY_TAG)
    return as_key(marker) if isinstance(marker, str) else None


def _check_url(url: str, attachments: Sequence[Attachment]) -> None:
    """Refuse the name of a file that is not attached: some servers answer it with an error of their own.

    Another name may be that of a workflow that the server has.
    """
    path = url.partition("#")[0].removeprefix("./")
    is_file = ":" not in path and path.lower().endswith(_WORKFLOW_FILES)
    if is_file and path not in {PurePosixPath(file.name).as_posix() for file in attachments}:
        raise Rejected(
            f"workflow_url {public_url(url)!r} names a file that is not attached: attach it, or give its whole address"
        )


def _is_engine(engine: str | None, info: ServerInfo, own_name: str) -> bool:
    """Whether the run names an engine of the server, and not this provider."""
    name = (engine or "").strip().lower()
    return bool(name) and (name != own_name or name in {each.lower() for each in info.engines})


def _tags(submission: Submission) -> Iterator[tuple[str, str]]:
    """Yield the user's tags as texts, as WES defines them, and the run ownership marker."""
    for name, value in submission.tags.items():
        if name not in RESERVED_TAGS and not name.startswith(_PARAMETER_TAG_PREFIX) and value is not None:
            yield name, _as_text(value)
    yield KEY_TAG, submission.key


def _engine_parameters(submission: Submission) -> Iterator[tuple[str, object]]:
    """Yield the engine parameters; a tag `provider_NAME` is the fallback for a missing one."""
    given = submission.request.engine_parameters
    for name, value in submission.tags.items():
        parameter = name.removeprefix(_PARAMETER_TAG_PREFIX)
        if (
            name not in RESERVED_TAGS
            and name.startswith(_PARAMETER_TAG_PREFIX)
            and parameter
            and parameter not in given
        ):
            yield parameter, _as_text(value)
    # A flag without a value is null.
    yield from ((name, None if value is None else _as_text(value)) for name, value in given.items())


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _json(name: str, value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        raise Rejected(f"{name} holds a number that JSON does not have (NaN or infinity): leave it out") from None
