"""A provider under test at the real service, with runs that cost money."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from tests.live.account import Account
from tests.live.cleaning import clean
from tests.live.session import LiveSession
from wes_daemon.adapters.resilience.decorators import Forwarding
from wes_daemon.adapters.system import sleep
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission, WorkflowProvider
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing import ProviderHarness

# Longer than this machine's clock and the service's should differ.
_MARGIN = timedelta(minutes=15)


class LiveHarness(ProviderHarness):
    """Runs of one test. They go where their inputs lead them; all that can be done is to wait."""

    def __init__(self, account: Account, session: LiveSession) -> None:
        self._account = account
        self._session = session
        self._ids: set[ProviderRunId] = set()

    def provider(self) -> WorkflowProvider:
        return _Noting(self._account.provider(), self._ids.add)

    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        key = self._session.new_key()
        return Submission(key=key, run_id=RunId(key.removeprefix("wes-")), request=self._account.request(fate))

    def reach(self, id: ProviderRunId, state: RunState) -> None:
        provider = self.provider()
        for _ in range(max(1, self._session.patience // self._session.between_looks)):
            report = provider.statuses([id]).get(id)
            if report is not None and report.state is state:
                return
            assert report is None or not report.state.has_ended, f"{id} was to become {state}: {report}"
            sleep(self._session.between_looks)
        raise AssertionError(f"waited {self._session.patience} for {id} to become {state}: LIVE_PATIENCE_SECONDS")

    def starts(self, key: IdempotencyKey) -> int:
        sleep(self._session.settling)
        return sum(run.was_started for run in self._account.runs_of(key))

    def refused(self) -> Submission:
        return replace(self.submission(), request=self._account.refused())

    def lose_answer(self, submission: Submission) -> None:
        """The answer comes, and nobody listens: as if the caller had died at that moment."""
        self.provider().submit(submission)

    def only_prepare(self, submission: Submission) -> ProviderRunId:
        if not self._account.prepares:
            self._cannot("cannot stop between preparing and starting: this service starts in one step")
        answer = self.provider().submit(submission)
        assert isinstance(answer, Prepared)
        return answer.id

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        id = self._account.submit_in_another_process(submission)
        self._ids.add(id)
        return id

    @property
    def beginning(self) -> datetime:
        return self._session.begun - _MARGIN

    def let_lists_catch_up(self) -> None:
        sleep(self._session.settling)

    def close(self) -> None:
        """Leave nothing running, whatever became of the test."""
        clean(self._account, self._ids, between_looks=self._session.between_looks)


class _Noting(Forwarding):
    """Remembers what was submitted."""

    def __init__(self, inner: WorkflowProvider, note: Callable[[ProviderRunId], object]) -> None:
        super().__init__(inner)
        self._note = note

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the inner provider."""
        answer = super().submit(submission)
        self._note(answer.id)
        return answer
