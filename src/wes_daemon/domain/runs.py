"""A run, its request, and the changes that a run can undergo."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import ClassVar, NewType, Self
from uuid import UUID, uuid5

from wes_daemon.domain.addresses import public_url
from wes_daemon.domain.errors import IllegalTransition, InvalidRequest, UnknownProvider
from wes_daemon.domain.states import RunState

RunId = NewType("RunId", str)
"""The WES run id, unique in the database; often a UUID, at most 36 characters."""

ProviderRunId = NewType("ProviderRunId", str)
"""The provider's id of a provider run."""

IdempotencyKey = NewType("IdempotencyKey", str)
"""The key under which a run is submitted; the same key never starts a second provider run."""

TaskId = NewType("TaskId", str)
"""The id of one task log: a UUID of 36 characters that stays the same at every refresh."""

PROVIDER_TYPE_TAG = "provider_type"
PROVIDER_ID_TAG = "provider_id"
ERROR_TAG = "error"
UNREADABLE_TAGS_TAG = "unreadable_tags"
RESERVED_TAGS = (PROVIDER_TYPE_TAG, PROVIDER_ID_TAG, ERROR_TAG, UNREADABLE_TAGS_TAG)
"""The tags that the daemon writes."""

_LONGEST_PROVIDER_NAME = 40
_PROVIDER_NAME = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{_LONGEST_PROVIDER_NAME - 1}}}")
_FORM_OF_PROVIDER_NAME = (
    f"use lower-case letters, digits and -, at most {_LONGEST_PROVIDER_NAME}, with a letter or digit first"
)
_TASK_NAMESPACE = UUID("6f3c1f0e-6b0c-5b8e-9d52-0f6a6e1f4d0b")


class ProviderType(str):
    """The name of a provider, as a run's tag `provider_type` has it: lower-case letters, digits and `-`."""

    __slots__ = ()

    SEVENBRIDGES: ClassVar["ProviderType"]
    HEALTHOMICS: ClassVar["ProviderType"]
    LOCAL: ClassVar["ProviderType"]
    WES: ClassVar["ProviderType"]

    def __new__(cls, name: str) -> Self:
        """Return the name; raises `ValueError` if it has another form."""
        if not _PROVIDER_NAME.fullmatch(name):
            raise ValueError(f"{name[:_LONGEST_PROVIDER_NAME]!r} is no provider's name: {_FORM_OF_PROVIDER_NAME}")
        return super().__new__(cls, name)


ProviderType.SEVENBRIDGES = ProviderType("sevenbridges")
ProviderType.HEALTHOMICS = ProviderType("healthomics")
ProviderType.LOCAL = ProviderType("local")
ProviderType.WES = ProviderType("wes")

DEFAULT_PROVIDER = ProviderType.SEVENBRIDGES
"""The provider of runs that name none, unless a setting says otherwise; the former daemon knew no other default."""


EngineProviders = Mapping[str, ProviderType | None]
"""The provider of runs whose tags name none, by the workflow engine's name in lower case.

None stands for an engine whose runs no provider executes. Runs of engines that are not named have the default provider.
"""

NO_ENGINES: EngineProviders = MappingProxyType({})
"""The engines do not matter."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A stored value that is not JSON, kept as it was found."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that came with a request.

    Attributes:
        name: its path relative to the run's directory, with `/` between folders; never absolute, without `..`.
        content: its bytes as sent.
    """

    name: str
    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _is_text(self.name):
            raise InvalidRequest(f"attachment: the name is a {type(self.name).__name__}: pass a text")
        path = PurePosixPath(self.name)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in self.name or "\0" in self.name:
            raise InvalidRequest(
                f"attachment {self.name!r}: the name must be a path below the run's directory, such as 'tools/echo.cwl'"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRequest:
    """A request to run a workflow (schema `RunRequest` of WES 1.1.0).

    `workflow_params` and `workflow_engine_parameters` should be JSON objects, but a database may hold any value: they
    are kept as found and checked when they are read.
    """

    workflow_url: str
    workflow_type: str
    workflow_type_version: str
    workflow_params: object = field(default_factory=dict)
    workflow_engine: str | None = None
    workflow_engine_version: str | None = None
    workflow_engine_parameters: object = field(default_factory=dict)

    @property
    def params(self) -> Mapping[str, object]:
        """The workflow's inputs; raises `InvalidRequest` if they are not an object."""
        return _as_object("workflow_params", self.workflow_params)

    @property
    def engine_parameters(self) -> Mapping[str, object]:
        """The engine's parameters; raises `InvalidRequest` if they are not an object."""
        return _as_object("workflow_engine_parameters", self.workflow_engine_parameters)

    def validate(self) -> None:
        """Raise `InvalidRequest` if no provider could run the request."""
        if not self.workflow_url.strip():
            raise InvalidRequest("workflow_url is empty: name the workflow to run")
        # `str.isprintable` rejects all white space except the plain space.
        if " " in self.workflow_url or not self.workflow_url.isprintable():
            raise InvalidRequest(
                f"workflow_url {public_url(self.workflow_url)!r} has blanks or control characters: percent-encode them"
            )
        _ = self.params, self.engine_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLog:
    """One step of a run (schema `TaskLog` of WES 1.1.0); times are aware, `stdout` and `stderr` are addresses."""

    id: TaskId
    name: str
    cmd: Sequence[str] = ()
    start_time: datetime | None = None
    end_time: datetime | None = None
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None
    system_logs: Sequence[str] = ()


def task_id(run_id: RunId, provider_task_id: str) -> TaskId:
    """Return the id of a task log: a function of the run's id and the provider's task id, so that it never changes."""
    return TaskId(str(uuid5(_TASK_NAMESPACE, f"{run_id}/{provider_task_id}")))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """What a provider answered about one run.

    Attributes:
        state: the run's state in the terms of WES; `UNKNOWN` if the answer cannot be read, `INITIALIZING` while the run
            waits at the provider.
        provider_status: the provider's own status, verbatim.
        started_at, ended_at: aware.
        message: the provider's explanation, for a person; empty if it gave none.
    """

    state: RunState
    provider_status: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A WES run without its request, which may be large (schema `RunSummary` of WES 1.1.0).

    Its methods return the changed run; nothing is changed in place.

    Attributes:
        tags: the caller's tags and the daemon's; a value that is not a JSON object is kept as it was found.
        workflow_engine: as in the request.
        provider, provider_run_id: the provider that accepted the run, and its id there; None before the acceptance.
        start_time, end_time: aware.
    """

    id: RunId
    state: RunState = RunState.QUEUED
    tags: object = field(default_factory=dict)
    workflow_engine: str | None = None
    provider: ProviderType | None = None
    provider_run_id: ProviderRunId | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def idempotency_key(self) -> IdempotencyKey:
        """The key, derived from the run id alone, so that it survives the loss of all other records."""
        return IdempotencyKey(f"wes-{self.id}")

    @property
    def error(self) -> str | None:
        """Why the run failed or could not be submitted, as text for a person."""
        found = self.tags.get(ERROR_TAG) if isinstance(self.tags, Mapping) else None
        return str(found) if found is not None else None

    @property
    def tag_values(self) -> Mapping[str, object]:
        """The tags by name; raises `InvalidRequest` if they are not an object."""
        return _as_object("tags", self.tags)

    @property
    def engine_name(self) -> str:
        """The workflow engine's name, as `EngineProviders` has it."""
        return (self.workflow_engine or "").strip().lower()

    def destination(self, default: ProviderType, engines: EngineProviders = NO_ENGINES) -> ProviderType:
        """Return the provider that the tags name, else the one of the workflow engine, else `default`.

        Raises:
            UnknownProvider: the tag holds no provider's name, or no provider executes runs of the engine.
            InvalidRequest: the tags are not a JSON object.
        """
        return self.named_provider(engines) or default

    def destination_if_valid(self, default: ProviderType, engines: EngineProviders = NO_ENGINES) -> ProviderType | None:
        """As `destination`; None instead of an error."""
        try:
            return self.destination(default, engines)
        except InvalidRequest:
            return None

    def named_provider(self, engines: EngineProviders = NO_ENGINES) -> ProviderType | None:
        """As `destination`; None if neither the tags nor the engine name a provider."""
        named = self.tag_values.get(PROVIDER_TYPE_TAG)
        if named is None or named == "":
            return self._provider_of_engine(engines)
        try:
            return ProviderType(str(named).strip().lower())
        except ValueError as error:
            raise UnknownProvider(f"tags.{PROVIDER_TYPE_TAG}: {error}") from None

    def accepted(self, provider: ProviderType, provider_run_id: ProviderRunId) -> Self:
        """The run after a provider accepted it; a run that was cancelled meanwhile keeps its state.

        The error of an earlier submission is removed, unless the run has ended.
        """
        tags = self._tags_with({PROVIDER_TYPE_TAG: str(provider), PROVIDER_ID_TAG: provider_run_id})
        if not self.state.has_ended:
            tags = {name: value for name, value in tags.items() if name != ERROR_TAG}
        return replace(
            self,
            state=RunState.INITIALIZING if self.state.may_become(RunState.INITIALIZING) else self.state,
            provider=provider,
            provider_run_id=provider_run_id,
            tags=tags,
        )

    def rejected(self, reason: str, at: datetime) -> Self:
        """The run after its rejection; a run that is being cancelled ends `CANCELED`."""
        if self.provider_run_id is not None:
            raise IllegalTransition(f"run {self.id} was accepted by {self.provider} and cannot be rejected any more")
        if self.state.has_ended:
            return self.with_end_time(at)
        ended = RunState.CANCELED if self.state is RunState.CANCELING else RunState.SYSTEM_ERROR
        return replace(
            self, state=ended, end_time=_end_time(at, self.start_time), tags=self._tags_with({ERROR_TAG: reason})
        )

    def cancelled_before_submission(self, at: datetime) -> Self:
        """The run after it was cancelled before any provider had it."""
        if self.state.has_ended:
            return self.with_end_time(at)
        return self._ended(RunState.CANCELED, at, "", self.start_time)

    def cancel_requested(self) -> Self:
        """The run after its cancellation was requested; repeating the request changes nothing."""
        if self.state is RunState.CANCELING:
            return self
        if not self.state.may_become(RunState.CANCELING):
            raise IllegalTransition(f"run {self.id} has ended as {self.state} and cannot be cancelled any more")
        return replace(self, state=RunState.CANCELING)

    def updated(self, report: StatusReport, at: datetime) -> Self:
        """The run after a status report that was requested at `at`; the run's state only moves forward."""
        if self.state.has_ended:
            return self.with_end_time(report.ended_at or at) if report.state.has_ended else self
        # A WES service may write QUEUED over the state of an accepted run. The report then counts from INITIALIZING on.
        current = RunState.INITIALIZING if self.state is RunState.QUEUED and self.provider_run_id else self.state
        state = report.state if current.may_become(report.state) else current
        started = report.started_at or self.start_time
        if started is None and state in (RunState.RUNNING, RunState.PAUSED, RunState.COMPLETE):
            started = at
        if not state.has_ended:
            return replace(self, state=state, start_time=started)
        return self._ended(state, report.ended_at or at, report.message, started)

    def lost(self, reason: str, at: datetime) -> Self:
        """The run after its provider no longer knows it; a run that is being cancelled ends `CANCELED`."""
        if self.state.has_ended:
            return self.with_end_time(at)
        ended = RunState.CANCELED if self.state is RunState.CANCELING else RunState.SYSTEM_ERROR
        return self._ended(ended, at, reason, self.start_time)

    def with_end_time(self, at: datetime) -> Self:
        """The ended run with an end time: a WES service may have ended it without one."""
        return self if self.end_time else replace(self, end_time=_end_time(at, self.start_time))

    def with_tag(self, name: str, value: object) -> Self:
        """The run with this tag in addition to the others."""
        return replace(self, tags=self._tags_with({name: value}))

    def _provider_of_engine(self, engines: EngineProviders) -> ProviderType | None:
        provider = engines.get(self.engine_name)
        if provider is None and self.engine_name in engines:
            raise UnknownProvider(
                f"workflow_engine is {self.workflow_engine!r}, whose runs no provider executes; "
                f"the tag {PROVIDER_TYPE_TAG} chooses a provider"
            )
        return provider

    def with_tags(self, added: Mapping[str, object]) -> Self:
        """The run with these tags, which replace tags of the same names."""
        return replace(self, tags=self._tags_with(added)) if added else self

    def _ended(self, state: RunState, at: datetime, message: str, started: datetime | None) -> Self:
        failed = state in (RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.PREEMPTED)
        tags = self._tags_with({ERROR_TAG: message}) if failed and message else self.tags
        return replace(self, state=state, start_time=started, end_time=_end_time(at, started), tags=tags)

    def _tags_with(self, added: Mapping[str, object]) -> Mapping[str, object]:
        if isinstance(self.tags, Mapping):
            return {**self.tags, **added}
        found = self.tags.text if isinstance(self.tags, Unreadable) else self.tags
        return {**({} if found is None else {UNREADABLE_TAGS_TAG: found}), **added}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(RunSummary):
    """A WES run with its request.

    Attributes:
        workflow_engine: always that of the request.
    """

    workflow_engine: str | None = field(init=False, default=None)
    request: WorkflowRequest

    def __post_init__(self) -> None:
        object.__setattr__(self, "workflow_engine", self.request.workflow_engine)


def _end_time(at: datetime, started: datetime | None) -> datetime:
    """Return the end time; it is never before the start, although two clocks may disagree."""
    return max(at, started) if started else at


def _is_text(value: object) -> bool:
    """Return whether a value is a text, whatever its declared type is."""
    return isinstance(value, str)


def _as_object(name: str, value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Unreadable):
        raise InvalidRequest(f"{name} holds text that is not JSON: store a JSON object, such as {{}}")
    kinds = {list: "a list", str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    found = kinds.get(type(value), type(value).__name__)
    raise InvalidRequest(f"{name} must be a JSON object with names and values, but holds {found}")
