"""The checks of `verify`, evaluated on a copy of the memory tables in an SQLite database in memory."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from sqlalchemy import Engine, create_engine, insert
from sqlalchemy.pool import StaticPool

from wes_daemon.adapters.memory.store import PollRow, SubmissionRow, Tables
from wes_daemon.adapters.persistence import tables as sql
from wes_daemon.adapters.persistence.checks import SqlChecks
from wes_daemon.application.ports.checks import CheckContext, CheckResult
from wes_daemon.domain.runs import Run, RunId

_Row = Mapping[str, object]


def verified(tables: Tables, now: datetime, context: CheckContext) -> Sequence[CheckResult]:
    """Evaluate the checks on these tables.

    Args:
        now: the time on the tables' clock. SQLite has the real time, so due times and leases are shifted.
    """
    shift = datetime.now(UTC) - now
    rows = {
        sql.workflow_runs: [_run(run) for run in tables.runs.values()],
        sql.submissions: [
            _submission(number, run_id, row, shift) for number, (run_id, row) in enumerate(tables.submissions.items())
        ],
        sql.polls: [_poll(run_id, row, shift) for run_id, row in tables.polls.items()],
        sql.daemons: list(_daemons(tables, shift)),
        sql.run_events: list(_entries(tables)),
    }
    with _database().begin() as connection:
        for table, values in rows.items():
            connection.execute(table.delete())
            if values:
                connection.execute(insert(table), values)
    return SqlChecks(_database()).run(context)


@cache
def _database() -> Engine:
    """The one database of this process: a new one would have to compile all statements again."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    for metadata in (sql.service_metadata, sql.daemon_metadata):
        metadata.create_all(engine)
    return engine


def _run(run: Run) -> _Row:
    return {
        "run_id": run.id,
        "state": run.state,
        "tags": run.tags,
        "start_time": run.start_time,
        "end_time": run.end_time,
    }


def _submission(number: int, run_id: RunId, row: SubmissionRow, shift: timedelta) -> _Row:
    return {
        "seq": number,
        "run_id": run_id,
        "provider": row.provider,
        "state": row.state,
        "owner": row.owner,
        "claim_seq": row.claim_seq,
        "not_before": row.not_before + shift,
        "provider_run_id": row.provider_run_id,
        "last_reason": row.last_reason,
    }


def _poll(run_id: RunId, row: PollRow, shift: timedelta) -> _Row:
    return {
        "run_id": run_id,
        "provider": row.provider,
        "provider_run_id": row.provider_run_id,
        "next_check_at": row.next_check_at + shift,
        "known_state": row.known_state,
    }


def _daemons(tables: Tables, shift: timedelta) -> Iterator[_Row]:
    for id, row in tables.daemons.items():
        yield {"id": id, "started_at": row.info.started_at + shift, "lease_until": row.lease_until + shift}


def _entries(tables: Tables) -> Iterator[_Row]:
    entries = [(run_id, entry) for run_id, timeline in tables.timeline.items() for entry in timeline]
    for number, (run_id, entry) in enumerate(entries):
        yield {
            "id": number,
            "run_id": run_id,
            "at": entry.at,
            "from_state": entry.before,
            "to_state": entry.after,
        }
