"""Discrepancies put right: each by the database as it is then, logged, and noted in the run's timeline."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.comparing import Comparison
from wes_daemon.application.discrepancies import Discrepancy, Remedy
from wes_daemon.application.ports.environment import Clock, IdSource
from wes_daemon.application.ports.errors import ConcurrentUpdate, ProviderError, RunNotFound
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.ledger import Mending, Mendings
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import Run

_log = logging.getLogger(__name__)

_CHANGED = "the database has changed since: look again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What became of one attempt.

    Attributes:
        done: whether it is put right, as far as this could do it.
        words: what was done, or why nothing was.
    """

    discrepancy: Discrepancy
    done: bool
    words: str


class Mender:
    """Carries remedies out. Nothing is done where the database no longer says what it said."""

    def __init__(self, *, mendings: Mendings, clock: Clock, ids: IdSource, by: str) -> None:
        self._mendings = mendings
        self._clock = clock
        self._ids = ids
        self._by = by

    def mend(self, found: Discrepancy, comparison: Comparison, provider: WorkflowProvider) -> Mended:
        """Put one thing right, or say why not; the next one may be tried in any case."""
        try:
            done, words = self._carry_out(found, comparison, provider)
        except (ProviderError, ConcurrentUpdate, RunNotFound) as error:
            done, words = False, str(error)
        if found.remedy is not Remedy.NONE:
            self._log(found, done, words)
        return Mended(discrepancy=found, done=done, words=words)

    def _carry_out(self, found: Discrepancy, comparison: Comparison, provider: WorkflowProvider) -> tuple[bool, str]:
        acts: Mapping[Remedy, Callable[[], tuple[bool, str]]] = {
            Remedy.ADOPT: lambda: self._adopt(found),
            Remedy.LOOK_AGAIN: lambda: self._look_again(found),
            Remedy.CANCEL: lambda: self._cancel(found, comparison, provider),
            Remedy.REMOVE: lambda: self._remove(found, comparison, provider),
            Remedy.NONE: lambda: (False, "there is nothing to do here"),
        }
        return acts[found.remedy]()

    def _adopt(self, found: Discrepancy) -> tuple[bool, str]:
        words = f"adopted {found.provider} run {found.provider_run_id}"
        with self._mendings() as work:
            claim = work.take(found.run_id, SessionId(self._ids.new_id()), found.provider)
            work.submissions.accepted(claim, found.provider, found.provider_run_id, check_after=timedelta(0))
            self._change(work, found, lambda run: run.accepted(found.provider, found.provider_run_id), words)
            work.commit()
        return True, words

    def _look_again(self, found: Discrepancy) -> tuple[bool, str]:
        words = f"{found.explanation}: to be asked for at once"
        with self._mendings() as work:
            if not work.hasten(found.run_id, found.provider_run_id):
                return False, _CHANGED
            self._note(work, found, words)
            work.commit()
        return True, words

    def _cancel(self, found: Discrepancy, comparison: Comparison, provider: WorkflowProvider) -> tuple[bool, str]:
        if not _still_holds(found, comparison):
            return False, _CHANGED
        provider.cancel(found.provider_run_id)
        return True, self._noted(found, f"told {found.provider} to cancel {found.provider_run_id}: {found.explanation}")

    def _remove(self, found: Discrepancy, comparison: Comparison, provider: WorkflowProvider) -> tuple[bool, str]:
        fault_points.reached("janitor.before_removal")
        if not _still_holds(found, comparison):
            return False, _CHANGED
        if not provider.delete_draft(found.provider_run_id):
            return False, "it was gone already, or is a draft no more"
        return True, self._noted(found, f"removed {found.provider} draft {found.provider_run_id}")

    def _noted(self, found: Discrepancy, words: str) -> str:
        with self._mendings() as work:
            self._note(work, found, words)
            work.commit()
        return words

    def _note(self, work: Mending, found: Discrepancy, words: str) -> None:
        """Write into the timeline of the run, where there is one."""
        try:
            self._change(work, found, lambda run: run, words)
        except RunNotFound:
            return

    def _change(self, work: Mending, found: Discrepancy, verb: Callable[[Run], Run], words: str) -> None:
        before = work.runs.get(found.run_id)
        after = verb(before)
        entry = TimelineEntry(
            at=self._clock.now(),
            before=before.state,
            after=after.state,
            by=self._by,
            why=words,
            provider_status=found.provider_status,
        )
        work.runs.write([RunUpdate(before=before, after=after, entry=entry)])

    def _log(self, found: Discrepancy, done: bool, words: str) -> None:
        log_event(
            _log,
            logging.WARNING,
            "discrepancy.mended" if done else "discrepancy.not_mended",
            kind=found.kind,
            run_id=found.run_id,
            provider=found.provider,
            provider_id=found.provider_run_id,
            outcome=words,
        )


def _still_holds(found: Discrepancy, comparison: Comparison) -> bool:
    """Whether the database still says what made this a discrepancy."""
    if found.marked is None:
        return False
    now = comparison.judged_again(found.marked)
    return now is not None and (now.kind, now.remedy) == (found.kind, found.remedy)
