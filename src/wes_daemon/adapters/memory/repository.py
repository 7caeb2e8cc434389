"""Runs in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime

from wes_daemon.adapters.memory.faults import MemoryFaults, refusal
from wes_daemon.adapters.memory.store import Tables
from wes_daemon.application.ports.errors import ConcurrentUpdate, RunLocked, RunNotFound
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.domain.runs import Attachment, Run, RunId, RunSummary
from wes_daemon.domain.states import RunState

_SAVED = ("state", "tags", "start_time", "end_time")
"""The attributes of a run that may change. Its provider is stored with its submission."""


def stored_run(tables: Tables, run_id: RunId) -> Run:
    """The run, with the provider and its id from the submission."""
    try:
        run = tables.runs[run_id]
    except KeyError:
        raise RunNotFound(f"run {run_id}: there is no such run") from None
    submission = tables.submissions.get(run_id)
    if submission is None or submission.provider_run_id is None:
        return replace(run, provider=None, provider_run_id=None)
    return replace(run, provider=submission.provider, provider_run_id=submission.provider_run_id)


def summary_of(run: Run) -> RunSummary:
    """The run without its request."""
    return RunSummary(**{member.name: getattr(run, member.name) for member in fields(RunSummary)})


class MemoryRunRepository:
    """`RunRepository` on the memory tables."""

    def __init__(self, tables: Tables, faults: MemoryFaults) -> None:
        self._tables = tables
        self._faults = faults

    def add(self, run: Run, *, attachments: Sequence[Attachment], entry: TimelineEntry) -> None:
        self._tables.runs[run.id] = run
        self._tables.attachments[run.id] = tuple(sorted(attachments, key=lambda attachment: attachment.name))
        self._add_entry(run.id, entry)

    def get(self, run_id: RunId) -> Run:
        if run_id in self._faults.locked:
            raise RunLocked(f"run {run_id}: another session keeps its row locked")
        return stored_run(self._tables, run_id)

    def get_summaries(self, run_ids: Collection[RunId]) -> Mapping[RunId, RunSummary]:
        return self.read_summaries([run_id for run_id in run_ids if run_id not in self._faults.locked])

    def read_summaries(self, run_ids: Collection[RunId]) -> Mapping[RunId, RunSummary]:
        return {id: summary_of(stored_run(self._tables, id)) for id in run_ids if id in self._tables.runs}

    def write(self, updates: Collection[RunUpdate]) -> None:
        for each in updates:
            run_id = each.before.id
            self._refuse(each)
            self._change(each.before, each.after)
            if each.entry is not None:
                self._add_entry(run_id, each.entry)
            if each.provider_status is not None:
                self._tables.provider_statuses[run_id] = (each.provider_status, each.provider_message)
            if each.details is not None:
                self._tables.details[run_id] = replace(each.details, tasks=())
            if each.tasks:
                recorded = self._tables.tasks.get(run_id, {})
                self._tables.tasks[run_id] = {**recorded, **{task.id: task for task in each.tasks}}

    def note_deleted(self, reasons: Mapping[RunId, str], *, at: datetime, by: str) -> None:
        for run_id, why in reasons.items():
            recorded = self._tables.timeline.get(run_id, ())
            state = recorded[-1].after if recorded else RunState.UNKNOWN
            self._add_entry(run_id, TimelineEntry(at=at, before=state, after=state, by=by, why=why))

    def is_empty(self) -> bool:
        return not self._tables.runs

    def attachments(self, run_id: RunId) -> Sequence[Attachment]:
        return self._tables.attachments.get(run_id, ())

    def _change(self, before: RunSummary, after: RunSummary) -> None:
        if before.id not in self._tables.runs:
            raise ConcurrentUpdate(f"run {before.id} has no row any more")
        stored = stored_run(self._tables, before.id)
        changes = {name: getattr(after, name) for name in _SAVED if getattr(after, name) != getattr(before, name)}
        self._tables.runs[before.id] = replace(stored, **changes)

    def _refuse(self, update: RunUpdate) -> None:
        run_id = update.before.id
        if update.changes_run and run_id in self._faults.rows:
            raise refusal("workflow_runs")
        if update.tasks and run_id in self._faults.tasks:
            raise refusal("task_logs")
        if update.details is not None and run_id in self._faults.details:
            raise refusal("run_details")

    def _add_entry(self, run_id: RunId, entry: TimelineEntry) -> None:
        self._tables.timeline[run_id] = (*self._tables.timeline.get(run_id, ()), entry)
