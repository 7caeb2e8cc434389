"""Whom a refusal concerns that does not say so: accepted runs show that the set-up works."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.domain.runs import ProviderType, RunId

# One contradiction may be chance: a permission that was just granted or withdrawn is not in force everywhere at once.
_CONTRADICTIONS = 2
# Runs that were refused and then withdrawn are never asked about again: the oldest are forgotten.
_MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """The last ambiguous refusal of a run.

    Attributes:
        at: on the monotonic clock.
        contradictions: how many refusals of the run were followed by the acceptance of another run.
    """

    at: timedelta
    contradictions: int = 0


class SetUpEvidence:
    """Remembers ambiguous refusals and accepted runs of this process, and so of one set-up. Thread-safe.

    A run is to blame for its refusals if other runs were accepted between them. One refusal alone could be that of a
    set-up that has just stopped working, or that has just been repaired.

    Args:
        now: the monotonic clock.
    """

    def __init__(self, now: Callable[[], timedelta]) -> None:
        self._now = now
        self._last_accepted: dict[ProviderType, timedelta] = {}
        self._refusals: dict[RunId, _Refusal] = {}
        self._lock = threading.Lock()

    def note_acceptance(self, run_id: RunId, provider: ProviderType, *, sent_at: timedelta) -> None:
        """Remember that the provider accepted a run whose call began at `sent_at`, on the monotonic clock."""
        with self._lock:
            self._refusals.pop(run_id, None)
            self._last_accepted[provider] = max(sent_at, self._last_accepted.get(provider, sent_at))

    def is_run_to_blame(self, run_id: RunId, provider: ProviderType) -> bool:
        """Remember an ambiguous refusal; return whether it concerns the run and not the set-up."""
        with self._lock:
            contradictions = self._contradictions(self._refusals.pop(run_id, None), self._last_accepted.get(provider))
            if contradictions < _CONTRADICTIONS:
                self._refusals[run_id] = _Refusal(at=self._now(), contradictions=contradictions)
            if len(self._refusals) > _MAX_REMEMBERED:
                del self._refusals[next(iter(self._refusals))]
            return contradictions >= _CONTRADICTIONS

    def _contradictions(self, before: _Refusal | None, last_accepted: timedelta | None) -> int:
        if before is None:
            return 0
        is_contradicted = last_accepted is not None and last_accepted > before.at
        return before.contradictions + is_contradicted
