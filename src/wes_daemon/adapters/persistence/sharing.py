"""Who is next: the share that has the fewest runs, its oldest run first, and nothing beyond a cap."""

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, func, or_, select

from wes_daemon.adapters.persistence.expressions import is_one_of, of_same_run, store_now
from wes_daemon.adapters.persistence.mapping import provider_from
from wes_daemon.adapters.persistence.tables import submissions, workflow_runs
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

OPEN = (SubmissionState.INTENT, SubmissionState.PREPARED)
"""What may have been sent and is not settled."""

_COUNTED = (SubmissionState.INTENT, SubmissionState.PREPARED, SubmissionState.REVIEW, SubmissionState.ACCEPTED)


class Room:
    """How many more runs the caps allow; counted when it is first asked for, under the lock of whoever claims."""

    def __init__(self, connection: Connection, cap: int, provider_caps: Mapping[ProviderType, int]) -> None:
        self._connection = connection
        self._cap = cap
        self._provider_caps = provider_caps
        self._held_by: Counter[ProviderType | None] = Counter()
        self._held_in: Counter[str] = Counter()

    def count(self) -> None:
        """Count what is claimed, in review or held by a provider."""
        for row in self._connection.execute(_counted()):
            self._held_by[provider_from(row.provider)] += row.runs
            self._held_in[row.share] += row.runs

    @property
    def is_none(self) -> bool:
        """Whether there is none at all, whatever is out."""
        return self._cap <= 0

    def is_there_for(self, provider: ProviderType | None) -> bool:
        """Whether one more run of this provider may go out."""
        own = self._cap if provider is None else self._provider_caps.get(provider, self._cap)
        return self._held_by.total() < self._cap and self._held_by[provider] < own

    def held_in(self, share: str) -> int:
        """How many runs of this share are out."""
        return self._held_in[share]

    def move(self, taken: ProviderType | None, wanted: ProviderType | None) -> bool:
        """What was taken at one provider goes to another; whether there is room for it."""
        if taken is wanted:
            return True
        self._held_by[taken] -= 1
        is_room = self.is_there_for(wanted)
        self._held_by[wanted] += is_room
        return is_room

    def take(self, provider: ProviderType | None, share: str) -> None:
        """One more goes out."""
        self._held_by[provider] += 1
        self._held_in[share] += 1


@dataclass
class _Queue:
    """The runs of one share that wait for one provider: the oldest `seq`, and once they are asked for, the runs."""

    provider: ProviderType | None
    share: str
    oldest: int
    waiting: deque[tuple[int, str]] | None = None


def shared_out(
    connection: Connection, room: Room, limit: int, excluding: Collection[ProviderType | None]
) -> Sequence[str]:
    """The runs whose turn it is, at most `limit`."""
    if limit <= 0 or room.is_none:
        return []
    queues = [queue for provider in _providers(excluding) for queue in _queues(connection, provider)]
    if not queues:
        return []
    room.count()
    chosen: list[str] = []
    while len(chosen) < limit and (queue := _next(queues, room)):
        if queue.waiting is None:
            queue.waiting = deque(_waiting(connection, queue, limit))
        elif queue.waiting:
            chosen.append(queue.waiting.popleft()[1])
            room.take(queue.provider, queue.share)
        if queue.waiting:
            queue.oldest = queue.waiting[0][0]
        else:
            queues.remove(queue)
    return chosen


def served(excluding: Collection[ProviderType | None]) -> ColumnElement[bool]:
    """Whether a submission is for a provider that is not excluded."""
    wanted = submissions.c.provider.in_([provider for provider in ProviderType if provider not in excluding])
    return wanted if None in excluding else or_(submissions.c.provider.is_(None), wanted)


def _next(queues: Sequence[_Queue], room: Room) -> _Queue | None:
    open_queues = [queue for queue in queues if room.is_there_for(queue.provider)]
    return min(open_queues, key=lambda queue: (room.held_in(queue.share), queue.oldest), default=None)


def _providers(excluding: Collection[ProviderType | None]) -> Iterator[ProviderType | None]:
    yield from (provider for provider in (None, *ProviderType) if provider not in excluding)


def _queues(connection: Connection, provider: ProviderType | None) -> Sequence[_Queue]:
    """One for each share that has anything ready; found by leaps through the index, however long each queue is."""
    return [_Queue(provider, share, seq) for share, seq in connection.execute(_shares_of(provider))]


def _waiting(connection: Connection, queue: _Queue, limit: int) -> Sequence[tuple[int, str]]:
    """Those whose time has come, oldest first."""
    rows = connection.execute(_waiting_for(queue.provider), {"of_share": queue.share, "most": limit}).all()
    return [(row.seq, row.run_id) for row in rows]


# To build a statement takes longer than to send it.


@cache
def _counted() -> Select[Any]:
    return (
        select(submissions.c.provider, submissions.c.share, func.count().label("runs"))
        .where(is_one_of(submissions.c.state, *_COUNTED))
        .group_by(submissions.c.provider, submissions.c.share)
    )


@cache
def _shares_of(provider: ProviderType | None) -> Select[Any]:
    ready = _ready_for(provider)
    first = select(func.min(submissions.c.share).label("share")).where(*ready).cte("shares", recursive=True)
    following = select(func.min(submissions.c.share)).where(*ready, submissions.c.share > first.c.share)
    shares = first.union_all(select(following.scalar_subquery()).where(first.c.share.is_not(None)))
    oldest = select(func.min(submissions.c.seq)).where(*ready, submissions.c.share == shares.c.share)
    return select(shares.c.share, oldest.scalar_subquery()).where(shares.c.share.is_not(None))


@cache
def _waiting_for(provider: ProviderType | None) -> Select[Any]:
    return (
        select(submissions.c.seq, submissions.c.run_id)
        .where(
            *_ready_for(provider),
            submissions.c.share == bindparam("of_share"),
            submissions.c.not_before <= store_now(),
            # Not a join: for each of them, a planner might go through all rows that are queued.
            is_one_of(of_same_run(workflow_runs.c.state, submissions.c.run_id), RunState.QUEUED),
        )
        .order_by(submissions.c.seq)
        .limit(bindparam("most", type_=Integer))
    )


def _ready_for(provider: ProviderType | None) -> Sequence[Any]:
    mine = submissions.c.provider.is_(None) if provider is None else submissions.c.provider == provider
    return is_one_of(submissions.c.state, SubmissionState.READY), mine
