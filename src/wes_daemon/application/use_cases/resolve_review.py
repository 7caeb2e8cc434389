"""A person decides what no machine could prove: whether a provider has a run."""

import logging
from collections.abc import Callable
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotInReview, RunNotFound
from wes_daemon.application.ports.providers import ProviderDirectory
from wes_daemon.application.ports.queries import RunQueries
from wes_daemon.application.ports.submissions import SubmissionQueue
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.recording import Recording, Verb
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId

_log = logging.getLogger(__name__)

_AT_ONCE = timedelta(0)


class ResolveReview:
    """The three ways out of review. Each raises `NotInReview` for a run that is not there, and then changes nothing."""

    def __init__(
        self, *, units: UnitsOfWork, queries: RunQueries, providers: ProviderDirectory, clock: Clock, by: str
    ) -> None:
        self._units = units
        self._queries = queries
        self._providers = providers
        self._clock = clock
        self._by = by

    def adopt(self, run_id: RunId, id: ProviderRunId) -> ProviderType:
        """The provider has the run under this id, as it confirms: follow it from now on.

        Raises:
            NotInReview: it is not in review, its provider knows no such run, or another run has that one already.
            ProviderError: the provider cannot be asked.
        """
        self._require_known(run_id, id)
        with self._units() as work:
            provider = work.submissions.adopt(run_id, id, check_after=_AT_ONCE)
            recording = Recording(work, self._clock, self._by)
            recording.change(run_id, lambda run: run.accepted(provider, id), f"found at {provider} as {id}")
            work.commit()
        self._log(run_id, decision="adopt", provider=provider, provider_id=id)
        return provider

    def send_again(self, run_id: RunId) -> None:
        """The provider does not have it: send it once more, under the same key."""
        self._decide(run_id, lambda queue: queue.send_again(run_id), lambda run: run, "to be sent once more")
        self._log(run_id, decision="send_again")

    def give_up(self, run_id: RunId, reason: str) -> None:
        """No provider has it, and none shall: it ends for this reason, or as cancelled where somebody wanted that."""
        now = self._clock.now()
        self._decide(
            run_id,
            lambda queue: queue.give_up(run_id, reason=reason),
            lambda run: run.rejected(reason, now),
            reason,
        )
        self._log(run_id, decision="fail", reason=reason)

    def _decide(self, run_id: RunId, decide: Callable[[SubmissionQueue], None], verb: Verb, why: str) -> None:
        with self._units() as work:
            decide(work.submissions)
            recording = Recording(work, self._clock, self._by)
            recording.change(run_id, verb, why)
            if not recording.changes:
                recording.note(run_id, why)
            work.commit()

    def _require_known(self, run_id: RunId, id: ProviderRunId) -> None:
        try:
            type = self._queries.get(run_id).destination
        except RunNotFound:
            # The row is gone, the submission may be there: it says so itself where it is not.
            return
        if type is not None and id not in self._providers.provider(type).statuses([id]):
            raise NotInReview(f"{type} knows no run {id}: look for the run's key wes-{run_id} there")

    def _log(self, run_id: RunId, **told: object) -> None:
        log_event(_log, logging.WARNING, "review.resolved", run_id=run_id, by=self._by, **told)
