"""Since when daemons have watched the queue in memory, as `adapters.persistence.watching` keeps it in SQL."""

from datetime import datetime, timedelta

from wes_daemon.adapters.memory.store import SubmissionRow, Tables
from wes_daemon.application.ports.leases import LONGEST_GAP
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState

_QUEUE = "queue"
_TICK = timedelta(milliseconds=1)


def forget_watch_after_gap(tables: Tables, now: datetime) -> None:
    """Stop watching if no session had a valid lease within `LONGEST_GAP`, before a new session is opened."""
    if all(row.lease_until <= now - LONGEST_GAP for row in tables.daemons.values()):
        tables.watched_since.clear()


def watch(tables: Tables, now: datetime) -> bool:
    """Implement `SubmissionQueue.watch`."""
    waiting = [id for id, run in tables.runs.items() if run.state is RunState.QUEUED and id not in tables.submissions]
    may_be_old = any(not was_queued_here(tables, run_id, since=now - LONGEST_GAP) for run_id in waiting)
    if not may_be_old:
        is_enrolled_just_now = any(row.enrolled_at >= now for row in tables.submissions.values())
        tables.watched_since.setdefault(_QUEUE, now + _TICK if is_enrolled_just_now else now)
    return _QUEUE in tables.watched_since


def is_watched(tables: Tables, row: SubmissionRow) -> bool:
    """Whether the run was enrolled while the queue was watched."""
    since = tables.watched_since.get(_QUEUE)
    return since is not None and row.enrolled_at >= since


def was_queued_here(tables: Tables, run_id: RunId, since: datetime | None = None) -> bool:
    """Whether the run was queued through this package, later than `since`."""
    entries = tables.timeline.get(run_id, ())
    return any(entry.before is None and (since is None or entry.at > since) for entry in entries)
