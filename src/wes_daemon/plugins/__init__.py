"""The interface for authors of providers.

A package registers a subclass of `ProviderPlugin` under the entry point group `wes_daemon.providers`, with the
provider's name as the name of the entry point. The providers of wes-daemon itself are registered in the same way.

This module has everything that a plug-in imports, except the types of settings (`wes_daemon.plugins.setting_types`) and
the contract suite that each provider has to pass (`wes_daemon.testing`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, Allowance, CallGate, OpenCallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    AnswerLost,
    Misconfigured,
    NotEnabled,
    NotNow,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Throttled,
    Unavailable,
    Unprovable,
    WrongProvider,
    in_doubt,
)
from wes_daemon.application.ports.events import HintSource, HintsUnavailable, Message, Receipt, Subject
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    Idempotency,
    Needed,
    OwnedPage,
    OwnedRun,
    Prepared,
    ProviderLimits,
    ProviderTask,
    Recorded,
    RunDetails,
    Submission,
    WorkflowProvider,
    all_needed,
    as_key,
    key_of,
    nothing_recorded,
    run_id_of,
)
from wes_daemon.domain.errors import InvalidRequest, WesDaemonError
from wes_daemon.domain.runs import (
    Attachment,
    IdempotencyKey,
    ProviderRunId,
    ProviderType,
    RunId,
    StatusReport,
    WorkflowRequest,
)
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.accounts import account_name
from wes_daemon.plugins.base_provider import BaseProvider
from wes_daemon.plugins.rates import Rate, read_rates, read_window, window_rate
from wes_daemon.plugins.setting_types import SecretFile, without_quotation_marks

CONTRACT_VERSION = 1
"""The version of this interface. It grows when a plug-in for the version before would no longer work."""

ENTRY_POINT_GROUP = "wes_daemon.providers"


class ProviderSettings(BaseModel):
    """The settings of one kind of provider.

    Each field has the name of its environment variable as `validation_alias`, and its meaning as `description`. A value
    is the text of the variable; a variable that is empty counts as not set.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _without_quotation_marks(cls, value: object) -> object:
        return without_quotation_marks(value)


SettingsT = TypeVar("SettingsT", bound=ProviderSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """The settings suffice to build the provider.

    Attributes:
        target: where the runs go, for the start line, such as `lab/project@api.example.org`; without secrets.
    """

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The settings do not suffice to build the provider.

    Attributes:
        settings: what is missing: variables, each perhaps with its alternatives.
        is_partial: whether other settings of the provider were given, so that it is probably meant to be used.
        advice: what else a person should know before setting them; a clause, or empty.
    """

    settings: Sequence[str]
    is_partial: bool = False
    advice: str = ""

    def __str__(self) -> str:
        """Return the advice as the end of a sentence about the provider."""
        degree = "only half set up" if self.is_partial else "not set up"
        return f"it is {degree}: set {' and '.join(self.settings)}{f'; {self.advice}' if self.advice else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTraits:
    """What the core and the command line need to know without building the provider.

    Attributes:
        title: the provider's name in messages, such as `Seven Bridges`.
        engines: the workflow engines for which it stands: runs with such a `workflow_engine`, in any case, and without
            the tag `provider_type` go to it, unless DAEMON_ENGINE_PROVIDERS says otherwise.
        runs_here: whether it executes runs on the daemon's machine, so that runs can name files of this machine.
        try_out: settings with which a person can try the provider at once, as text for a shell.
    """

    title: str
    engines: Collection[str] = ()
    runs_here: bool = False
    try_out: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The result of one check of a provider.

    Attributes:
        subject: what was checked, such as `the token`.
        problem: what is wrong and what fixes it; empty if nothing is.
    """

    subject: str
    problem: str = ""


def _open_gate(rates: Mapping[str, Rate], account: str) -> CallGate:
    del rates, account
    return OpenCallGate()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTools:
    """What a provider gets from the daemon.

    Attributes:
        name: the name under which the provider serves runs; several providers of one kind have different names.
        connect_timeout: the longest time in which one request may connect.
        read_timeout: the longest wait for the answer to one request. Both together end before the daemon's lease.
        connections: how many threads may call the provider at once.
        make_gate: makes the gate of `gate`.
    """

    name: ProviderType
    clock: Clock
    connect_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=25)
    connections: int = 32
    make_gate: Callable[[Mapping[str, Rate], str], CallGate] = _open_gate

    def gate(self, rates: Mapping[str, Rate], *, account: str) -> CallGate:
        """Return the gate from which the provider's client gets permission for each request.

        Args:
            rates: by operation; see `ALL_OPERATIONS`.
            account: identifies the account at the service to all daemons, which share its rates. `account_name` of
                `wes_daemon.plugins.accounts` makes one of parts that may be secret.
        """
        return self.make_gate(rates, account)


class ProviderPlugin(ABC, Generic[SettingsT]):
    """One kind of provider.

    Importing the module of a subclass must not import the SDK of its service: `wes-daemon providers` and every other
    command imports all plug-ins.

    Attributes:
        contract: the `CONTRACT_VERSION` for which the plug-in was written. Each subclass states it as a number.
        name: the kind's name, equal to the name of the entry point.
        settings: the model of its settings.
    """

    contract: ClassVar[int]
    name: ClassVar[ProviderType]
    traits: ClassVar[ProviderTraits]
    settings: type[SettingsT]

    @abstractmethod
    def is_configured(self, settings: SettingsT) -> Configured | Missing:
        """Return whether the settings suffice, without a request; other errors are found by `build` and later."""

    @abstractmethod
    def build(self, settings: SettingsT, tools: ProviderTools) -> WorkflowProvider:
        """Build the provider, without a request. Called once, before its first use, if it is configured.

        Raises:
            Misconfigured: a setting is wrong; the message says what fixes it. It is called again later.
        """

    def hints(self, settings: SettingsT, tools: ProviderTools) -> HintSource | None:
        """Return the source of messages about the provider's runs, without a request; None if the settings name none.

        It is called once, at the daemon's start; what is wrong is found by the source's first `receive`.
        """
        del settings, tools
        return None

    def check_request(self, settings: SettingsT, submission: Submission) -> None:
        """Check, without a request, that the provider does not refuse the run before its first call.

        Args:
            settings: may lack everything: a person may queue runs where the provider is not configured.
            submission: without a real key; its `run_id` is that of no run.

        Raises:
            Rejected: the provider would refuse the run; the message says what fixes it.
            Misconfigured: a setting is wrong.
        """
        del settings, submission

    def takes_workflow(self, settings: SettingsT, submission: Submission) -> bool:
        """Return whether `workflow_url` names a workflow of the kind that this provider executes.

        By default, False for a plug-in without rules in `check_request`, which cannot tell.
        """
        if type(self).check_request is ProviderPlugin.check_request:
            return False
        try:
            self.check_request(settings, submission)
        except ProviderError:
            return False
        return True

    def examine(self, settings: SettingsT, tools: ProviderTools) -> Iterable[Examination]:
        """Check the set-up with requests that change nothing, for a person; by default one page of the owned runs."""
        subject = f"{self.traits.title} answers a request for runs"
        try:
            self.build(settings, tools).owned_runs(tools.clock.now())
        except ProviderError as error:
            yield Examination(subject=subject, problem=str(error))
        else:
            yield Examination(subject=subject)

    def secrets(self, settings: SettingsT) -> Collection[str]:
        """Return the texts that must not appear in logs and messages; by default all secrets of the settings."""
        values = [getattr(settings, name) for name in type(settings).model_fields]
        texts = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        return [*texts, *(text for value in values if isinstance(value, SecretFile) and (text := value.read_if_any()))]


__all__ = [
    "ALL_OPERATIONS",
    "CONTRACT_VERSION",
    "ENTRY_POINT_GROUP",
    "Accepted",
    "Allowance",
    "AmbiguousRefusal",
    "AnswerLost",
    "Attachment",
    "BaseProvider",
    "CallGate",
    "Clock",
    "Configured",
    "EndedPage",
    "Examination",
    "HintSource",
    "HintsUnavailable",
    "Idempotency",
    "IdempotencyKey",
    "InvalidRequest",
    "Message",
    "Misconfigured",
    "Missing",
    "Needed",
    "NotEnabled",
    "NotNow",
    "NotSent",
    "OpenCallGate",
    "OutcomeUnknown",
    "OwnedPage",
    "OwnedRun",
    "Prepared",
    "ProviderError",
    "ProviderLimits",
    "ProviderPlugin",
    "ProviderRunId",
    "ProviderSettings",
    "ProviderTask",
    "ProviderTools",
    "ProviderTraits",
    "ProviderType",
    "Rate",
    "Receipt",
    "Recorded",
    "Rejected",
    "RunDetails",
    "RunId",
    "RunState",
    "StatusReport",
    "Subject",
    "Submission",
    "Throttled",
    "Unavailable",
    "Unprovable",
    "WesDaemonError",
    "WorkflowProvider",
    "WorkflowRequest",
    "WrongProvider",
    "account_name",
    "all_needed",
    "as_key",
    "in_doubt",
    "key_of",
    "nothing_recorded",
    "read_rates",
    "read_window",
    "run_id_of",
    "window_rate",
]
