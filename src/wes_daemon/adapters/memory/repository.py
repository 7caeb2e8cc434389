"""Runs in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from wes_daemon.adapters.memory.store import Tables
from wes_daemon.application.ports.errors import ConcurrentUpdate, RunNotFound
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import UNREAD, Attachment, Run, RunId

_SAVED = ("state", "tags", "start_time", "end_time")
"""What may change in a run after it was stored; who holds it is written with its submission."""


def stored_run(tables: Tables, run_id: RunId) -> Run:
    """The run together with what the submission knows of its provider."""
    try:
        run = tables.runs[run_id]
    except KeyError:
        raise RunNotFound(f"run {run_id} does not exist") from None
    submission = tables.submissions.get(run_id)
    if submission is None or submission.provider_run_id is None:
        return replace(run, provider=None, provider_run_id=None)
    return replace(run, provider=submission.provider, provider_run_id=submission.provider_run_id)


def unread(run: Run) -> Run:
    """The run as a database gives it that spares itself the request."""
    return replace(run, request=UNREAD)


class MemoryRunRepository:
    """A `RunRepository` over dictionaries."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, run: Run, *, attachments: Sequence[Attachment], entry: TimelineEntry) -> None:
        """As the port says."""
        self._tables.runs[run.id] = run
        self._tables.attachments[run.id] = tuple(sorted(attachments, key=lambda attachment: attachment.name))
        self._note(run.id, entry)

    def get(self, run_id: RunId) -> Run:
        """As the port says."""
        return stored_run(self._tables, run_id)

    def get_many(self, run_ids: Collection[RunId]) -> Mapping[RunId, Run]:
        """As the port says."""
        return {id: unread(stored_run(self._tables, id)) for id in run_ids if id in self._tables.runs}

    def write(self, news: Collection[RunUpdate]) -> None:
        """As the port says."""
        for each in news:
            run_id = each.before.id
            self._change(each.before, each.after)
            if each.entry is not None:
                self._note(run_id, each.entry)
            if each.provider_status is not None:
                self._tables.words[run_id] = (each.provider_status, each.provider_message)
            if each.details is not None:
                self._tables.details[run_id] = replace(each.details, tasks=())
                known = self._tables.tasks.get(run_id, {})
                self._tables.tasks[run_id] = {**known, **{task.id: task for task in each.tasks}}

    def attachments(self, run_id: RunId) -> Sequence[Attachment]:
        """As the port says."""
        return self._tables.attachments.get(run_id, ())

    def save(self, before: Run, after: Run, entry: TimelineEntry) -> None:
        """As the port says."""
        self._change(before, after)
        self._note(before.id, entry)

    def _change(self, before: Run, after: Run) -> None:
        stored = self.get(before.id)
        if stored.state is not before.state:
            raise ConcurrentUpdate(f"run {before.id} is {stored.state}, no longer {before.state}")
        changes = {name: getattr(after, name) for name in _SAVED if getattr(after, name) != getattr(before, name)}
        self._tables.runs[before.id] = replace(stored, **changes)

    def _note(self, run_id: RunId, entry: TimelineEntry) -> None:
        self._tables.timeline[run_id] = (*self._tables.timeline.get(run_id, ()), entry)


def has_been_sent(state: SubmissionState) -> bool:
    """Whether a provider may know the run."""
    return state not in (SubmissionState.READY, SubmissionState.CLOSED)
