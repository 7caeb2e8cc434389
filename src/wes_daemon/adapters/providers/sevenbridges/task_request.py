"""The task that a submission requests: read and checked before the first call, and written as the body of a draft."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.engine_parameters import (
    EngineParameters,
    is_absent,
    read_boolean,
    read_engine_parameters,
    read_project,
)
from wes_daemon.application.ports.errors import Rejected, WrongProvider
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.addresses import public_url
from wes_daemon.domain.runs import IdempotencyKey, RunId

APP_FORMS = (
    "owner/project/app, owner/project/app/revision, sbg://owner/project/app[/revision], "
    "sevenbridges://owner/project/app[/revision], or the app's API address"
)

_ENVELOPE = frozenset({"project", "inputs", "use_interruptible_instances"})
_SEGMENT = re.compile(r"[^\s/?#%\\]+")
# The scheme of the vendor's own WES, and one that WES services use.
_APP_SCHEMES = ("sbg", "sevenbridges")
_REVISION = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """A submission in the platform's terms. Its inputs still name files as the user did.

    Attributes:
        is_configured_project: whether the project is that of the settings, so that an error of the project is an
            error of the settings.
        app: `owner/project/app`, followed by `/revision` if the run pins one.
        exclusive_since: from this monotonic time on, tasks that other processes create under this key are never
            started. None if such tasks can be started, or if an earlier attempt may have created a task.
    """

    key: IdempotencyKey
    run_id: RunId
    project: str
    is_configured_project: bool
    app: str
    inputs: Mapping[str, object]
    engine: EngineParameters
    attachments: frozenset[str] = frozenset()
    exclusive_since: timedelta | None = None


def read_task_request(submission: Submission, config: SevenBridgesConfig) -> TaskRequest:
    """Read and check a submission without any call.

    Raises:
        Rejected: the run can never work; the message names the correction.
    """
    request = submission.request
    engine = read_engine_parameters(request.engine_parameters, submission.tags)
    inputs, engine = _without_envelope(request.params, engine)
    project = engine.project or config.project
    return TaskRequest(
        key=submission.key,
        run_id=submission.run_id,
        project=project,
        is_configured_project=project == config.project,
        app=read_app(request.workflow_url, api_host=config.host),
        inputs=inputs,
        engine=engine,
        attachments=frozenset(attachment.name for attachment in submission.attachments),
        exclusive_since=None if submission.resumed or submission.prepared_id else submission.claimed_since,
    )


def task_body(request: TaskRequest, inputs: Mapping[str, object]) -> Mapping[str, object]:
    """Return the body that creates the draft.

    The idempotency key is the ownership marker. It stands in the name for people, and in the description for this
    package, because a task that was started can be renamed.

    Args:
        inputs: the request's inputs, with file ids.
    """
    return {
        "name": str(request.key),
        "description": _description(request.key, request.run_id),
        "project": request.project,
        "app": request.app,
        "inputs": inputs,
        **request.engine.task_fields(),
    }


def read_app(workflow_url: str, *, api_host: str) -> str:
    """Return the app that the `workflow_url` names, with its revision if the URL pins one.

    Without a revision the service uses the latest, and pins it when the task is created.

    Raises:
        WrongProvider: the URL has none of the forms in `APP_FORMS`.
    """
    path = _app_path(workflow_url.strip(), api_host)
    segments = path.split("/") if path is not None else []
    if len(segments) not in (3, 4) or not all(map(_is_name, segments)):
        raise _not_an_app(workflow_url)
    app, revisions = "/".join(segments[:3]), segments[3:]
    if not revisions:
        return app
    if not _REVISION.fullmatch(revisions[0]):
        raise _not_an_app(workflow_url)
    return f"{app}/{int(revisions[0])}"


def _description(key: IdempotencyKey, run_id: RunId) -> str:
    """The ownership marker is the first line."""
    return f"{key}\nStarted by wes-daemon for the WES run {run_id}; wes-daemon finds its task by these lines."


def _without_envelope(
    params: Mapping[str, object], engine: EngineParameters
) -> tuple[Mapping[str, object], EngineParameters]:
    """Separate inputs and engine parameters if `workflow_params` has the form of the vendor's own WES, the envelope.

    An app may have ports with the envelope's names. So `workflow_params` counts as an envelope only if `inputs` is an
    object without a `class`, and if `project` is among the other names or all of them are names of the envelope.
    """
    inputs = params.get("inputs")
    if not isinstance(inputs, Mapping) or "class" in inputs:
        return params, engine
    if "project" not in params and not params.keys() <= _ENVELOPE:
        return params, engine
    if unknown := sorted(params.keys() - _ENVELOPE):
        raise Rejected(
            f"workflow_params: {', '.join(unknown)}: beside project and inputs only "
            "use_interruptible_instances is allowed; put the workflow's inputs into inputs"
        )
    return inputs, _with_envelope(params, engine)


def _with_envelope(params: Mapping[str, object], engine: EngineParameters) -> EngineParameters:
    """Engine parameters take precedence over the envelope."""
    project, interruptible = params.get("project"), params.get("use_interruptible_instances")
    if not is_absent(project) and engine.project is None:
        engine = replace(engine, project=read_project("workflow_params.project", project))
    if not is_absent(interruptible) and engine.use_interruptible_instances is None:
        source = "workflow_params.use_interruptible_instances"
        engine = replace(engine, use_interruptible_instances=read_boolean(source, interruptible))
    return engine


def _app_path(url: str, api_host: str) -> str | None:
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.query or parts.fragment:
        return None
    if parts.scheme in _APP_SCHEMES:
        return unquote(f"{parts.netloc}{parts.path}").removesuffix("/")
    if parts.scheme == "https" and parts.hostname == api_host and parts.path.startswith("/v2/apps/"):
        return unquote(parts.path.removeprefix("/v2/apps/")).removesuffix("/").removesuffix("/raw")
    return None


def _is_name(segment: str) -> bool:
    return segment not in (".", "..") and _SEGMENT.fullmatch(segment) is not None


def _not_an_app(workflow_url: str) -> WrongProvider:
    return WrongProvider(f"workflow_url {public_url(workflow_url)!r} names no app of Seven Bridges: use {APP_FORMS}")
