"""What a request asks for, read before any call is made, and the task that is made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta

from wes_daemon.adapters.providers.sevenbridges.apps import App, read_app
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.engine_parameters import (
    EngineParameters,
    read_engine_parameters,
    read_project,
    read_truth,
)
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import IdempotencyKey, RunId

_EXECUTION_SETTINGS = ("instance_type", "max_parallel_instances", "use_memoization", "use_elastic_disk")
_ENVELOPE = frozenset({"project", "inputs", "use_interruptible_instances"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request in the platform's terms; its inputs still name files as the user did.

    Attributes:
        is_own_project: whether the project is that of the settings, so that its troubles are ours.
        alone_since: when nobody else could make a task of this key any more that will be started; None where somebody
            may, or an earlier attempt has perhaps made one.
    """

    key: IdempotencyKey
    run_id: RunId
    project: str
    is_own_project: bool
    app: App
    inputs: Mapping[str, object]
    engine: EngineParameters
    attachments: frozenset[str] = frozenset()
    alone_since: timedelta | None = None


def read_plan(submission: Submission, config: SevenBridgesConfig) -> Plan:
    """Judge a request without a call.

    Raises:
        Rejected: it can never work; the message says what would mend it.
    """
    request = submission.request
    engine = read_engine_parameters(request.engine_parameters, submission.tags)
    inputs, engine = _opened(request.params, engine)
    project = engine.project or config.project
    return Plan(
        key=submission.key,
        run_id=submission.run_id,
        project=project,
        is_own_project=project == config.project,
        app=read_app(request.workflow_url, api_host=config.host),
        inputs=inputs,
        engine=engine,
        attachments=frozenset(attachment.name for attachment in submission.attachments),
        alone_since=None if submission.resumed or submission.prepared_id else submission.claimed_since,
    )


def task_body(plan: Plan, inputs: Mapping[str, object]) -> Mapping[str, object]:
    """The body that creates the draft.

    The marker stands in the name for people and in the description for us: a task that runs can be renamed.
    """
    engine = {field.name: getattr(plan.engine, field.name) for field in fields(plan.engine)}
    asked = {name: value for name, value in engine.items() if value is not None}
    settings = {name: asked[name] for name in _EXECUTION_SETTINGS if name in asked}
    others: dict[str, object] = {
        name: asked[name] for name in ("use_interruptible_instances", "output_location") if name in asked
    }
    return {
        "name": str(plan.key),
        "description": description(plan.key, plan.run_id),
        "project": plan.project,
        "app": str(plan.app),
        "inputs": inputs,
        **others,
        **({"execution_settings": settings} if settings else {}),
    }


def description(key: IdempotencyKey, run_id: RunId) -> str:
    """A task's description: the marker in the first line."""
    return f"{key}\nStarted by wes-daemon for the WES run {run_id}; wes-daemon finds its task by these lines."


def _opened(params: Mapping[str, object], engine: EngineParameters) -> tuple[Mapping[str, object], EngineParameters]:
    """Inputs and parameters, where the vendor's own WES would have both in `workflow_params`.

    An app may have ports of these names: only an object `inputs` with nothing but its companions is an envelope.
    """
    inputs = params.get("inputs")
    if not isinstance(inputs, Mapping) or "class" in inputs:
        return params, engine
    if "project" not in params and not params.keys() <= _ENVELOPE:
        return params, engine
    if unknown := sorted(params.keys() - _ENVELOPE):
        raise Rejected(
            f"workflow_params: {', '.join(unknown)}: beside project and inputs only "
            "use_interruptible_instances is known; put what the workflow takes into inputs"
        )
    return inputs, _with_envelope(params, engine)


def _with_envelope(params: Mapping[str, object], engine: EngineParameters) -> EngineParameters:
    """The engine's parameters come first."""
    project, spot = params.get("project"), params.get("use_interruptible_instances")
    if project is not None and engine.project is None:
        engine = replace(engine, project=read_project("workflow_params.project", project))
    if spot is not None and engine.use_interruptible_instances is None:
        where = "workflow_params.use_interruptible_instances"
        engine = replace(engine, use_interruptible_instances=read_truth(where, spot))
    return engine
