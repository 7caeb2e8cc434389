"""A change of a run's row, kept apart from the row so that it can be written later."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from wes_daemon.domain.runs import PROVIDER_ID_TAG, PROVIDER_TYPE_TAG, UNREADABLE_TAGS_TAG, RunSummary
from wes_daemon.domain.states import RunState

_PROVIDER_TAGS = frozenset({PROVIDER_TYPE_TAG, PROVIDER_ID_TAG})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChange:
    """The values that a change writes into a run's row.

    Attributes:
        state, start_time, end_time: None for a value that stays.
        tags: the tags that are added or replaced.
    """

    state: RunState | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    tags: Mapping[str, object] = field(default_factory=dict)

    def followed_by(self, later: "RunChange") -> Self:
        """Both changes as one."""
        return replace(
            self,
            state=later.state or self.state,
            start_time=later.start_time or self.start_time,
            end_time=later.end_time or self.end_time,
            tags={**self.tags, **later.tags},
        )

    def applied_to(self, run: RunSummary) -> RunSummary:
        """The run as its row is now, with this change as far as it still applies.

        The state only moves forward. If it cannot change to the new state any more, or if a service has ended the run
        meanwhile, only the tags that name the provider run are added.
        """
        if not self._still_applies_to(run):
            return run.with_tags({name: value for name, value in self.tags.items() if name in _PROVIDER_TAGS})
        return replace(
            run.with_tags(self.tags),
            state=self.state or run.state,
            start_time=self.start_time or run.start_time,
            end_time=self.end_time or run.end_time,
        )

    def _still_applies_to(self, run: RunSummary) -> bool:
        if self.state is None:
            return not run.state.has_ended
        # The row of an accepted run may still be QUEUED.
        is_accepted = run.state is RunState.QUEUED and run.provider_run_id is not None
        return (RunState.INITIALIZING if is_accepted else run.state).may_become(self.state) or (
            is_accepted and self.state is RunState.INITIALIZING
        )


def change_between(before: RunSummary, after: RunSummary) -> RunChange:
    """The change that leads from one to the other."""
    return RunChange(
        state=after.state if after.state is not before.state else None,
        start_time=after.start_time if after.start_time != before.start_time else None,
        end_time=after.end_time if after.end_time != before.end_time else None,
        tags=_added_tags(before.tags, after.tags),
    )


def _added_tags(before: object, after: object) -> Mapping[str, object]:
    if not isinstance(after, Mapping) or after == before:
        return {}
    if not isinstance(before, Mapping):
        # Tags that are not an object are kept under a name of their own whenever tags are added.
        return {name: value for name, value in after.items() if name != UNREADABLE_TAGS_TAG}
    return {name: value for name, value in after.items() if name not in before or before[name] != value}
