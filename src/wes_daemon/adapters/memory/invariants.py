"""The invariants in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from wes_daemon.adapters.memory.leases import living_daemons
from wes_daemon.adapters.memory.store import MemoryStore, PollRow, SubmissionRow, Tables
from wes_daemon.application.ports import invariants as rules
from wes_daemon.application.ports.invariants import Breach, Expected, Finding, Rule
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import PROVIDER_ID_TAG, ProviderRunId, ProviderType, Run, RunId
from wes_daemon.domain.states import ENDED, RunState


class MemoryInvariants:
    """`Invariants` over the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def check(self, expected: Expected) -> Sequence[Finding]:
        """As the port says."""
        with self._store.lock:
            living = living_daemons(self._store.tables, self._store.clock)
            seen = _Seen(
                self._store.tables,
                expected,
                now=self._store.clock.now(),
                oldest_daemon=min((info.started_at for info in living), default=None),
            )
            return [_finding(rule, seen) for rule in rules.RULES]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The tables at one moment."""

    tables: Tables
    expected: Expected
    now: datetime = field(kw_only=True)
    oldest_daemon: datetime | None = field(kw_only=True)

    def is_overdue(self, since: datetime) -> bool:
        """Whether a daemon that is alive had the time to see to it."""
        limit = self.now - self.expected.unchecked_for
        return since <= limit and self.oldest_daemon is not None and self.oldest_daemon <= limit

    def since_nobodys(self, row: SubmissionRow, *, due: datetime) -> datetime | None:
        """Since when nobody owns it, as far as its owner is remembered, else since it was `due`; None: it is owned."""
        owner = self.tables.daemons.get(row.owner) if row.owner else None
        if owner is None:
            return due
        return owner.lease_until if owner.lease_until <= self.now else None


Breaches = Iterator[tuple[RunId, Mapping[str, object]]]


def _finding(rule: Rule, seen: _Seen) -> Finding:
    found: Sequence[Breach] = [rule.breach(run_id, **values) for run_id, values in _BREACHES[rule](seen)]
    first = sorted(found, key=lambda breach: breach.run_id)[: seen.expected.shown]
    return Finding(rule=rule, count=len(found), first=first)


def _belonging_to_two(seen: _Seen) -> Breaches:
    owners: dict[tuple[ProviderType | None, ProviderRunId], RunId] = {}
    submitted = seen.tables.submissions.items()
    unknown = (run for run in seen.tables.runs.values() if run.id not in seen.tables.submissions)
    claims = [(run_id, row.provider, row.provider_run_id) for run_id, row in submitted]
    claims += [(run.id, *_named_in(run, seen.expected)) for run in unknown if run.state in rules.ACTIVE]
    for run_id, provider, id in claims:
        if id is None:
            continue
        other = owners.setdefault((provider, id), run_id)
        if other != run_id:
            yield run_id, {"provider": provider, "provider_run_id": id, "other": other}


def _named_in(run: Run, expected: Expected) -> tuple[ProviderType | None, ProviderRunId | None]:
    id = run.tags.get(PROVIDER_ID_TAG) if isinstance(run.tags, Mapping) else None
    try:
        provider = run.destination(expected.default_provider)
    except InvalidRequest:
        return None, None
    return provider, ProviderRunId(id) if isinstance(id, str) and id.strip() else None


def _ended_out_of_time(seen: _Seen) -> Breaches:
    for run in seen.tables.runs.values():
        in_time = run.end_time is not None and (run.start_time is None or run.end_time >= run.start_time)
        if run.state.has_ended and not in_time and run.state is _last_step(seen, run.id):
            yield run.id, {"state": run.state, "start_time": run.start_time, "end_time": run.end_time}


def _accepted_unfollowed(seen: _Seen) -> Breaches:
    for run_id, row in seen.tables.submissions.items():
        poll = seen.tables.polls.get(run_id)
        unheld = None in (row.provider, row.provider_run_id, poll)
        held_early = row.state in rules.NOT_YET_ACCEPTED and row.provider_run_id is not None
        if (row.state is SubmissionState.ACCEPTED and unheld) or held_early:
            yield (
                run_id,
                {
                    "state": row.state,
                    "provider": row.provider,
                    "provider_run_id": row.provider_run_id,
                    "next_check_at": poll and poll.next_check_at,
                },
            )


def _followed_unaccepted(seen: _Seen) -> Breaches:
    for run_id, poll in seen.tables.polls.items():
        row = seen.tables.submissions.get(run_id)
        if row is None or not _is_followed_as(row, poll):
            yield (
                run_id,
                {
                    "provider": poll.provider,
                    "provider_run_id": poll.provider_run_id,
                    "known_state": poll.known_state,
                    "state": row and row.state,
                    "submitted_id": row and row.provider_run_id,
                },
            )


def _is_followed_as(row: SubmissionRow, poll: PollRow) -> bool:
    lacks_details = row.state is SubmissionState.CLOSED and poll.known_state.has_ended
    same_run = (row.provider, row.provider_run_id) == (poll.provider, poll.provider_run_id)
    return same_run and (row.state is SubmissionState.ACCEPTED or lacks_details)


def _active_unheld(seen: _Seen) -> Breaches:
    for run in seen.tables.runs.values():
        row = seen.tables.submissions.get(run.id)
        unheld = row is None or row.provider_run_id is None
        if run.state in rules.ACTIVE and unheld and run.state is _last_step(seen, run.id):
            yield run.id, {"state": run.state, "submission": row and row.state}


def _doubt_unsettled(seen: _Seen) -> Breaches:
    for run_id, row in _in_doubt(seen):
        nobodys = seen.since_nobodys(row, due=row.not_before)
        since = nobodys and max(nobodys, row.not_before)
        if since is not None and seen.is_overdue(since):
            yield run_id, {"state": row.state, "since": since}


def _owner_gone(seen: _Seen) -> Breaches:
    for run_id, row in _in_doubt(seen):
        since = seen.since_nobodys(row, due=row.not_before)
        if row.owner and since is not None and since <= seen.now - seen.expected.owner_gone_for:
            yield run_id, {"state": row.state, "owner": row.owner, "since": since}


def _in_doubt(seen: _Seen) -> Iterator[tuple[RunId, SubmissionRow]]:
    return ((run_id, row) for run_id, row in seen.tables.submissions.items() if row.state in rules.IN_DOUBT)


def _claimed_without_number(seen: _Seen) -> Breaches:
    for run_id, row in seen.tables.submissions.items():
        claimed = row.owner is not None or row.state in (*rules.IN_DOUBT, SubmissionState.REVIEW)
        if claimed and row.claim_seq < 1:
            yield run_id, {"state": row.state, "owner": row.owner, "claim_seq": row.claim_seq}


def _impossible_step(seen: _Seen) -> Breaches:
    for run_id, entries in seen.tables.timeline.items():
        row = seen.tables.submissions.get(run_id)
        allowed = rules.STEPS | (rules.STEPS_WHEN_HELD if row and row.provider_run_id else frozenset())
        impossible = (entry for entry in entries if (entry.before, entry.after) not in allowed)
        yield from _first_step(run_id, (entry for entry in impossible if entry.before not in ENDED))


def _step_after_the_end(seen: _Seen) -> Breaches:
    for run_id, entries in seen.tables.timeline.items():
        yield from _first_step(run_id, (entry for entry in entries if entry.before in ENDED and _is_step(entry)))


def _first_step(run_id: RunId, steps: Iterable[TimelineEntry]) -> Breaches:
    for step in islice(steps, 1):
        yield run_id, {"before": step.before, "after": step.after, "at": step.at}


def _is_step(entry: TimelineEntry) -> bool:
    return entry.before is not entry.after


def _ending_lost(seen: _Seen) -> Breaches:
    for run in seen.tables.runs.values():
        ending = _last_step(seen, run.id)
        ended = run.state.has_ended and run.state is not RunState.CANCELED
        if ended and ending is not None and ending.has_ended and ending is not run.state:
            yield run.id, {"state": run.state, "ending": ending}


def _unchecked(seen: _Seen) -> Breaches:
    for run_id, poll in seen.tables.polls.items():
        if seen.is_overdue(poll.next_check_at):
            yield run_id, {"provider": poll.provider, "since": poll.next_check_at}


def _in_review(seen: _Seen) -> Breaches:
    for run_id, row in seen.tables.submissions.items():
        if row.state is SubmissionState.REVIEW:
            yield run_id, {"provider": row.provider, "last_reason": row.last_reason}


def _looked_at_by_nobody(seen: _Seen) -> Breaches:
    waiting = [run.id for run in seen.tables.runs.values() if run.state in (RunState.QUEUED, RunState.CANCELING)]
    for run_id in dict.fromkeys([*waiting, *seen.tables.polls]) if seen.oldest_daemon is None else ():
        run = seen.tables.runs.get(run_id)
        yield run_id, {"state": run and run.state}


def _beyond_the_cap(seen: _Seen) -> Breaches:
    out = [run_id for run_id, row in seen.tables.submissions.items() if row.state in rules.OUT]
    for run_id in out[seen.expected.cap :]:
        yield run_id, {"out": len(out), "cap": seen.expected.cap}


def _last_step(seen: _Seen, run_id: RunId) -> RunState | None:
    """The state to which the run's timeline has come last."""
    entries = reversed(seen.tables.timeline.get(run_id, ()))
    return next((entry.after for entry in entries if _is_step(entry)), None)


_BREACHES: Mapping[Rule, Callable[[_Seen], Breaches]] = {
    rules.ONE_RUN_EACH: _belonging_to_two,
    rules.ENDED_IN_TIME: _ended_out_of_time,
    rules.ACCEPTED_IS_FOLLOWED: _accepted_unfollowed,
    rules.FOLLOWED_IS_ACCEPTED: _followed_unaccepted,
    rules.ACTIVE_IS_HELD: _active_unheld,
    rules.DOUBT_IS_SETTLED: _doubt_unsettled,
    rules.CLAIMS_ARE_NUMBERED: _claimed_without_number,
    rules.STEPS_ARE_ALLOWED: _impossible_step,
    rules.ENDINGS_ARE_LAST: _step_after_the_end,
    rules.ENDINGS_ARE_KEPT: _ending_lost,
    rules.CHECKED_IN_TIME: _unchecked,
    rules.IN_REVIEW: _in_review,
    rules.A_DAEMON_LIVES: _looked_at_by_nobody,
    rules.OWNERS_LIVE: _owner_gone,
    rules.CAP_IS_KEPT: _beyond_the_cap,
}
