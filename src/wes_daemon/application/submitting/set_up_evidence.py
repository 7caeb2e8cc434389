"""Whom a refusal concerns that does not say so: accepted runs show that the set-up works."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from wes_daemon.domain.runs import RESERVED_TAGS, ProviderType, Run, RunId

K = TypeVar("K")
V = TypeVar("V")

# One contradiction may be chance: a permission that was just granted or withdrawn is not in force everywhere at once.
_CONTRADICTIONS = 2
# Runs that were refused and then withdrawn are never asked about again: the oldest are forgotten.
_MAX_REMEMBERED = 10_000
_TAG_PREFIX = "provider_"


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
    set-up that has just stopped working, or that has just been repaired. An accepted run proves nothing about settings
    that it does not use, such as a role in whose place it names its own.

    Args:
        now: the monotonic clock.
    """

    def __init__(self, now: Callable[[], timedelta]) -> None:
        self._now = now
        self._last_accepted: dict[tuple[ProviderType, frozenset[str]], timedelta] = {}
        self._refusals: dict[RunId, _Refusal] = {}
        self._lock = threading.Lock()

    def note_acceptance(self, run: Run, provider: ProviderType, *, sent_at: timedelta) -> None:
        """Remember that the provider accepted a run whose call began at `sent_at`, on the monotonic clock."""
        accepted = (provider, _named_by(run))
        with self._lock:
            self._refusals.pop(run.id, None)
            self._last_accepted[accepted] = max(sent_at, self._last_accepted.pop(accepted, sent_at))
            _forget_oldest(self._last_accepted)

    def is_run_to_blame(self, run: Run, provider: ProviderType) -> bool:
        """Remember an ambiguous refusal; return whether it concerns the run and not the set-up."""
        named = _named_by(run)
        with self._lock:
            last_accepted = max(
                (at for (by, names), at in self._last_accepted.items() if by == provider and names <= named),
                default=None,
            )
            contradictions = self._contradictions(self._refusals.pop(run.id, None), last_accepted)
            if contradictions < _CONTRADICTIONS:
                self._refusals[run.id] = _Refusal(at=self._now(), contradictions=contradictions)
            _forget_oldest(self._refusals)
            return contradictions >= _CONTRADICTIONS

    def _contradictions(self, before: _Refusal | None, last_accepted: timedelta | None) -> int:
        if before is None:
            return 0
        is_contradicted = last_accepted is not None and last_accepted > before.at
        return before.contradictions + is_contradicted


def _forget_oldest(entries: dict[K, V]) -> None:
    if len(entries) > _MAX_REMEMBERED:
        del entries[next(iter(entries))]


def _named_by(run: Run) -> frozenset[str]:
    """Return the names of the engine parameters, and of the tags in their place, with which a run replaces settings."""
    tags = {name: value for name, value in run.tag_values.items() if name.startswith(_TAG_PREFIX)}
    given = {**run.request.engine_parameters, **tags}
    return frozenset(name for name, value in given.items() if value and name not in RESERVED_TAGS)
