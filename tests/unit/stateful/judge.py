"""What must be true at every moment of any interleaving, and what must be true in the end."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import chain

from tests.unit.stateful.clouds import Started, TokenCloud
from tests.unit.stateful.verified import verified
from wes_daemon.adapters.memory.store import MemoryStore, PollRow, SubmissionRow, Tables
from wes_daemon.application.ports import checks
from wes_daemon.application.ports.checks import Check, CheckContext, Severity
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, Run, RunId
from wes_daemon.domain.states import FOLLOWS, RunState

_UNRESOLVED = (SubmissionState.INTENT, SubmissionState.PREPARED, SubmissionState.REVIEW)
_NOT_ACCEPTED = (SubmissionState.READY, *_UNRESOLVED)
_ACTIVE = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED)
# True only while daemons work without interruption.
_IN_THE_END = (checks.DOUBT_IS_RESOLVED, checks.POLL_IS_ON_TIME)
# The service of these tests overwrites end states. Each commit shows that a daemon never does.
_NOT_HERE = (checks.END_STATE_IS_KEPT,)


class PlannedBug(Exception):
    """Nothing that a port knows of."""


class Judge(logging.Handler):
    """Judges each commit, each moment between two steps, and the log.

    Attributes:
        violations: what was wrong, as text.
        queued: the runs that a service ever queued.
        meddled: those of them whose row a service has overwritten or deleted since.
        redirected: those of them that a service has redirected to another provider since. The limits of single
            providers count the provider at enrolment, so these runs may exceed them.
    """

    def __init__(
        self, store: MemoryStore, clouds: Mapping[ProviderType, TokenCloud], caps: Mapping[ProviderType | None, int]
    ) -> None:
        """Start without violations.

        Args:
            caps: the number of runs that may be active at once at a provider, and at all providers together (None).
        """
        super().__init__(logging.ERROR)
        self.violations: list[str] = []
        self.queued: set[RunId] = set()
        self.meddled: set[RunId] = set()
        self.redirected: set[RunId] = set()
        self._store = store
        self._clouds = clouds
        self._caps = caps
        self._context = CheckContext(
            concurrency_limit=sum(caps.values()),
            default_provider=ProviderType.SEVENBRIDGES,
            overdue_after=timedelta(hours=3),
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Record a bug that the guard caught."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, PlannedBug):
            self.violations.append(f"a bug was caught: {error!r}")

    def committed(self, before: Tables, after: Tables) -> None:
        """Judge a commit of a daemon or a person."""
        for run_id, run in after.runs.items():
            if (earlier := before.runs.get(run_id)) and earlier != run:
                self.violations.extend(_wrong_steps(earlier, run, after.submissions.get(run_id)))
        for run_id, row in before.submissions.items():
            now = after.submissions.get(run_id)
            if now is None or now.claim_seq < row.claim_seq:
                self.violations.append(f"{run_id}: its fencing token was lowered")
        for run_id, entries in after.timeline.items():
            added = entries[len(before.timeline.get(run_id, ())) :]
            self.violations.extend(_wrong_entries(run_id, added, after.submissions.get(run_id)))
        self._judge(after)

    def judge_moment(self) -> None:
        """Judge this moment."""
        self._judge(self._store.tables)

    def verify(self) -> None:
        """Judge this moment by the checks of `verify`."""
        self.violations.extend(self._verified(_IN_THE_END, _NOT_HERE))

    def judge_cancellations(self) -> None:
        """Judge when a daemon had the time to cancel every provider run that must not run any more."""
        for cloud in self._clouds.values():
            for started in cloud.at_work():
                run = self._store.runs.get(started.run_id)
                if run and (run.state.has_ended or run.state is RunState.CANCELING):
                    self.violations.append(f"{run.id}: {run.state}, and it is still active at its provider")
                poll = self._store.tables.polls.get(started.run_id)
                if run is None and poll is not None and poll.row_missing_since is None:
                    self.violations.append(f"{started.run_id}: deleted, and it is still active at its provider")

    def judge_end(self) -> None:
        """Judge when every provider run has ended and a daemon had the time to record it."""
        tables = self._store.tables
        self.violations.extend(self._verified(_NOT_HERE))
        for run in tables.runs.values():
            if not run.state.has_ended:
                self.violations.append(f"{run.id}: never ended, but stayed {run.state}")
        for run_id, row in tables.submissions.items():
            if row.state is not SubmissionState.CLOSED:
                self.violations.append(f"{run_id}: its submission was left {row.state}")
        self.violations.extend(f"{run_id}: still polled" for run_id in tables.polls)
        self.violations.extend(self._wrong_endings(tables))

    def _judge(self, tables: Tables) -> None:
        self.violations.extend(self._duplicates())
        self.violations.extend(self._beyond_caps())
        self.violations.extend(self._orphans(tables))
        self.violations.extend(_wrongly_followed(tables))
        self.violations.extend(_wrong_submissions(tables))
        self.violations.extend(_active_without_provider_run(tables))

    def _verified(self, *excluded: Sequence[Check]) -> Iterator[str]:
        for result in verified(self._store.tables, self._store.clock.now(), self._context):
            check = result.check
            if check.severity is Severity.BROKEN and check not in chain(*excluded):
                yield from (f"verify, {check.name}: {each.run_id}: {each.found}" for each in result.first)

    def _wrong_endings(self, tables: Tables) -> Iterator[str]:
        for cloud in self._clouds.values():
            for started in cloud.ledger:
                run, reported = tables.runs.get(started.run_id), cloud.state(started.id)
                if run and reported and run.id not in self.meddled and run.state is not reported:
                    yield f"{run.id}: {run.state}, its provider reports {reported}"

    def _duplicates(self) -> Iterator[str]:
        started = [each for cloud in self._clouds.values() for each in cloud.ledger]
        for run_id, times in Counter(each.run_id for each in started).items():
            if times > 1:
                yield f"{run_id}: started twice"
        for each in started:
            if not each.key.startswith(f"wes-{each.run_id}") or each.run_id not in self.queued:
                yield f"{each.key}: belongs to no run that was queued"

    def _beyond_caps(self) -> Iterator[str]:
        at_work = [(type, each.run_id) for type, cloud in self._clouds.items() for each in cloud.at_work()]
        counted = Counter(type for type, run_id in at_work if run_id not in self.redirected)
        for type, cap in self._caps.items():
            number = len(at_work) if type is None else counted[type]
            if number > cap:
                yield f"{number} runs are at work at {type or 'all providers'}, the cap is {cap}"

    def _orphans(self, tables: Tables) -> Iterator[str]:
        for cloud in self._clouds.values():
            for started in cloud.at_work():
                if not _is_tracked(tables, started):
                    yield f"{started.run_id}: at work as {started.id}, and not tracked"


def _wrong_steps(before: Run, after: Run, row: SubmissionRow | None) -> Iterator[str]:
    if before.state.has_ended:
        if (before.state, before.start_time, before.end_time) != (after.state, after.start_time, after.end_time):
            yield f"{after.id}: changed after its end, {before.state} to {after.state}"
        return
    is_held = row is not None and row.provider_run_id is not None
    since = RunState.INITIALIZING if before.state is RunState.QUEUED and is_held else before.state
    if after.state not in (before.state, *FOLLOWS[before.state], *FOLLOWS[since]):
        yield f"{after.id}: went from {before.state} to {after.state}"
    if after.state.has_ended and (after.end_time is None or (after.start_time and after.end_time < after.start_time)):
        yield f"{after.id}: ended at {after.end_time}, started at {after.start_time}"


def _wrong_entries(run_id: RunId, added: Iterable[TimelineEntry], row: SubmissionRow | None) -> Iterator[str]:
    is_held = row is not None and row.provider_run_id is not None
    for entry in added:
        allowed = {entry.before, *(FOLLOWS[entry.before] if entry.before else [RunState.QUEUED])}
        if entry.before is RunState.QUEUED and is_held:
            allowed |= FOLLOWS[RunState.INITIALIZING]
        if entry.after not in allowed:
            yield f"{run_id}: its timeline went from {entry.before} to {entry.after}"


def _is_tracked(tables: Tables, started: Started) -> bool:
    poll, row = tables.polls.get(started.run_id), tables.submissions.get(started.run_id)
    is_followed = poll is not None and poll.provider_run_id == started.id
    return is_followed or (row is not None and row.state in _UNRESOLVED)


def _wrongly_followed(tables: Tables) -> Iterator[str]:
    for run_id, row in tables.submissions.items():
        poll = tables.polls.get(run_id)
        if row.state is SubmissionState.ACCEPTED and not _is_of(poll, row):
            yield f"{run_id}: accepted as {row.provider_run_id}, and not polled"
        elif row.state is not SubmissionState.ACCEPTED and poll is not None and not _lacks_details(poll, row):
            yield f"{run_id}: polled, and its submission is {row.state}"


def _is_of(poll: PollRow | None, row: SubmissionRow) -> bool:
    return poll is not None and (poll.provider, poll.provider_run_id) == (row.provider, row.provider_run_id)


def _lacks_details(poll: PollRow, row: SubmissionRow) -> bool:
    return row.state is SubmissionState.CLOSED and poll.known_state.has_ended and _is_of(poll, row)


def _wrong_submissions(tables: Tables) -> Iterator[str]:
    for run_id, row in tables.submissions.items():
        if (row.owner is not None or row.state in _UNRESOLVED) and row.claim_seq < 1:
            yield f"{run_id}: {row.state}, claimed by {row.owner} without a fencing token"
        if row.state in _NOT_ACCEPTED and row.provider_run_id is not None:
            yield f"{run_id}: {row.state}, and has the provider run {row.provider_run_id}"
    rows = tables.submissions.values()
    held = Counter((row.provider, row.provider_run_id) for row in rows if row.provider_run_id is not None)
    yield from (f"{id}: is the provider run of {number} runs" for (_, id), number in held.items() if number > 1)


def _active_without_provider_run(tables: Tables) -> Iterator[str]:
    """Only daemons write active states: the service of these tests does not."""
    for run in tables.runs.values():
        row = tables.submissions.get(run.id)
        if run.state in _ACTIVE and (row is None or row.provider_run_id is None):
            yield f"{run.id}: {run.state} without a provider run"
