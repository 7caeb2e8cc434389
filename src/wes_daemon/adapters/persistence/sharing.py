"""Fair share: the next run is the oldest of the group with the fewest active runs, within the concurrency limits."""

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, Select, bindparam, func, select

from wes_daemon.adapters.persistence.expressions import is_one_of, of_same_run, store_now
from wes_daemon.adapters.persistence.mapping import provider_from
from wes_daemon.adapters.persistence.tables import submissions, workflow_runs
from wes_daemon.application.ports.submissions import COUNTED, SubmissionState
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

_SHARE = "of_share"
_LIMIT = "row_limit"


class FreeSlots:
    """How many more runs may become active within the concurrency limits.

    The active runs must be counted under `CLAIM_LOCK`, before the first slot is occupied.
    """

    def __init__(
        self, connection: Connection, concurrency_limit: int, per_provider_limits: Mapping[ProviderType, int]
    ) -> None:
        self._connection = connection
        self._concurrency_limit = concurrency_limit
        self._per_provider_limits = per_provider_limits
        self._active_by_provider: Counter[ProviderType | None] = Counter()
        self._active_by_share: Counter[str] = Counter()

    @property
    def limit_is_zero(self) -> bool:
        """Whether the concurrency limit permits no run at all, however few are active."""
        return self._concurrency_limit <= 0

    def count_active(self) -> None:
        """Count the active runs in the database."""
        for row in self._connection.execute(_active_runs()):
            self._active_by_provider[provider_from(row.provider)] += row.runs
            self._active_by_share[row.share] += row.runs

    def has_slot_at(self, provider: ProviderType | None) -> bool:
        """Whether one more run of this provider may become active."""
        limit = self._concurrency_limit
        provider_limit = limit if provider is None else self._per_provider_limits.get(provider, limit)
        return self._active_by_provider.total() < limit and self._active_by_provider[provider] < provider_limit

    def active_in(self, share: str) -> int:
        """How many runs of this group are active."""
        return self._active_by_share[share]

    def occupy(self, provider: ProviderType | None, share: str) -> None:
        """Count one more active run."""
        self._active_by_provider[provider] += 1
        self._active_by_share[share] += 1

    def move(self, old: ProviderType | None, new: ProviderType | None) -> bool:
        """Release a slot of `old` and occupy one of `new`, if it has a free one; return whether it has."""
        if old == new:
            return True
        self._active_by_provider[old] -= 1
        has_slot = self.has_slot_at(new)
        self._active_by_provider[new] += has_slot
        return has_slot


@dataclass
class _Group:
    """The ready runs of one share and provider.

    Attributes:
        oldest: the lowest `seq`.
        due: `seq` and run id of the due ones, oldest first; None before they are read.
    """

    provider: ProviderType | None
    share: str
    oldest: int
    due: deque[tuple[int, str]] | None = None


def next_runs(
    connection: Connection, slots: FreeSlots, *, limit: int, serving: Collection[ProviderType | None]
) -> Sequence[str]:
    """Occupy slots for the ready runs to claim next, at most `limit`; return the ids of these runs."""
    if limit <= 0 or slots.limit_is_zero:
        return []
    providers = sorted(serving, key=lambda provider: provider or "")
    groups = [group for provider in providers for group in _groups(connection, provider)]
    if not groups:
        return []
    slots.count_active()
    chosen: list[str] = []
    while len(chosen) < limit and (group := _next_group(groups, slots)):
        if group.due is None:
            group.due = deque(_due_runs(connection, group, limit))
        elif group.due:
            chosen.append(group.due.popleft()[1])
            slots.occupy(group.provider, group.share)
        if group.due:
            group.oldest = group.due[0][0]
        else:
            groups.remove(group)
    return chosen


def _next_group(groups: Sequence[_Group], slots: FreeSlots) -> _Group | None:
    claimable = [group for group in groups if slots.has_slot_at(group.provider)]
    return min(claimable, key=lambda group: (slots.active_in(group.share), group.oldest), default=None)


def _groups(connection: Connection, provider: ProviderType | None) -> Sequence[_Group]:
    rows = connection.execute(_shares_of(provider))
    return [_Group(provider=provider, share=share, oldest=seq) for share, seq in rows]


def _due_runs(connection: Connection, group: _Group, limit: int) -> Sequence[tuple[int, str]]:
    rows = connection.execute(_due_runs_of(group.provider), {_SHARE: group.share, _LIMIT: limit}).all()
    return [(row.seq, row.run_id) for row in rows]


# These statements are built once, because building one takes longer than sending it.


@cache
def _active_runs() -> Select[Any]:
    return (
        select(submissions.c.provider, submissions.c.share, func.count().label("runs"))
        .where(is_one_of(submissions.c.state, *COUNTED))
        .group_by(submissions.c.provider, submissions.c.share)
    )


@cache
def _shares_of(provider: ProviderType | None) -> Select[Any]:
    """The shares with ready runs and the oldest `seq` of each.

    The recursion reads one index entry for each share, however many runs the share has.
    """
    ready = _is_ready_for(provider)
    first = select(func.min(submissions.c.share).label("share")).where(*ready).cte("shares", recursive=True)
    following = select(func.min(submissions.c.share)).where(*ready, submissions.c.share > first.c.share)
    shares = first.union_all(select(following.scalar_subquery()).where(first.c.share.is_not(None)))
    oldest = select(func.min(submissions.c.seq)).where(*ready, submissions.c.share == shares.c.share)
    return select(shares.c.share, oldest.scalar_subquery()).where(shares.c.share.is_not(None))


@cache
def _due_runs_of(provider: ProviderType | None) -> Select[Any]:
    return (
        select(submissions.c.seq, submissions.c.run_id)
        .where(
            *_is_ready_for(provider),
            submissions.c.share == bindparam(_SHARE),
            submissions.c.not_before <= store_now(),
            # Not a join: a planner might scan all queued rows for each submission.
            is_one_of(of_same_run(workflow_runs.c.state, submissions.c.run_id), RunState.QUEUED),
        )
        .order_by(submissions.c.seq)
        .limit(bindparam(_LIMIT, type_=Integer))
    )


def _is_ready_for(provider: ProviderType | None) -> Sequence[Any]:
    same_provider = submissions.c.provider.is_(None) if provider is None else submissions.c.provider == provider
    return is_one_of(submissions.c.state, SubmissionState.READY), same_provider
