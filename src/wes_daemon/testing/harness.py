"""The harness of the provider contract: what a child of the suite says about the service behind its provider."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from wes_daemon.application.ports.errors import OutcomeUnknown
from wes_daemon.application.ports.providers import (
    Idempotency,
    Needed,
    OwnedRun,
    Prepared,
    Recorded,
    Submission,
    WorkflowProvider,
    all_needed,
    nothing_recorded,
)
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunId, StatusReport
from wes_daemon.domain.states import RunState

UNFINISHED = frozenset({RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING})

_POLL_INTERVAL = timedelta(milliseconds=50)
_LONGEST_WAIT = timedelta(minutes=2)


class CannotArrange(Exception):
    """The harness cannot bring this about: the test is skipped with this reason."""


class ProviderHarness(ABC):
    """What the contract has to know about the service behind the provider, and what it does to the service.

    A child defines at least the four abstract methods. The others raise `CannotArrange`, so that their tests are
    skipped, until the child overrides them.

    Attributes:
        has_tasks: whether the service reports the steps of a run.
    """

    has_tasks = True

    @abstractmethod
    def provider(self) -> WorkflowProvider:
        """Return a provider of the service: at every call another object, which shares no memory with the others."""

    @abstractmethod
    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        """Return a new submission with a key of its own, whose run `reach` can bring to `fate`.

        Args:
            fate: `RUNNING` (and the run stays in this state), `COMPLETE` (with an output, and a task if
                the service `has_tasks`) or `EXECUTOR_ERROR`.
        """

    @abstractmethod
    def reach(self, id: ProviderRunId, state: RunState) -> None:
        """Bring the run to this state, or wait until it is there: its fate, or `CANCELED` after a cancel."""

    @abstractmethod
    def starts(self, key: IdempotencyKey) -> int:
        """Return how many runs the service has ever started for this key; may wait until the number is certain."""

    def refused(self) -> Submission:
        """Return a new submission that can never work."""
        return self._cannot("has no submission that would be rejected")

    def lose_answer(self, submission: Submission) -> None:
        """Submit so that the service accepts the run and the answer is lost: the caller does not know the id."""
        self._cannot(f"cannot lose the answer to {submission.key}")

    def only_prepare(self, submission: Submission) -> ProviderRunId:
        """Leave the run prepared and not started at the service, as a process does that dies between the two."""
        return self._cannot(f"cannot stop between preparing and starting {submission.key}")

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        """Submit from a process of its own, which has ended when this returns."""
        return self._cannot(f"cannot submit {submission.key} from another process")

    def start_former(self, run_id: RunId) -> str:
        """Start a run as the former daemon did, which named it `WES-` and the run's id; return the service's id.

        Only the built-in providers have such runs.
        """
        return self._cannot(f"was never used by the former daemon: {run_id}")

    @property
    def beginning(self) -> datetime:
        """A time before everything that the test does, on the service's clock."""
        return datetime(2000, 1, 1, tzinfo=UTC)

    def let_lists_catch_up(self) -> None:
        """Wait until the service's lists contain everything that was done so far."""

    def _cannot(self, what: str) -> NoReturn:
        raise CannotArrange(f"{type(self).__name__} {what}")


class ProviderFixtures:
    """The fixtures of the suite; a child overrides `harness`."""

    @pytest.fixture
    def harness(self) -> ProviderHarness:
        """The service under test, a new one for each test."""
        raise NotImplementedError

    @pytest.fixture
    def provider(self, harness: ProviderHarness) -> WorkflowProvider:
        """One provider of the service."""
        return harness.provider()


@contextmanager
def arranged() -> Iterator[None]:
    """Skip the test if the harness cannot arrange what it needs."""
    try:
        yield
    except CannotArrange as reason:
        pytest.skip(str(reason))


def accept(provider: WorkflowProvider, submission: Submission) -> ProviderRunId:
    """Submit as the daemon does: a run that was prepared is submitted once more with its id."""
    answer = provider.submit(submission)
    if isinstance(answer, Prepared):
        answer = provider.submit(replace(submission, prepared_id=answer.id))
    assert not isinstance(answer, Prepared), "prepared twice"
    return answer.id


def repeated(provider: WorkflowProvider, submission: Submission) -> Submission:
    """Return the submission as a further attempt makes it.

    The daemon says with `resumed` that an earlier attempt may have started the run; a provider whose service knows no
    key depends on that.
    """
    is_at_most_once = provider.limits.idempotency is Idempotency.AT_MOST_ONCE
    return replace(submission, resumed=True) if is_at_most_once else submission


def accept_again(provider: WorkflowProvider, submission: Submission) -> ProviderRunId | None:
    """Submit as a further attempt; None if the run remains in doubt, which only `AT_MOST_ONCE` permits."""
    try:
        return accept(provider, repeated(provider, submission))
    except OutcomeUnknown:
        if provider.limits.idempotency is not Idempotency.AT_MOST_ONCE:
            raise
        return None


def status(provider: WorkflowProvider, id: ProviderRunId) -> StatusReport:
    """Return the status of one run that the provider must know."""
    return provider.statuses([id])[id]


def all_owned_runs(
    harness: ProviderHarness,
    provider: WorkflowProvider,
    *,
    since: datetime | None = None,
    recorded: Recorded = nothing_recorded,
) -> Sequence[OwnedRun]:
    """Return the owned runs of all pages."""
    harness.let_lists_catch_up()
    found: list[OwnedRun] = []
    after: str | None = None
    while True:
        page = provider.owned_runs(since or harness.beginning, after=after, recorded=recorded)
        found += page.runs
        if page.following is None:
            return found
        after = page.following


def all_former_runs(
    harness: ProviderHarness,
    provider: WorkflowProvider,
    *,
    since: datetime | None,
    recorded: Recorded = nothing_recorded,
    needed: Needed = all_needed,
) -> Sequence[OwnedRun]:
    """Return the runs of the former daemon of all pages."""
    harness.let_lists_catch_up()
    found: list[OwnedRun] = []
    after: str | None = None
    while True:
        page = provider.former_runs(since, after=after, recorded=recorded, needed=needed)
        found += page.runs
        if page.following is None:
            return found
        after = page.following


def all_ended_runs(
    harness: ProviderHarness, provider: WorkflowProvider, *, since: datetime
) -> Collection[ProviderRunId]:
    """Return the ids of all pages of the list of ended runs."""
    harness.let_lists_catch_up()
    found: set[ProviderRunId] = set()
    after: str | None = None
    while True:
        page = provider.ended(since, after=after)
        found.update(page.ids)
        if page.following is None:
            return found
        after = page.following


def owned_run(found: Sequence[OwnedRun], id: ProviderRunId) -> OwnedRun:
    """Return the run with this id; a page may repeat runs of the page before."""
    [one] = {run.id: run for run in found if run.id == id}.values()
    return one


def wait_until(holds: Callable[[], object], what: str, *, within: timedelta = _LONGEST_WAIT) -> None:
    """Wait, in real time, until a condition of another process or service holds; raises `AssertionError` if not."""
    pause = threading.Event()
    for _ in range(max(1, within // _POLL_INTERVAL)):
        if holds():
            return
        pause.wait(_POLL_INTERVAL.total_seconds())
    raise AssertionError(f"waited {within} for {what}")
