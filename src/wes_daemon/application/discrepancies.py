"""What can be wrong between the database and a provider, and what would mend it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from wes_daemon.application.ports.ledger import Entry, FollowedRun
from wes_daemon.application.ports.providers import OwnedRun
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId, StatusReport
from wes_daemon.domain.states import RunState


class Kind(StrEnum):
    """What is wrong."""

    UNKNOWN_RUN = "unknown_run"
    """The provider has a run for a WES run that no provider has by the record."""

    DUPLICATE_RUN = "duplicate_run"
    """The provider has a second run for a WES run that is recorded to be another one."""

    ORPHANED_RUN = "orphaned_run"
    """The provider has a run for a WES run that has ended, or was deleted, without one."""

    STRANGER = "stranger"
    """The provider has a run or a draft that bears a mark of ours, but of no run in this database."""

    LEFTOVER_DRAFT = "leftover_draft"
    """The provider has a draft that will never be started."""

    MISSING_AT_PROVIDER = "missing_at_provider"
    """The database follows a run that the provider does not know."""

    STATE_DIFFERS = "state_differs"
    """The provider says that a run has ended which the database believes to be active."""


class Remedy(StrEnum):
    """What would mend it."""

    ADOPT = "adopt"
    CANCEL = "cancel"
    REMOVE = "remove"
    LOOK_AGAIN = "look_again"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One thing on which database and provider do not agree.

    Attributes:
        run_id: the WES run that the provider's mark or the database's record names, whether or not there is one.
        run_state: as the database has it; None where it has no such run.
        provider_state, provider_status: as the provider tells it; None where it knows none.
        created_at: at the provider, where that was told.
        explanation: for a person.
        marked: what was told of something that nothing in the database is recorded to be.
    """

    kind: Kind
    remedy: Remedy
    provider: ProviderType
    provider_run_id: ProviderRunId
    run_id: RunId
    run_state: RunState | None
    explanation: str
    provider_state: RunState | None = None
    provider_status: str | None = None
    created_at: datetime | None = None
    marked: OwnedRun | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What is no discrepancy yet.

    Attributes:
        settling: how long the daemon is given to see for itself what has just happened.
        drafts_left_after: how old a draft is before it counts as left behind.
        strangers: what is to be done with what is of no run here: nothing, or `CANCEL`.
    """

    settling: timedelta = timedelta(minutes=5)
    drafts_left_after: timedelta = timedelta(hours=24)
    strangers: Remedy = Remedy.NONE


def judged(
    provider: ProviderType, run: OwnedRun, entry: Entry | None, now: datetime, patience: Patience
) -> Discrepancy | None:
    """What is wrong with something that nothing in the database is recorded to be; None where nothing is."""
    kind, remedy, explanation = _verdict(run, entry, now - run.created_at, patience)
    if kind is None:
        return None
    return Discrepancy(
        kind=kind,
        remedy=remedy,
        provider=provider,
        provider_run_id=run.id,
        run_id=run.run_id,
        run_state=entry.state if entry else None,
        explanation=explanation,
        provider_state=run.state,
        provider_status=run.provider_status,
        created_at=run.created_at,
        marked=run,
    )


def differing(
    provider: ProviderType, run: FollowedRun, report: StatusReport | None, now: datetime, patience: Patience
) -> Discrepancy | None:
    """What is wrong between what the database believes of an active run and what its provider says."""
    if report is None:
        kind, explanation = Kind.MISSING_AT_PROVIDER, f"{provider} does not know the run that is followed there"
    elif report.state.has_ended and not (report.ended_at and now - report.ended_at < patience.settling):
        kind, explanation = Kind.STATE_DIFFERS, f"{provider} says {report.provider_status}"
    else:
        return None
    return Discrepancy(
        kind=kind,
        remedy=Remedy.LOOK_AGAIN,
        provider=provider,
        provider_run_id=run.provider_run_id,
        run_id=run.run_id,
        run_state=run.state,
        explanation=explanation,
        provider_state=report.state if report else None,
        provider_status=report.provider_status if report else None,
    )


def one_adopted_each(found: Iterable[Discrepancy]) -> Sequence[Discrepancy]:
    """The same in the order in which they came into being; of several runs to adopt for one, the oldest is adopted."""
    adopted: set[RunId] = set()
    judged_again = []
    for each in sorted(found, key=lambda each: (each.created_at is None, str(each.created_at))):
        is_second = each.kind is Kind.UNKNOWN_RUN and each.run_id in adopted
        if each.kind is Kind.UNKNOWN_RUN:
            adopted.add(each.run_id)
        judged_again.append(_as_duplicate(each) if is_second else each)
    return judged_again


_Verdict = tuple[Kind | None, Remedy, str]
_NOTHING: _Verdict = (None, Remedy.NONE, "")


def _verdict(run: OwnedRun, entry: Entry | None, age: timedelta, patience: Patience) -> _Verdict:
    if run.is_draft:
        return _draft(run, entry, patience) if age >= patience.drafts_left_after else _NOTHING
    if entry is not None and entry.is_open:
        return _unknown(entry) if age >= patience.settling else _NOTHING
    if run.state is RunState.CANCELED:
        # Somebody has stopped it; nothing is left to be said or done.
        return _NOTHING
    if entry is None:
        return Kind.STRANGER, _if_active(run, patience.strangers), "no run of this database; perhaps of another one's"
    if entry.provider_run_id is not None:
        held = f"{entry.provider} run {entry.provider_run_id}"
        return Kind.DUPLICATE_RUN, _if_active(run, Remedy.CANCEL), f"a SECOND run: recorded is {held}"
    if entry.state is None or entry.state.has_ended:
        ended = "was deleted" if entry.state is None else f"has ended as {entry.state}"
        return Kind.ORPHANED_RUN, _if_active(run, Remedy.CANCEL), f"the run {ended} here without it"
    return Kind.UNKNOWN_RUN, Remedy.NONE, f"not recorded: the run is {entry.state} here, and no daemon follows it"


def _draft(run: OwnedRun, entry: Entry | None, patience: Patience) -> _Verdict:
    if entry is None:
        remedy = Remedy.NONE if patience.strangers is Remedy.NONE else Remedy.REMOVE
        return Kind.STRANGER, remedy, "a draft of no run of this database; perhaps of another one's"
    if entry.may_start(run.id):
        return _NOTHING
    return Kind.LEFTOVER_DRAFT, Remedy.REMOVE, "a draft that will never be started"


def _unknown(entry: Entry) -> _Verdict:
    if entry.is_claimed:
        return Kind.UNKNOWN_RUN, Remedy.NONE, "not recorded; a daemon is at work on the run at this moment"
    return Kind.UNKNOWN_RUN, Remedy.ADOPT, f"not recorded: the run is {entry.submission or 'not enrolled'} here"


def _if_active(run: OwnedRun, remedy: Remedy) -> Remedy:
    return Remedy.NONE if run.state.has_ended else remedy


def _as_duplicate(found: Discrepancy) -> Discrepancy:
    has_ended = found.provider_state is not None and found.provider_state.has_ended
    return replace(
        found,
        kind=Kind.DUPLICATE_RUN,
        remedy=Remedy.NONE if has_ended else Remedy.CANCEL,
        explanation="a SECOND run: an older one is to be adopted",
    )
