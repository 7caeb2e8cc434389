"""Late updates, each as one JSON text: its parts are only read together, and any database can hold it."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Exists,
    Integer,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy import update as sql_update

from wes_daemon.adapters.persistence.expressions import in_list, store_after, store_now
from wes_daemon.adapters.persistence.mapping import state_from
from wes_daemon.adapters.persistence.tables import late_updates
from wes_daemon.adapters.persistence.types import iso_time, storable_json
from wes_daemon.application.ports.late_updates import LateUpdate
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.domain.changes import RunChange
from wes_daemon.domain.runs import RunId, TaskId, TaskLog

_LIMIT = "row_limit"


class SqlLateUpdates:
    """`LateUpdates` in the table `late_updates`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, updates: Collection[LateUpdate], *, wait: timedelta) -> None:
        if updates:
            rows = [
                {
                    "run_id": each.run_id,
                    "content": _text_of(each),
                    "attempts": each.attempts,
                    "reason": each.reason,
                }
                for each in updates
            ]
            due = insert(late_updates).values(not_before=store_after(wait), recorded_at=store_now())
            self._connection.execute(due, rows)

    def due(self, *, limit: int) -> Sequence[RunId]:
        return [RunId(id) for id in self._connection.execute(_due(), {_LIMIT: limit}).scalars()]

    def get(self, run_ids: Collection[RunId]) -> Mapping[RunId, LateUpdate]:
        locked = (
            select(late_updates)
            .where(in_list(late_updates.c.run_id, run_ids))
            .order_by(late_updates.c.seq)
            .with_for_update(skip_locked=True)
        )
        found: dict[RunId, LateUpdate] = {}
        for each in map(_update_from, self._connection.execute(locked).all()):
            earlier = found.get(each.run_id)
            found[each.run_id] = earlier.followed_by(each) if earlier else each
        return found

    def postpone(self, update: LateUpdate, *, wait: timedelta, reason: str) -> None:
        # The last of the stored updates then has all that is still to be written.
        *earlier, last_seq = update.tokens
        if earlier:
            self._connection.execute(delete(late_updates).where(late_updates.c.seq.in_(earlier)))
        postponed = {"attempts": update.attempts + 1, "not_before": store_after(wait), "reason": reason}
        last = sql_update(late_updates).where(late_updates.c.seq == last_seq)
        self._connection.execute(last.values(content=_text_of(update), **postponed))

    def remove(self, updates: Collection[LateUpdate]) -> None:
        for each in updates:
            self._connection.execute(delete(late_updates).where(late_updates.c.seq.in_(each.tokens)))


def has_late_update(run_id: ColumnElement[str]) -> Exists:
    """Whether the run has a late update, so that its row is not what the daemon knows."""
    return exists().where(late_updates.c.run_id == run_id)


@cache
def _due() -> Select[Any]:
    return (
        select(late_updates.c.run_id)
        .where(late_updates.c.not_before <= store_now())
        .group_by(late_updates.c.run_id)
        .order_by(func.min(late_updates.c.not_before))
        .limit(bindparam(_LIMIT, type_=Integer))
    )


def _text_of(late: LateUpdate) -> str:
    change = late.change
    details = None if late.details is None else _details_values(late.details)
    content = {
        "state": change.state,
        "start_time": _time_text(change.start_time),
        "end_time": _time_text(change.end_time),
        "tags": change.tags,
        "why": late.why,
        "provider_status": late.provider_status,
        "provider_message": late.provider_message,
        "details": details,
        "tasks": [_task_values(task) for task in late.tasks],
    }
    # In ASCII, so that a database of any encoding holds it. Lone surrogates and NUL are escapes in it.
    return json.dumps(storable_json(content))


def _update_from(row: Row[Any]) -> LateUpdate:
    content = json.loads(row.content)
    details = content["details"]
    return LateUpdate(
        run_id=RunId(row.run_id),
        change=RunChange(
            state=None if content["state"] is None else state_from(content["state"]),
            start_time=_time_from(content["start_time"]),
            end_time=_time_from(content["end_time"]),
            tags=content["tags"],
        ),
        why=content["why"],
        provider_status=content["provider_status"],
        provider_message=content["provider_message"],
        details=None if details is None else RunDetails(**{**details, "system_logs": tuple(details["system_logs"])}),
        tasks=[_task_from(values) for values in content["tasks"]],
        attempts=row.attempts,
        reason=row.reason,
        tokens=(row.seq,),
    )


def _details_values(details: RunDetails) -> Mapping[str, object]:
    names = ("outputs", "stdout", "stderr", "exit_code", "system_logs")
    return {name: getattr(details, name) for name in names}


def _task_values(task: TaskLog) -> Mapping[str, object]:
    names = ("id", "name", "cmd", "stdout", "stderr", "exit_code", "system_logs")
    times = {"start_time": _time_text(task.start_time), "end_time": _time_text(task.end_time)}
    return {**{name: getattr(task, name) for name in names}, **times}


def _task_from(values: Mapping[str, Any]) -> TaskLog:
    return TaskLog(
        id=TaskId(values["id"]),
        name=values["name"],
        cmd=tuple(values["cmd"]),
        start_time=_time_from(values["start_time"]),
        end_time=_time_from(values["end_time"]),
        stdout=values["stdout"],
        stderr=values["stderr"],
        exit_code=values["exit_code"],
        system_logs=tuple(values["system_logs"]),
    )


def _time_text(moment: datetime | None) -> str | None:
    return None if moment is None else iso_time(moment)


def _time_from(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
