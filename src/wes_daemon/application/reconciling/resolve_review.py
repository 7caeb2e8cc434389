"""Records a person's decision about a run that needs review."""

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
from wes_daemon.application.runtime.recording import Recording, Verb, commit_recording
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId

_log = logging.getLogger(__name__)

_NOW = timedelta(0)


class ResolveReview:
    """The three possible decisions. Each raises `NotInReview`, and changes nothing, if the run does not need review."""

    def __init__(
        self, *, units: UnitsOfWork, queries: RunQueries, providers: ProviderDirectory, clock: Clock, by: str
    ) -> None:
        self._units = units
        self._queries = queries
        self._providers = providers
        self._clock = clock
        self._by = by

    def adopt(self, run_id: RunId, id: ProviderRunId) -> ProviderType:
        """Follow this provider run as the run's own, if the provider has a run with this id.

        Raises:
            NotInReview: the run does not need review, its provider has no run with this id, or another run in this
                database already has that provider run.
            ProviderError: the provider's status request failed.
        """
        self._require_known(run_id, id)
        providers = list[ProviderType]()

        def write(recording: Recording) -> None:
            provider = recording.work.submissions.adopt(run_id, id, first_poll_after=_NOW)
            recording.change(run_id, lambda run: run.accepted(provider, id), f"found at {provider} as {id}")
            providers.append(provider)

        self._commit(write)
        self._log(run_id, decision="adopt", provider=providers[-1], provider_id=id)
        return providers[-1]

    def send_again(self, run_id: RunId) -> None:
        """Submit the run again under the same idempotency key, because the provider does not have it."""
        self._decide(
            run_id,
            decide=lambda queue: queue.send_again(run_id),
            change=lambda run: run,
            reason="to be submitted again",
        )
        self._log(run_id, decision="send_again")

    def give_up(self, run_id: RunId, reason: str) -> None:
        """End the run with this reason, or as cancelled if it is being cancelled, because no provider has it."""
        now = self._clock.now()
        self._decide(
            run_id,
            decide=lambda queue: queue.give_up(run_id, reason=reason),
            change=lambda run: run.rejected(reason, now),
            reason=reason,
        )
        self._log(run_id, decision="fail", reason=reason)

    def _decide(self, run_id: RunId, *, decide: Callable[[SubmissionQueue], None], change: Verb, reason: str) -> None:
        def write(recording: Recording) -> None:
            decide(recording.work.submissions)
            recording.change(run_id, change, reason)
            if not recording.changes:
                recording.note(run_id, reason)

        self._commit(write)

    def _commit(self, write: Callable[[Recording], None]) -> None:
        """Record a decision. If the run's row is locked or refuses it, a daemon changes the row later."""
        commit_recording(self._units, write, clock=self._clock, by=self._by)

    def _require_known(self, run_id: RunId, id: ProviderRunId) -> None:
        try:
            type = self._queries.get(run_id).destination
        except RunNotFound:
            # The row was deleted, but the submission may exist: `SubmissionQueue.adopt` raises an error if it does not.
            return
        if type is not None and id not in self._providers.provider(type).statuses([id]):
            raise NotInReview(f"{type} has no run {id}: search there for the run's idempotency key wes-{run_id}")

    def _log(self, run_id: RunId, **values: object) -> None:
        log_event(_log, logging.WARNING, "review.resolved", run_id=run_id, by=self._by, **values)
