"""Named points at which a test may kill, stop or fail a daemon, and the wrappers that reach them.

The package itself knows no fault points: the fault suite puts the wrappers into the container (`tests.faults.process`),
and the unit tests build their daemons with them. A point is reached immediately before or after an effect, and outside
of any transaction, except for the points that end in `before_commit`.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Self, cast

from wes_daemon.application.ports.providers import (
    Accepted,
    Prepared,
    ProviderDirectory,
    Submission,
    WorkflowProvider,
)
from wes_daemon.application.ports.unit_of_work import UnitOfWork, UnitsOfWork
from wes_daemon.application.ports.wakeup import ChangeFeed
from wes_daemon.application.reconciling.comparison import Comparison
from wes_daemon.application.reconciling.discrepancies import Discrepancy, Repair
from wes_daemon.application.reconciling.repairing import Repairer, RepairResult
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, ProviderType, StatusReport

POINTS = (
    "claim.before_commit",
    "claim.after_commit",
    "submit.before_call",
    "submit.after_answer",
    "prepared.before_commit",
    "prepared.after_commit",
    "start.before_call",
    "start.after_answer",
    "accepted.before_commit",
    "accepted.after_commit",
    "refresh.after_taking",
    "refresh.after_answer",
    "refresh.before_commit",
    "refresh.after_commit",
    "cancel.before_call",
    "cancel.after_answer",
    "lease.before_renewal",
    "lease.after_renewal",
    "janitor.before_removal",
    "stop.begun",
)
"""All points; the second part of a name says whether a call or a commit is about to happen or has happened."""

_listener: Callable[[str], None] | None = None


def reached(point: str) -> None:
    """Call the listener."""
    if _listener is not None:
        _listener(point)


def listen(listener: Callable[[str], None] | None) -> None:
    """Have `listener` called at each point, in the thread that reaches it; None for no listener."""
    global _listener
    _listener = listener


def units_with_points(units: Callable[[], UnitOfWork]) -> UnitsOfWork:
    """Reaches `claim`, `prepared`, `accepted` and `refresh` before and after their commits."""
    return lambda: cast(UnitOfWork, _UnitWithPoints(units()))


def add_points_to_session(session: DaemonSession) -> DaemonSession:
    """Reaches `lease.before_renewal` and `lease.after_renewal`."""
    renew = session.renew

    def renew_with_points() -> None:
        if session._current is None:
            # This opens the first lease, and renews none.
            return renew()
        reached("lease.before_renewal")
        renew()
        reached("lease.after_renewal")

    session.renew = renew_with_points  # type: ignore[method-assign]  # `renew_if_needed` calls this one, too
    return session


class DirectoryWithPoints:
    """A `ProviderDirectory` whose providers reach the points before calls and after answers."""

    def __init__(self, inner: ProviderDirectory) -> None:
        self._inner = inner

    @property
    def enabled(self) -> Collection[ProviderType]:
        return self._inner.enabled

    @property
    def known(self) -> Collection[ProviderType]:
        return self._inner.known

    def provider(self, type: ProviderType) -> WorkflowProvider:
        return cast(WorkflowProvider, _ProviderWithPoints(self._inner.provider(type)))


class ChangeFeedWithPoint:
    """A `ChangeFeed` that reaches `stop.begun`: closing it is the daemon's first action after the stop signal."""

    def __init__(self, inner: ChangeFeed) -> None:
        self._inner = inner

    def listen(self, hint: Callable[[], None]) -> None:
        self._inner.listen(hint)

    def close(self) -> None:
        reached("stop.begun")
        self._inner.close()


class RepairerWithPoint(Repairer):
    """Reaches `janitor.before_removal` before the database is read once more for a draft that is to be deleted."""

    def __init__(self, inner: Repairer) -> None:
        self._inner = inner

    def repair(self, found: Discrepancy, *, comparison: Comparison, provider: WorkflowProvider) -> RepairResult:
        if found.repair is Repair.DELETE_DRAFT:
            reached("janitor.before_removal")
        return self._inner.repair(found, comparison=comparison, provider=provider)


class _UnitWithPoints:
    """A `UnitOfWork` that reaches the points of what was written in it."""

    def __init__(self, inner: UnitOfWork) -> None:
        self._inner = inner
        self._before: list[str] = []
        self._after: list[str] = []

    @property
    def runs(self) -> Any:
        return self._inner.runs

    @property
    def leases(self) -> Any:
        return self._inner.leases

    @property
    def late_updates(self) -> Any:
        return self._inner.late_updates

    def isolate_refusals(self) -> Any:
        return self._inner.isolate_refusals()

    @property
    def submissions(self) -> Any:
        return _Noting(
            self._inner.submissions,
            {
                "claim": lambda claimed: self._note("claim") if claimed else None,
                "record_drafts": lambda _: self._note("prepared"),
                "record_acceptances": lambda _: self._note("accepted"),
            },
        )

    @property
    def polls(self) -> Any:
        return _Noting(
            self._inner.polls,
            {
                "lease_due": lambda leased: self._after.append("refresh.after_taking") if leased else None,
                "record_changed": lambda _: self._note("refresh"),
                "finish": lambda _: self._note("refresh"),
            },
        )

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.__exit__(kind, error, trace)

    def commit(self) -> None:
        for point in dict.fromkeys(self._before):
            reached(point)
        self._inner.commit()
        for point in dict.fromkeys(self._after):
            reached(point)

    def _note(self, what: str) -> None:
        self._before.append(f"{what}.before_commit")
        self._after.append(f"{what}.after_commit")


class _Noting:
    """Calls a function with the result of each of some methods."""

    def __init__(self, inner: object, after: Mapping[str, Callable[[Any], None]]) -> None:
        self._inner = inner
        self._after = after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        note = self._after.get(name)
        if note is None:
            return method

        def noted(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            note(result)
            return result

        return noted


class _ProviderWithPoints:
    """A `WorkflowProvider` that reaches the points before calls and after answers."""

    # The draft that the provider answered with last, in each thread: the next call that submits it starts it.
    _drafts = threading.local()

    def __init__(self, inner: WorkflowProvider) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def submit(self, submission: Submission) -> Accepted | Prepared:
        point = "start" if self._is_start(submission) else "submit"
        reached(f"{point}.before_call")
        answer = self._inner.submit(submission)
        if isinstance(answer, Prepared):
            self._drafts.last = (submission.key, answer.id)
        reached(f"{point}.after_answer")
        return answer

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        return _Answer(self._inner.statuses(ids))

    def cancel(self, id: ProviderRunId) -> None:
        reached("cancel.before_call")
        self._inner.cancel(id)
        reached("cancel.after_answer")

    def _is_start(self, submission: Submission) -> bool:
        last: tuple[IdempotencyKey, ProviderRunId] | None = getattr(self._drafts, "last", None)
        self._drafts.last = None
        return last is not None and last == (submission.key, submission.prepared_id)


class _Answer(dict[ProviderRunId, StatusReport]):
    """The reports of one answer; reaches `refresh.after_answer` when the caller reads them for the first time.

    At the return of `statuses` an error would count as an error of the call; the pass must meet it after the answer.
    """

    _is_read = False

    def values(self) -> Any:
        if not self._is_read:
            self._is_read = True
            reached("refresh.after_answer")
        return super().values()
