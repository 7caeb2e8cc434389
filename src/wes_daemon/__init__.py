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
    from wes_daemon.adapters.persistence.schema import Schema
    from wes_daemon.application.following.cancel_runs import CancelReport, CancelRuns
    from wes_daemon.application.following.refresh_statuses import RefreshReport, RefreshStatuses
    from wes_daemon.application.following.status_recorder import PollOutcome
    from wes_daemon.application.ports.checks import Check, CheckResult, Severity, Violation
    from wes_daemon.application.ports.environment import Clock, IdSource
    from wes_daemon.application.ports.errors import (
        AnswerLost,
        Misconfigured,
        NotEnabled,
        NotInReview,
        NotNow,
        NotSent,
        OutcomeUnknown,
        Rejected,
        RunNotFound,
        ServiceTablesMissing,
        StorageMisconfigured,
        StorageRefused,
        StorageUnavailable,
        Throttled,
        Unavailable,
        Unprovable,
    )
    from wes_daemon.application.ports.leases import DaemonInfo, SessionId
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
    from wes_daemon.application.ports.runs import TimelineEntry
    from wes_daemon.application.ports.submissions import SubmissionState
    from wes_daemon.application.ports.unit_of_work import UnitOfWork
    from wes_daemon.application.ports.wakeup import Listener, WakeUp
    from wes_daemon.application.reconciling.discrepancies import Discrepancy, DiscrepancyKind, Repair, Tolerances
    from wes_daemon.application.reconciling.reconcile import Reconcile, ReconcileReport
    from wes_daemon.application.reconciling.repairing import RepairResult
    from wes_daemon.application.reconciling.resolve_review import ResolveReview
    from wes_daemon.application.reconciling.verify import Verify, VerifyReport
    from wes_daemon.application.requests.create_run import CreateRun
    from wes_daemon.application.requests.request_cancel import RequestCancel
    from wes_daemon.application.runtime.daemon import Daemon, PeriodicTask
    from wes_daemon.application.runtime.outage_log import OutageLog
    from wes_daemon.application.runtime.stop_signal import StopSignal
    from wes_daemon.application.submitting.outcomes import Outcome
    from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
    from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns, SubmitReport
    from wes_daemon.application.submitting.unserved_runs import UnservedReport
    from wes_daemon.bootstrap.application import Application, RunOnceReport, build_application
    from wes_daemon.bootstrap.plug_ins import InstalledPlugin
    from wes_daemon.bootstrap.provider_settings import ProviderInstance
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
        TaskId,
        TaskLog,
        WorkflowRequest,
    )
    from wes_daemon.domain.states import RunState

_MODULES = {
    "adapters.memory.environment": "CountingIds InlineExecutor ManualClock",
    "adapters.memory.providers": "MemoryProvider MemoryProviderDirectory PreparingMemoryProvider",
    "adapters.memory.queries": "MemoryRunQueries",
    "adapters.memory.store": "MemoryStore",
    "adapters.memory.telemetry": "MemoryTelemetry",
    "adapters.memory.unit_of_work": "MemoryUnitsOfWork",
    "adapters.memory.wakeup": "SkippingWakeUp",
    "adapters.persistence.schema": "Schema",
    "application.following.cancel_runs": "CancelReport CancelRuns",
    "application.following.refresh_statuses": "RefreshReport RefreshStatuses",
    "application.following.status_recorder": "PollOutcome",
    "application.ports.checks": "Check CheckResult Severity Violation",
    "application.ports.environment": "Clock IdSource",
    "application.ports.errors": (
        "AnswerLost Misconfigured NotEnabled NotInReview NotNow NotSent OutcomeUnknown Rejected RunNotFound "
        "ServiceTablesMissing StorageMisconfigured StorageRefused StorageUnavailable Throttled Unavailable "
        "Unprovable"
    ),
    "application.ports.leases": "DaemonInfo SessionId",
    "application.ports.providers": (
        "Accepted OwnedPage OwnedRun Prepared ProviderDirectory ProviderLimits ProviderTask RunDetails "
        "Submission WorkflowProvider"
    ),
    "application.ports.queries": "RunFilter RunQueries RunRecord",
    "application.ports.runs": "TimelineEntry",
    "application.ports.submissions": "SubmissionState",
    "application.ports.unit_of_work": "UnitOfWork",
    "application.ports.wakeup": "Listener WakeUp",
    "application.reconciling.discrepancies": "Discrepancy DiscrepancyKind Repair Tolerances",
    "application.reconciling.reconcile": "Reconcile ReconcileReport",
    "application.reconciling.repairing": "RepairResult",
    "application.reconciling.resolve_review": "ResolveReview",
    "application.reconciling.verify": "Verify VerifyReport",
    "application.requests.create_run": "CreateRun",
    "application.requests.request_cancel": "RequestCancel",
    "application.runtime.daemon": "Daemon PeriodicTask",
    "application.runtime.outage_log": "OutageLog",
    "application.runtime.stop_signal": "StopSignal",
    "application.submitting.outcomes": "Outcome",
    "application.submitting.submission_policy": "SubmissionPolicy",
    "application.submitting.submit_queued_runs": "SubmitQueuedRuns SubmitReport",
    "application.submitting.unserved_runs": "UnservedReport",
    "bootstrap.application": "Application RunOnceReport build_application",
    "bootstrap.plug_ins": "InstalledPlugin",
    "bootstrap.provider_settings": "ProviderInstance",
    "bootstrap.setting_problems": "ConfigurationError",
    "bootstrap.settings": "Settings read_settings",
    "domain.errors": "IllegalTransition InvalidRequest UnknownProvider WesDaemonError",
    "domain.runs": (
        "Attachment ProviderRunId ProviderType Run RunId RunSummary StatusReport TaskId TaskLog WorkflowRequest"
    ),
    "domain.states": "RunState",
}

_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "Accepted",
    "AnswerLost",
    "Application",
    "Attachment",
    "CancelReport",
    "CancelRuns",
    "Check",
    "CheckResult",
    "Clock",
    "ConfigurationError",
    "CountingIds",
    "CreateRun",
    "Daemon",
    "DaemonInfo",
    "Discrepancy",
    "DiscrepancyKind",
    "IdSource",
    "IllegalTransition",
    "InlineExecutor",
    "InstalledPlugin",
    "InvalidRequest",
    "Listener",
    "ManualClock",
    "MemoryProvider",
    "MemoryProviderDirectory",
    "MemoryRunQueries",
    "MemoryStore",
    "MemoryTelemetry",
    "MemoryUnitsOfWork",
    "Misconfigured",
    "NotEnabled",
    "NotInReview",
    "NotNow",
    "NotSent",
    "OutageLog",
    "Outcome",
    "OutcomeUnknown",
    "OwnedPage",
    "OwnedRun",
    "PeriodicTask",
    "PollOutcome",
    "Prepared",
    "PreparingMemoryProvider",
    "ProviderDirectory",
    "ProviderInstance",
    "ProviderLimits",
    "ProviderRunId",
    "ProviderTask",
    "ProviderType",
    "Reconcile",
    "ReconcileReport",
    "RefreshReport",
    "RefreshStatuses",
    "Rejected",
    "Repair",
    "RepairResult",
    "RequestCancel",
    "ResolveReview",
    "Run",
    "RunDetails",
    "RunFilter",
    "RunId",
    "RunNotFound",
    "RunOnceReport",
    "RunQueries",
    "RunRecord",
    "RunState",
    "RunSummary",
    "Schema",
    "ServiceTablesMissing",
    "SessionId",
    "Settings",
    "Severity",
    "SkippingWakeUp",
    "StatusReport",
    "StopSignal",
    "StorageMisconfigured",
    "StorageRefused",
    "StorageUnavailable",
    "Submission",
    "SubmissionPolicy",
    "SubmissionState",
    "SubmitQueuedRuns",
    "SubmitReport",
    "TaskId",
    "TaskLog",
    "Throttled",
    "TimelineEntry",
    "Tolerances",
    "Unavailable",
    "UnitOfWork",
    "UnknownProvider",
    "Unprovable",
    "UnservedReport",
    "Verify",
    "VerifyReport",
    "Violation",
    "WakeUp",
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
