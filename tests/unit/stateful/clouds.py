"""Providers that keep their promises and are as unhelpful as those allow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tests import fault_points
from wes_daemon.adapters.memory.providers import MemoryProvider, PreparingMemoryProvider
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import OutcomeUnknown, Rejected
from wes_daemon.application.ports.providers import Accepted, Prepared, RunDetails, Submission
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunId, StatusReport
from wes_daemon.domain.states import RunState

SILENCE = "wire.silent"
"""A further point: a request is on its way, and its sender waits for an answer that will not come."""

REFUSED = "refused"
"""The input that makes a request one which can never work."""


@dataclass(frozen=True, slots=True)
class Started:
    """A run at a provider, as the one who pays for it knows it."""

    id: ProviderRunId
    key: IdempotencyKey
    run_id: RunId


class TokenCloud(MemoryProvider):
    """Starts a run in one step, and knows by the key what it has started, for ever.

    Attributes:
        ledger: everything that was ever started, in order.
        under_way: requests whose senders gave up, and that may arrive yet.
        is_deaf: whether cancels are answered and come to nothing.
    """

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.ledger: list[Started] = []
        self.under_way: list[Submission] = []
        self.is_deaf = False
        self._delays = 0

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the port says."""
        if submission.request.params.get(REFUSED):
            raise Rejected("this can never work")
        if self._delays:
            self._delays -= 1
            self.under_way.append(submission)
            fault_points.reached(SILENCE)
            raise OutcomeUnknown("no answer came")
        return self._submitted(submission)

    def cancel(self, id: ProviderRunId) -> None:
        """As the port says."""
        if not self.is_deaf:
            super().cancel(id)

    def delay_next_request(self) -> None:
        """Keep the next request on its way until it `arrives`; its sender hears nothing."""
        self._delays += 1

    def arrive(self, number: int) -> None:
        """A request that was on its way is executed now, whatever has become of its sender."""
        submission = self.under_way.pop(number % len(self.under_way))
        with self._lock:
            self._execute(submission)

    def move(self, id: ProviderRunId, report: StatusReport) -> None:
        """Let a run go on."""
        self.put(id, report, RunDetails(exit_code=0))

    def end(self, id: ProviderRunId) -> None:
        """Let a run complete."""
        self.move(id, StatusReport(state=RunState.COMPLETE, provider_status="complete"))

    def heal(self) -> None:
        """From now on everything works; what was on its way is lost."""
        self._faults.clear()
        self.under_way.clear()
        self.is_deaf = False
        self._delays = 0

    def state(self, id: ProviderRunId) -> RunState | None:
        """Where a run is; None where the provider knows none."""
        held = self._provider_runs.get(id)
        return held.report.state if held else None

    def at_work(self) -> Sequence[Started]:
        """What costs money at this moment."""
        return [started for started in self.ledger if (state := self.state(started.id)) and not state.has_ended]

    def known(self, run_id: RunId) -> Sequence[Started]:
        """What a person finds who looks for a run."""
        return [started for started in self.ledger if started.run_id == run_id and started.id in self._provider_runs]

    def sent(self, run_id: RunId) -> bool:
        """Whether a request for the run is on its way."""
        return any(submission.run_id == run_id for submission in self.under_way)

    def _submitted(self, submission: Submission) -> Accepted | Prepared:
        return super().submit(submission)

    def _execute(self, submission: Submission) -> None:
        self._start(submission)

    def _create_run(self, id: ProviderRunId, submission: Submission, created_at: datetime) -> ProviderRunId:
        self.ledger.append(Started(id, submission.key, submission.run_id))
        return super()._create_run(id, submission, created_at)


class DraftCloud(TokenCloud, PreparingMemoryProvider):
    """Starts what was prepared; looks for nothing where it is told what was recorded, and may miss what it looks for.

    A draft that was deleted is prepared anew. Nobody deletes a run that was started and not recorded as accepted:
    that it was started could not be told any more.
    """

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)

    def heal(self) -> None:
        """As above, and whatever is there is found."""
        super().heal()
        self.search_misses = False

    def _submitted(self, submission: Submission) -> Accepted | Prepared:
        with self._call("submit"):
            recorded = submission.prepared_id
            if recorded is not None and (recorded in self._provider_runs or recorded in self.drafts):
                return Accepted(self._run(recorded))
            found = None if self.search_misses else next(self._runs_of(submission.key), None)
            return Accepted(found) if found else self._prepared(replace(submission, prepared_id=None))

    def _prepared(self, submission: Submission) -> Prepared:
        return Prepared(self._find_draft(submission.key) or self._create_draft(submission))

    def _execute(self, submission: Submission) -> None:
        if submission.prepared_id is None:
            self._create_draft(submission)
        elif submission.prepared_id in self.drafts:
            self._run(submission.prepared_id)

    def _run(self, id: ProviderRunId) -> ProviderRunId:
        return self._start_draft(id) if id in self.drafts else id

    def _runs_of(self, key: IdempotencyKey) -> Iterator[ProviderRunId]:
        return (id for id, held in self._provider_runs.items() if held.submission.key == key)
