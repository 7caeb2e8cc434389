"""What must be true at every moment, whatever has happened, and what must be true in the end."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta

from tests.unit.stateful.clouds import Started, TokenCloud
from wes_daemon.adapters.memory.invariants import MemoryInvariants
from wes_daemon.adapters.memory.store import MemoryStore, PollRow, SubmissionRow, Tables
from wes_daemon.application.ports import invariants as verified
from wes_daemon.application.ports.invariants import Expected, Finding, Gravity
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, Run, RunId
from wes_daemon.domain.states import FOLLOWS, RunState

_UNSETTLED = (SubmissionState.INTENT, SubmissionState.PREPARED, SubmissionState.REVIEW)
# True only where daemons are at work all the time.
_IN_THE_END = (verified.DOUBT_IS_SETTLED, verified.CHECKED_IN_TIME)
# This service ends runs as it likes, also those that the daemon has ended; that daemons never do is seen at commits.
_NOT_HERE = (verified.ENDINGS_ARE_KEPT,)


class PlannedBug(Exception):
    """Nothing that a port knows of."""


class Judge(logging.Handler):
    """Looks at each commit, at each moment between two steps, and at the log; remembers what was wrong.

    Attributes:
        breaches: what was wrong, in sentences.
        queued: the runs that a service ever queued.
        meddled: those of them whose row it has overwritten or deleted since.
        redirected: those of them that it has sent to another provider since; the caps of single providers are counted
            by where a run was to go when it was first seen, so these may pass them.
    """

    def __init__(
        self, store: MemoryStore, clouds: Mapping[ProviderType, TokenCloud], caps: Mapping[ProviderType | None, int]
    ) -> None:
        """Nothing is wrong yet.

        Args:
            caps: runs that may be at work at once at single providers, and at all of them together (None).
        """
        super().__init__(logging.ERROR)
        self.breaches: list[str] = []
        self.queued: set[RunId] = set()
        self.meddled: set[RunId] = set()
        self.redirected: set[RunId] = set()
        self._store = store
        self._clouds = clouds
        self._caps = caps
        self._verify = MemoryInvariants(store)
        default = ProviderType.SEVENBRIDGES
        self._expected = Expected(cap=sum(caps.values()), default_provider=default, unchecked_for=timedelta(hours=3))

    def emit(self, record: logging.LogRecord) -> None:
        """A bug was caught by the guard."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, PlannedBug):
            self.breaches.append(f"a bug was caught: {error!r}")

    def committed(self, before: Tables, after: Tables) -> None:
        """A daemon, or a person, has written something."""
        for run_id, run in after.runs.items():
            if (earlier := before.runs.get(run_id)) and earlier != run:
                self.breaches.extend(_wrong_steps(earlier, run, after.submissions.get(run_id)))
        for run_id, row in before.submissions.items():
            now = after.submissions.get(run_id)
            if now is None or now.claim_seq < row.claim_seq:
                self.breaches.append(f"{run_id}: the number of its claim fell")
        self._look_at(after)

    def look(self) -> None:
        """Judge this moment, and whether `verify` says the same of it."""
        self._look_at(self._store.tables)
        for finding in self._verify.check(self._expected):
            if finding.rule not in (*_IN_THE_END, *_NOT_HERE):
                self.breaches.extend(_said(finding))

    def look_for_unwanted(self) -> None:
        """Judge when a daemon had the time to tell every provider what nobody wants any more."""
        for cloud in self._clouds.values():
            for started in cloud.at_work():
                run = self._store.runs.get(started.run_id)
                if run and (run.state.has_ended or run.state is RunState.CANCELING):
                    self.breaches.append(f"{run.id}: {run.state}, and its provider still works on it")

    def look_in_the_end(self) -> None:
        """Judge when every provider run has ended and a daemon had the time to see it."""
        tables = self._store.tables
        for finding in self._verify.check(self._expected):
            if finding.rule not in _NOT_HERE:
                self.breaches.extend(_said(finding))
        for run in tables.runs.values():
            if not run.state.has_ended:
                self.breaches.append(f"{run.id}: never ended, but stayed {run.state}")
        for run_id, row in tables.submissions.items():
            if row.state is not SubmissionState.CLOSED:
                self.breaches.append(f"{run_id}: its submission was left {row.state}")
        self.breaches.extend(f"{run_id}: still asked for" for run_id in tables.polls)
        self.breaches.extend(self._wrong_endings(tables))

    def _look_at(self, tables: Tables) -> None:
        self.breaches.extend(self._duplicates())
        self.breaches.extend(self._beyond_caps())
        self.breaches.extend(self._orphans(tables))
        self.breaches.extend(_wrongly_followed(tables))

    def _wrong_endings(self, tables: Tables) -> Iterator[str]:
        for cloud in self._clouds.values():
            for started in cloud.ledger:
                run, told = tables.runs.get(started.run_id), cloud.state(started.id)
                if run and told and run.id not in self.meddled and run.state is not told:
                    yield f"{run.id}: {run.state}, its provider says {told}"

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
                if not _is_seen_to(tables, started):
                    yield f"{started.run_id}: at work as {started.id}, and nobody knows"


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


def _is_seen_to(tables: Tables, started: Started) -> bool:
    poll, row = tables.polls.get(started.run_id), tables.submissions.get(started.run_id)
    is_followed = poll is not None and poll.provider_run_id == started.id
    return is_followed or (row is not None and row.state in _UNSETTLED)


def _wrongly_followed(tables: Tables) -> Iterator[str]:
    for run_id, row in tables.submissions.items():
        poll = tables.polls.get(run_id)
        if row.state is SubmissionState.ACCEPTED and not _is_of(poll, row):
            yield f"{run_id}: accepted as {row.provider_run_id}, and not asked for"
        elif row.state is not SubmissionState.ACCEPTED and poll is not None and not _lacks_details(poll, row):
            yield f"{run_id}: asked for, and its submission is {row.state}"


def _is_of(poll: PollRow | None, row: SubmissionRow) -> bool:
    return poll is not None and (poll.provider, poll.provider_run_id) == (row.provider, row.provider_run_id)


def _lacks_details(poll: PollRow, row: SubmissionRow) -> bool:
    return row.state is SubmissionState.CLOSED and poll.known_state.has_ended and _is_of(poll, row)


def _said(finding: Finding) -> Iterator[str]:
    if finding.rule.gravity is Gravity.BROKEN:
        yield from (f"verify, {finding.rule.name}: {breach.run_id}: {breach.found}" for breach in finding.first)
