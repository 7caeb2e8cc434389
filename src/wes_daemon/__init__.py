"""A daemon for GA4GH WES services: submits queued runs to their providers and follows them to their end.

`__all__` lists the public names; everything else may change. A name is imported when it is first used, so that
`import wes_daemon` is fast. The table `_MODULES` and the imports for type checkers are compared by a test.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wes_daemon.adapters.memory.environment import CountingIds, InlineExecutor, ManualClock
    from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory, PreparingMemoryProvider
    from wes_daemon.adapters.memory.queries import MemoryRunQueries
    from wes_daemon.adapters.memory.store import MemoryStore
    from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
    from wes_daemon.adapters.memory.unit_of_work import MemoryUnitsOfWork
    from wes_daemon.adapters.memory.wakeup import SkippingWakeUp
    from wes_daemon.application.following.cancel_runs import CancelRuns
    from wes_daemon.application.following.refresh_statuses import RefreshStatuses
    from wes_daemon.application.ports.errors import (
        AnswerLost,
        Misconfigured,
        NotInReview,
        NotNow,
        NotSent,
        OutcomeUnknown,
        Rejected,
        RunNotFound,
        ServiceTablesMissing,
        StorageMisconfigured,
        StorageUnavailable,
        Throttled,
        Unavailable,
        Unprovable,
    )
    from wes_daemon.application.ports.providers import (
        Accepted,
        OwnedPage,
        OwnedRun,
        Prepared,
        ProviderDirectory,
        ProviderLimits,
        ProviderTask,
        RunDetails,
        Submission,
        WorkflowProvider,
    )
    from wes_daemon.application.ports.queries import RunFilter, RunQueries, RunRecord
    from wes_daemon.application.ports.unit_of_work import UnitOfWork
    from wes_daemon.application.reconciling.resolve_review import ResolveReview
    from wes_daemon.application.requests.create_run import CreateRun
    from wes_daemon.application.requests.request_cancel import RequestCancel
    from wes_daemon.application.runtime.daemon import Daemon, PeriodicTask
    from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
    from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns
    from wes_daemon.bootstrap.application import Application, build_application
    from wes_daemon.bootstrap.setting_problems import ConfigurationError
    from wes_daemon.bootstrap.settings import Settings, read_settings
    from wes_daemon.domain.errors import IllegalTransition, InvalidRequest, UnknownProvider, WesDaemonError
    from wes_daemon.domain.runs import (
        Attachment,
        ProviderRunId,
        ProviderType,
        Run,
        RunId,
        RunSummary,
        StatusReport,
        TaskLog,
        WorkflowRequest,
    )
    from wes_daemon.domain.states import RunState

_MODULES = {
    "adapters.memory.environment": ("CountingIds", "InlineExecutor", "ManualClock"),
    "adapters.memory.providers": ("MemoryProvider", "MemoryProviderDirectory", "PreparingMemoryProvider"),
    "adapters.memory.queries": ("MemoryRunQueries",),
    "adapters.memory.store": ("MemoryStore",),
    "adapters.memory.telemetry": ("MemoryTelemetry",),
    "adapters.memory.unit_of_work": ("MemoryUnitsOfWork",),
    "adapters.memory.wakeup": ("SkippingWakeUp",),
    "application.runtime.daemon": ("PeriodicTask", "Daemon"),
    "application.ports.errors": (
        "AnswerLost",
        "NotSent",
        "Misconfigured",
        "NotInReview",
        "NotNow",
        "OutcomeUnknown",
        "Rejected",
        "RunNotFound",
        "ServiceTablesMissing",
        "StorageMisconfigured",
        "StorageUnavailable",
        "Throttled",
        "Unavailable",
        "Unprovable",
    ),
    "application.ports.queries": ("RunFilter", "RunQueries", "RunRecord"),
    "application.ports.unit_of_work": ("UnitOfWork",),
    "application.ports.providers": (
        "Accepted",
        "OwnedPage",
        "OwnedRun",
        "Prepared",
        "ProviderDirectory",
        "ProviderLimits",
        "ProviderTask",
        "RunDetails",
        "Submission",
        "WorkflowProvider",
    ),
    "application.following.cancel_runs": ("CancelRuns",),
    "application.requests.create_run": ("CreateRun",),
    "application.following.refresh_statuses": ("RefreshStatuses",),
    "application.requests.request_cancel": ("RequestCancel",),
    "application.submitting.submission_policy": ("SubmissionPolicy",),
    "application.submitting.submit_queued_runs": ("SubmitQueuedRuns",),
    "application.reconciling.resolve_review": ("ResolveReview",),
    "bootstrap.application": ("Application", "build_application"),
    "domain.errors": ("IllegalTransition", "InvalidRequest", "UnknownProvider", "WesDaemonError"),
    "domain.runs": (
        "Attachment",
        "ProviderRunId",
        "ProviderType",
        "Run",
        "RunId",
        "RunSummary",
        "StatusReport",
        "TaskLog",
        "WorkflowRequest",
    ),
    "domain.states": ("RunState",),
    "bootstrap.setting_problems": ("ConfigurationError",),
    "bootstrap.settings": ("Settings", "read_settings"),
}

_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}

__all__ = [
    "Accepted",
    "AnswerLost",
    "Application",
    "Attachment",
    "CancelRuns",
    "ConfigurationError",
    "CountingIds",
    "CreateRun",
    "Daemon",
    "IllegalTransition",
    "InlineExecutor",
    "InvalidRequest",
    "ManualClock",
    "MemoryProvider",
    "MemoryProviderDirectory",
    "MemoryRunQueries",
    "MemoryStore",
    "MemoryTelemetry",
    "MemoryUnitsOfWork",
    "Misconfigured",
    "NotInReview",
    "NotNow",
    "NotSent",
    "OutcomeUnknown",
    "OwnedPage",
    "OwnedRun",
    "PeriodicTask",
    "Prepared",
    "PreparingMemoryProvider",
    "ProviderDirectory",
    "ProviderLimits",
    "ProviderRunId",
    "ProviderTask",
    "ProviderType",
    "RefreshStatuses",
    "Rejected",
    "RequestCancel",
    "ResolveReview",
    "Run",
    "RunDetails",
    "RunFilter",
    "RunId",
    "RunNotFound",
    "RunQueries",
    "RunRecord",
    "RunState",
    "RunSummary",
    "ServiceTablesMissing",
    "Settings",
    "SkippingWakeUp",
    "StatusReport",
    "StorageMisconfigured",
    "StorageUnavailable",
    "Submission",
    "SubmissionPolicy",
    "SubmitQueuedRuns",
    "TaskLog",
    "Throttled",
    "Unavailable",
    "UnitOfWork",
    "UnknownProvider",
    "Unprovable",
    "WesDaemonError",
    "WorkflowProvider",
    "WorkflowRequest",
    "build_application",
    "read_settings",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
