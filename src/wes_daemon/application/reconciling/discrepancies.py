"""Discrepancies between the database and a provider, and the repair of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from wes_daemon.application.ports.providers import OwnedRun
from wes_daemon.application.ports.reconcile_queries import FollowedRun, RecordedRun
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, RunSummary, StatusReport
from wes_daemon.domain.states import RunState


class DiscrepancyKind(StrEnum):
    """The kind of a discrepancy."""

    UNKNOWN_RUN = "unknown_run"
    """The provider has a run for a WES run that has no recorded provider run."""

    DUPLICATE_RUN = "duplicate_run"
    """The provider has a run for a WES run for which another provider run is recorded."""

    ORPHANED_RUN = "orphaned_run"
    """The provider has a run for a WES run that ended, or was deleted, without a recorded provider run."""

    FOREIGN_RUN = "foreign_run"
    """The provider has an owned run or draft that belongs to no run in this database."""

    LEFTOVER_DRAFT = "leftover_draft"
    """The provider has a draft that will never be started."""

    MISSING_AT_PROVIDER = "missing_at_provider"
    """The database follows a run that is unknown to the provider."""

    STILL_ACTIVE = "still_active"
    """The run's row was ended or deleted, and the provider still executes it without being asked to cancel it."""

    STATE_DIFFERS = "state_differs"
    """A run is active in the database, but the provider reports that it has ended."""

    FORMER_DUPLICATE = "former_duplicate"
    """The former daemon created a further provider run for a WES run that has another one."""

    UNMATCHED_RUN = "unmatched_run"
    """A run is active in the database, and no provider run is known for it or has its former name."""


class Repair(StrEnum):
    """The action that repairs a discrepancy."""

    ADOPT = "adopt"
    CANCEL = "cancel"
    DELETE_DRAFT = "delete_draft"
    POLL_NOW = "poll_now"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One difference between the database and a provider.

    Attributes:
        run_id: from the provider run's key or from the database. The database may have no such run.
        provider_run_id: None if no provider run is known.
        run_state: from the database; None if it has no such run.
        provider_state, provider_status: from the provider; None if the run is unknown to it.
        created_at: from the provider; None if it was not reported.
        explanation: for a person.
        owned_run: the provider run, if it is not recorded in the database.
    """

    kind: DiscrepancyKind
    repair: Repair
    provider: ProviderType
    provider_run_id: ProviderRunId | None
    run_id: RunId
    run_state: RunState | None
    explanation: str
    provider_state: RunState | None = None
    provider_status: str | None = None
    created_at: datetime | None = None
    owned_run: OwnedRun | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """The ages below which a difference is not a discrepancy yet, and the policy for foreign runs.

    Attributes:
        recent: a change younger than this is left to the daemon.
        draft_age: a draft younger than this is not a leftover draft.
        foreign_runs: the repair of active foreign runs: `NONE` or `CANCEL`.
    """

    recent: timedelta = timedelta(minutes=5)
    draft_age: timedelta = timedelta(hours=24)
    foreign_runs: Repair = Repair.NONE


def compare_owned_run(
    run: OwnedRun, recorded: RecordedRun | None, *, provider: ProviderType, now: datetime, tolerances: Tolerances
) -> Discrepancy | None:
    """Return the discrepancy of an owned run that is not recorded as a provider run, or None.

    Args:
        recorded: the database's record of the WES run that the owned run's key names.
    """
    assessed = _assess(run, recorded, now - run.created_at, tolerances)
    if assessed is None:
        return None
    kind, repair, explanation = assessed
    return Discrepancy(
        kind=kind,
        repair=repair,
        provider=provider,
        provider_run_id=run.id,
        run_id=run.run_id,
        run_state=recorded.state if recorded else None,
        explanation=explanation,
        provider_state=run.state,
        provider_status=run.provider_status,
        created_at=run.created_at,
        owned_run=run,
    )


def compare_followed_run(
    run: FollowedRun, report: StatusReport | None, *, provider: ProviderType, now: datetime, tolerances: Tolerances
) -> Discrepancy | None:
    """Return the difference between a followed run and its provider's status report, or None.

    Args:
        report: None if the run is unknown to the provider.
    """
    assessed = _assess_followed(run, report, provider, now, tolerances)
    if assessed is None:
        return None
    kind, repair, explanation = assessed
    return Discrepancy(
        kind=kind,
        repair=repair,
        provider=provider,
        provider_run_id=run.provider_run_id,
        run_id=run.run_id,
        run_state=run.state,
        explanation=explanation,
        provider_state=report.state if report else None,
        provider_status=report.provider_status if report else None,
    )


def unmatched_run(run: RunSummary, *, provider: ProviderType) -> Discrepancy:
    """Return the discrepancy of a run that is active in the database and for which no provider run was found."""
    return Discrepancy(
        kind=DiscrepancyKind.UNMATCHED_RUN,
        repair=Repair.NONE,
        provider=provider,
        provider_run_id=None,
        run_id=run.id,
        run_state=run.state,
        explanation=f"no provider run is recorded, and none was found: set the state to {RunState.QUEUED} or to an "
        "end state",
    )


def adopt_oldest(found: Iterable[Discrepancy]) -> Sequence[Discrepancy]:
    """Sort by creation time, and turn all unknown runs of a WES run but one into duplicates.

    The oldest one stays. A run of the former daemon that failed or was cancelled stays only if all of them did.
    """
    in_order = sorted(found, key=lambda each: (each.created_at is None, str(each.created_at)))
    unknown = [each for each in in_order if each.kind is DiscrepancyKind.UNKNOWN_RUN]
    adopted: dict[RunId, Discrepancy] = {}
    for each in sorted(unknown, key=_is_failed_attempt):
        adopted.setdefault(each.run_id, each)
    assessed = (
        each if each.kind is not DiscrepancyKind.UNKNOWN_RUN or each is adopted[each.run_id] else _as_duplicate(each)
        for each in in_order
    )
    return [each for each in assessed if each is not None]


_FAILED = frozenset({RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.PREEMPTED, RunState.CANCELED})
_Assessment = tuple[DiscrepancyKind, Repair, str]
_FOREIGN = "in this database; perhaps it belongs to another database"


def _assess(run: OwnedRun, recorded: RecordedRun | None, age: timedelta, tolerances: Tolerances) -> _Assessment | None:
    if run.is_draft:
        return _assess_draft(run, recorded, tolerances) if age >= tolerances.draft_age else None
    if run.is_former:
        return _assess_former(run, recorded, age, tolerances)
    if recorded is not None and recorded.awaits_acceptance:
        return _assess_unknown(recorded) if age >= tolerances.recent else None
    if run.state is RunState.CANCELED:
        # A person or an earlier repair has cancelled it: there is nothing left to repair.
        return None
    if recorded is None:
        return DiscrepancyKind.FOREIGN_RUN, _if_active(run, tolerances.foreign_runs), f"no such run {_FOREIGN}"
    if recorded.provider_run_id is not None:
        explanation = f"a SECOND run: recorded is {recorded.provider} run {recorded.provider_run_id}"
        return DiscrepancyKind.DUPLICATE_RUN, _if_active(run, Repair.CANCEL), explanation
    if recorded.state is None or recorded.state.has_ended:
        ended = "was deleted" if recorded.state is None else f"has ended as {recorded.state}"
        explanation = f"the run {ended} here and has no recorded provider run"
        return DiscrepancyKind.ORPHANED_RUN, _if_active(run, Repair.CANCEL), explanation
    explanation = f"not recorded: the run is {recorded.state} here, and no daemon follows it"
    return DiscrepancyKind.UNKNOWN_RUN, Repair.NONE, explanation


def _assess_followed(
    run: FollowedRun, report: StatusReport | None, provider: ProviderType, now: datetime, tolerances: Tolerances
) -> _Assessment | None:
    if report is None:
        return DiscrepancyKind.MISSING_AT_PROVIDER, Repair.POLL_NOW, f"{provider} has no run with this id"
    if report.state.has_ended:
        is_recent = report.ended_at is not None and now - report.ended_at < tolerances.recent
        explanation = f"{provider} reports {report.provider_status}"
        return None if is_recent else (DiscrepancyKind.STATE_DIFFERS, Repair.POLL_NOW, explanation)
    if run.is_withdrawn and not run.cancel_was_sent:
        ended = "was deleted" if run.state is None else f"has ended as {run.state}"
        return DiscrepancyKind.STILL_ACTIVE, Repair.CANCEL, f"the run {ended} here, and {provider} still executes it"
    return None


def _assess_draft(run: OwnedRun, recorded: RecordedRun | None, tolerances: Tolerances) -> _Assessment | None:
    if recorded is None:
        repair = Repair.NONE if tolerances.foreign_runs is Repair.NONE else Repair.DELETE_DRAFT
        return DiscrepancyKind.FOREIGN_RUN, repair, f"a draft of no run {_FOREIGN}"
    if recorded.may_start(run.id) and not run.is_former:
        return None
    return DiscrepancyKind.LEFTOVER_DRAFT, Repair.DELETE_DRAFT, "a draft that will never be started"


def _assess_former(
    run: OwnedRun, recorded: RecordedRun | None, age: timedelta, tolerances: Tolerances
) -> _Assessment | None:
    """Assess a run of the former daemon. Its database is full of ended runs, which need nothing."""
    if recorded is None:
        foreign = (
            DiscrepancyKind.FOREIGN_RUN,
            tolerances.foreign_runs,
            f"a run of the former daemon, of no run {_FOREIGN}",
        )
        return None if run.state.has_ended else foreign
    if recorded.provider_run_id is not None:
        explanation = (
            f"a SECOND run, of the former daemon: recorded is {recorded.provider} run {recorded.provider_run_id}"
        )
        duplicate = DiscrepancyKind.FORMER_DUPLICATE, _if_active(run, Repair.CANCEL), explanation
        return None if run.state in _FAILED else duplicate
    if recorded.state is None or recorded.state.has_ended:
        ended = "was deleted" if recorded.state is None else f"has ended as {recorded.state}"
        orphan = (
            DiscrepancyKind.ORPHANED_RUN,
            Repair.CANCEL,
            f"the run {ended} here, and the former daemon's run goes on",
        )
        return None if run.state.has_ended else orphan
    if age < tolerances.recent:
        return None
    if recorded.is_claimed:
        return DiscrepancyKind.UNKNOWN_RUN, Repair.NONE, "of the former daemon: a live daemon has claimed the run"
    return DiscrepancyKind.UNKNOWN_RUN, Repair.ADOPT, f"of the former daemon: the run is {recorded.state} here"


def _assess_unknown(recorded: RecordedRun) -> _Assessment:
    if recorded.is_claimed:
        return DiscrepancyKind.UNKNOWN_RUN, Repair.NONE, "not recorded: a live daemon has claimed the run"
    explanation = f"not recorded: the run is {recorded.submission or 'not enrolled'} here"
    return DiscrepancyKind.UNKNOWN_RUN, Repair.ADOPT, explanation


def _if_active(run: OwnedRun, repair: Repair) -> Repair:
    return Repair.NONE if run.state.has_ended else repair


def _is_failed_attempt(found: Discrepancy) -> bool:
    run = found.owned_run
    return run is not None and run.is_former and run.state in _FAILED


def _as_duplicate(found: Discrepancy) -> Discrepancy | None:
    """Return the duplicate beside the run that is to be adopted; None for a failed attempt of the former daemon."""
    if _is_failed_attempt(found):
        return None
    is_former = found.owned_run is not None and found.owned_run.is_former
    has_ended = found.provider_state is not None and found.provider_state.has_ended
    return replace(
        found,
        kind=DiscrepancyKind.FORMER_DUPLICATE if is_former else DiscrepancyKind.DUPLICATE_RUN,
        repair=Repair.NONE if has_ended else Repair.CANCEL,
        explanation="a SECOND run: another one is to be adopted",
    )
