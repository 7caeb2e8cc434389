"""What every `WorkflowProvider` owes its caller, whatever stands behind it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from wes_daemon.application.ports.errors import OutcomeUnknown, Rejected, Unprovable
from wes_daemon.application.ports.providers import (
    Accepted,
    Idempotency,
    Needed,
    OwnedRun,
    Prepared,
    ProviderTask,
    Recorded,
    Submission,
    WorkflowProvider,
    all_needed,
    nothing_recorded,
)
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunId, StatusReport
from wes_daemon.domain.states import RunState

UNFINISHED = {RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.CANCELING}


class CannotArrange(Exception):
    """The harness has no way to bring this about; the test is skipped and says so."""


class ProviderHarness(ABC):
    """What the contract has to know of, and do to, the service behind the provider under test.

    Only the first four are needed. The others raise `CannotArrange` unless a child can do better.
    """

    @abstractmethod
    def provider(self) -> WorkflowProvider:
        """A provider of the service; at every call another object, which shares no memory with the ones before."""

    @abstractmethod
    def submission(self, fate: RunState = RunState.COMPLETE) -> Submission:
        """A new submission, with a key of its own, whose run `reach` can bring to `fate`.

        Args:
            fate: `RUNNING` (and it stays there), `COMPLETE` (with an output and a task) or `EXECUTOR_ERROR`.
        """

    @abstractmethod
    def reach(self, id: ProviderRunId, state: RunState) -> None:
        """Bring the run to this state: its fate, or `CANCELED` after a cancel. Wait for it, or move it there."""

    @abstractmethod
    def starts(self, key: IdempotencyKey) -> int:
        """How many runs the service has ever started for this key; may wait until that is certain."""

    def refused(self) -> Submission:
        """A new submission which can never work."""
        return self._cannot("has no submission that would be rejected")

    def lose_answer(self, submission: Submission) -> None:
        """Submit so that the service accepts, but the answer is lost: the caller has no id."""
        self._cannot(f"cannot lose the answer to {submission.key}")

    def only_prepare(self, submission: Submission) -> ProviderRunId:
        """Leave the run at the service prepared and not started, as a caller does that dies between the two."""
        return self._cannot(f"cannot stop between preparing and starting {submission.key}")

    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        """Submit from a process of its own, which has ended when this returns."""
        return self._cannot(f"cannot submit {submission.key} from another process")

    def start_former(self, run_id: RunId) -> str:
        """Start a run as the former daemon did, which named it `WES-` and the run's id; return the service's own id."""
        return self._cannot(f"was never used by the former daemon: {run_id}")

    @property
    def beginning(self) -> datetime:
        """Before everything that the test does, on the service's clock."""
        return datetime(2000, 1, 1, tzinfo=UTC)

    def let_lists_catch_up(self) -> None:
        """Wait until what was done so far is listed."""

    def _cannot(self, what: str) -> NoReturn:
        raise CannotArrange(f"{type(self).__name__} {what}")


@contextmanager
def arranged() -> Iterator[None]:
    """Skip the test when the harness cannot arrange what it needs."""
    try:
        yield
    except CannotArrange as reason:
        pytest.skip(str(reason))


def accept(provider: WorkflowProvider, submission: Submission) -> ProviderRunId:
    """Submit as a careful caller does: what is prepared is submitted once more with its id."""
    answer = provider.submit(submission)
    if isinstance(answer, Prepared):
        answer = provider.submit(replace(submission, prepared_id=answer.id))
    assert not isinstance(answer, Prepared), "prepared twice"
    return answer.id


def repeated(provider: WorkflowProvider, submission: Submission) -> Submission:
    """The submission as a further attempt makes it.

    The use case says with it that an earlier attempt may have started the run; a provider whose service knows no key
    depends on that.
    """
    is_at_most_once = provider.limits.idempotency is Idempotency.AT_MOST_ONCE
    return replace(submission, resumed=True) if is_at_most_once else submission


def status(provider: WorkflowProvider, id: ProviderRunId) -> StatusReport:
    """What the provider says of one run that it must know."""
    return provider.statuses([id])[id]


def moments(task: ProviderTask) -> Sequence[datetime]:
    """The times that a task tells."""
    return [moment for moment in (task.started_at, task.ended_at) if moment is not None]


def everything_marked(
    harness: ProviderHarness,
    provider: WorkflowProvider,
    *,
    since: datetime | None = None,
    recorded: Recorded = nothing_recorded,
) -> Sequence[OwnedRun]:
    """All parts of what bears a mark, one after the other."""
    harness.let_lists_catch_up()
    found: list[OwnedRun] = []
    after: str | None = None
    while True:
        part = provider.owned_runs(since or harness.beginning, after=after, recorded=recorded)
        found += part.runs
        if part.following is None:
            return found
        after = part.following


def everything_former(
    harness: ProviderHarness,
    provider: WorkflowProvider,
    *,
    since: datetime | None,
    recorded: Recorded = nothing_recorded,
    needed: Needed = all_needed,
) -> Sequence[OwnedRun]:
    """All parts of what the former daemon has created, one after the other."""
    harness.let_lists_catch_up()
    found: list[OwnedRun] = []
    after: str | None = None
    while True:
        part = provider.former_runs(since, after=after, recorded=recorded, needed=needed)
        found += part.runs
        if part.following is None:
            return found
        after = part.following


def everything_ended(
    harness: ProviderHarness, provider: WorkflowProvider, *, since: datetime
) -> Collection[ProviderRunId]:
    """All parts of what has ended, one after the other."""
    harness.let_lists_catch_up()
    found: set[ProviderRunId] = set()
    after: str | None = None
    while True:
        part = provider.ended(since, after=after)
        found.update(part.ids)
        if part.following is None:
            return found
        after = part.following


def marked_as(found: Sequence[OwnedRun], id: ProviderRunId) -> OwnedRun:
    """The one with this id; a part may repeat what the one before has told."""
    [one] = {run.id: run for run in found if run.id == id}.values()
    return one


class ProviderContract:
    """The suite; a child gives the fixture `harness`."""

    @pytest.fixture
    def harness(self) -> ProviderHarness:
        """The service under test, new for each test."""
        raise NotImplementedError

    @pytest.fixture
    def provider(self, harness: ProviderHarness) -> WorkflowProvider:
        return harness.provider()

    def test_can_be_asked_for_at_least_one_status(self, provider: WorkflowProvider) -> None:
        assert provider.limits.status_batch >= 1

    # submit

    def test_an_accepted_run_is_known_at_once(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))

        assert status(provider, id).state in UNFINISHED

    def test_submitting_twice_starts_one_run(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        submission = harness.submission()

        first, second = accept(provider, submission), accept(provider, repeated(provider, submission))

        assert first == second
        assert harness.starts(submission.key) == 1

    def test_submitting_a_run_that_has_ended_starts_no_other(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        id = accept(provider, submission)
        harness.reach(id, RunState.COMPLETE)

        assert accept(provider, repeated(provider, submission)) == id

        assert harness.starts(submission.key) == 1
        assert status(provider, id).state is RunState.COMPLETE

    def test_submitting_from_two_threads_at_once_starts_one_run(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        providers = [harness.provider(), harness.provider()]
        attempts = [(providers[0], submission), (providers[1], repeated(providers[1], submission))]

        def attempt(provider: WorkflowProvider, submission: Submission) -> ProviderRunId | None:
            try:
                return accept(provider, submission)
            except OutcomeUnknown:
                if not submission.resumed:
                    raise
                return None

        with ThreadPoolExecutor(2) as threads:
            ids = set(threads.map(lambda each: attempt(*each), attempts))

        assert len(ids - {None}) == 1
        assert harness.starts(submission.key) == 1

    def test_submitting_from_another_process_starts_no_other_run(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.submit_in_another_process(submission)

        assert accept(provider, repeated(provider, submission)) == id

        assert harness.starts(submission.key) == 1

    def test_a_lost_answer_is_resolved_by_submitting_again(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        with arranged():
            harness.lose_answer(submission)
        provider = harness.provider()

        id = accept(provider, repeated(provider, submission))

        assert id in harness.provider().statuses([id])
        assert harness.starts(submission.key) == 1

    def test_where_the_service_knows_no_key_a_further_attempt_starts_nothing(self, harness: ProviderHarness) -> None:
        provider, submission = harness.provider(), harness.submission()
        if provider.limits.idempotency is not Idempotency.AT_MOST_ONCE:
            pytest.skip("this provider may send a key again")

        with pytest.raises(OutcomeUnknown):
            provider.submit(replace(submission, resumed=True))
        with pytest.raises(Unprovable):
            provider.submit(replace(submission, resumed=True, in_doubt_for=timedelta(days=1)))

        assert harness.starts(submission.key) == 0

    def test_what_was_only_prepared_is_started_by_submitting_again(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        with arranged():
            prepared = harness.only_prepare(submission)
        assert harness.starts(submission.key) == 0

        id = accept(harness.provider(), replace(submission, prepared_id=prepared))

        assert id == prepared
        assert harness.starts(submission.key) == 1

    def test_two_keys_are_two_runs(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        one, other = harness.submission(), harness.submission()

        assert accept(provider, one) != accept(provider, other)

        assert (harness.starts(one.key), harness.starts(other.key)) == (1, 1)

    def test_a_rejected_submission_starts_nothing(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        with arranged():
            submission = harness.refused()

        with pytest.raises(Rejected, match=r"\S+"):
            accept(provider, submission)

        assert harness.starts(submission.key) == 0

    def test_what_is_answered_as_prepared_runs_only_when_it_is_submitted_with_its_id(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        prepared = provider.submit(submission)
        if not isinstance(prepared, Prepared):
            pytest.skip("this provider accepts in one step")
        assert harness.starts(submission.key) == 0

        accepted = provider.submit(replace(submission, prepared_id=prepared.id))

        assert accepted == Accepted(prepared.id)
        assert harness.starts(submission.key) == 1

    # statuses

    def test_statuses_of_nothing_is_nothing(self, provider: WorkflowProvider) -> None:
        assert provider.statuses([]) == {}

    @pytest.mark.parametrize("id", ["3f2a0c1e-0000-4000-8000-000000000000", "../..", "", "a b/ü\0"])
    def test_an_unknown_id_is_absent(self, provider: WorkflowProvider, id: str) -> None:
        assert provider.statuses([ProviderRunId(id)]) == {}

    def test_known_ids_are_told_beside_unknown_ones(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        ids = {accept(provider, harness.submission(RunState.RUNNING)) for _ in range(2)}

        reports = provider.statuses([*ids, ProviderRunId("unknown")])

        assert reports.keys() == ids

    def test_a_completed_run_tells_when_it_ran(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        report = status(provider, id)

        assert report.state is RunState.COMPLETE
        assert report.provider_status
        assert report.started_at is not None
        assert report.ended_at is not None
        assert report.started_at.utcoffset() is not None
        assert report.ended_at - report.started_at >= timedelta()

    def test_a_failed_run_tells_why(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission(RunState.EXECUTOR_ERROR))
        harness.reach(id, RunState.EXECUTOR_ERROR)

        report = status(provider, id)

        assert report.state is RunState.EXECUTOR_ERROR
        assert report.message

    # cancel

    def test_a_cancelled_run_ends_cancelled(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))
        harness.reach(id, RunState.RUNNING)

        provider.cancel(id)

        harness.reach(id, RunState.CANCELED)
        assert status(provider, id).state is RunState.CANCELED

    def test_cancelling_twice_is_cancelling(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))

        provider.cancel(id)
        harness.provider().cancel(id)

        harness.reach(id, RunState.CANCELED)
        provider.cancel(id)
        assert status(provider, id).state is RunState.CANCELED

    def test_cancelling_an_ended_run_changes_nothing(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)
        before = status(provider, id)

        provider.cancel(id)

        assert status(provider, id) == before

    def test_cancelling_an_unknown_run_does_nothing(self, provider: WorkflowProvider) -> None:
        provider.cancel(ProviderRunId("3f2a0c1e-0000-4000-8000-000000000000"))

        assert provider.statuses([ProviderRunId("3f2a0c1e-0000-4000-8000-000000000000")]) == {}

    def test_what_is_only_prepared_ends_by_cancelling(self, harness: ProviderHarness) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.only_prepare(submission)
        provider = harness.provider()

        provider.cancel(id)

        assert id not in (known := provider.statuses([id])) or known[id].state is RunState.CANCELED
        assert harness.starts(submission.key) == 0

    # marked

    def test_a_run_is_told_by_its_mark(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        submission = harness.submission(RunState.RUNNING)
        id = accept(provider, submission)

        run = marked_as(everything_marked(harness, harness.provider()), id)

        assert (run.key, run.run_id) == (submission.key, submission.run_id)
        assert run.created_at.utcoffset() is not None
        assert run.state in UNFINISHED
        assert run.provider_status
        assert not run.is_draft

    def test_each_of_several_runs_is_told(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        submissions = [harness.submission(RunState.RUNNING) for _ in range(2)]
        ids = {accept(provider, submission): submission.key for submission in submissions}

        found = everything_marked(harness, provider)

        assert {run.id: run.key for run in found if run.id in ids} == ids

    def test_an_ended_run_is_told_as_ended(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        assert marked_as(everything_marked(harness, provider), id).state is RunState.COMPLETE

    def test_what_is_older_than_is_asked_for_is_not_told(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))
        created_at = marked_as(everything_marked(harness, provider), id).created_at

        since_then = everything_marked(harness, provider, since=created_at)
        later = everything_marked(harness, provider, since=created_at + timedelta(days=1))

        assert marked_as(since_then, id)
        assert id not in {run.id for run in later}

    def test_what_is_on_record_is_told_under_the_same_id(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission(RunState.RUNNING)
        id = accept(provider, submission)

        found = everything_marked(harness, provider, recorded=lambda _: {submission.key: id})

        assert marked_as(found, id).key == submission.key

    def test_what_is_answered_as_prepared_is_told_as_a_draft(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        answer = provider.submit(harness.submission())
        assert isinstance(answer, Prepared) is (provider.limits.idempotency is Idempotency.DRAFT)
        if not isinstance(answer, Prepared):
            pytest.skip("this provider accepts in one step")

        assert marked_as(everything_marked(harness, provider), answer.id).is_draft

    def test_what_is_only_prepared_is_told_as_a_draft(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.only_prepare(submission)

        draft = marked_as(everything_marked(harness, provider), id)

        assert draft.is_draft
        assert draft.key == submission.key

    def test_a_run_that_was_cancelled_before_it_started_is_no_draft(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.only_prepare(submission)
        provider.cancel(id)

        found = everything_marked(harness, provider)

        assert not [run for run in found if run.id == id and run.is_draft]

    # former runs

    def test_a_run_of_the_former_daemon_is_told_by_its_name(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        with arranged():
            id = harness.start_former(RunId("run-of-old"))
        own = accept(provider, harness.submission(RunState.RUNNING))

        [former] = everything_former(harness, provider, since=harness.beginning)

        assert former.id.partition("/")[0] == id
        assert (former.run_id, former.is_former, former.is_draft) == ("run-of-old", True, False)
        assert former.state in UNFINISHED
        assert provider.statuses([former.id])[former.id].state in UNFINISHED
        assert [run.id for run in everything_marked(harness, provider)] == [own]

    def test_only_active_runs_of_the_former_daemon_are_told_on_request(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        with arranged():
            ended, active = (harness.start_former(RunId(run_id)) for run_id in ("ended", "active"))
        harness.reach(ProviderRunId(ended), RunState.COMPLETE)

        everything = everything_former(harness, provider, since=harness.beginning)
        only_active = everything_former(harness, provider, since=None)

        assert {run.run_id: run.state.has_ended for run in everything} == {"ended": True, "active": False}
        assert {run.id.partition("/")[0] for run in only_active} == {active}

    def test_a_run_of_the_former_daemon_that_is_on_record_is_told_under_the_same_id(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        with arranged():
            id = ProviderRunId(harness.start_former(RunId("run-of-old")))

        found = everything_former(
            harness, provider, since=harness.beginning, recorded=lambda keys: dict.fromkeys(keys, id)
        )

        assert [run.id for run in found] == [id]

    def test_the_former_daemon_has_created_nothing_that_bears_a_mark(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        accept(provider, harness.submission(RunState.RUNNING))

        assert everything_former(harness, provider, since=harness.beginning) == []
        assert everything_former(harness, provider, since=None) == []

    # ended

    def test_what_has_ended_is_told_where_there_is_a_list_of_it(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        ended, running = accept(provider, harness.submission()), accept(provider, harness.submission(RunState.RUNNING))
        harness.reach(ended, RunState.COMPLETE)

        told = everything_ended(harness, harness.provider(), since=harness.beginning)

        assert running not in told
        assert (ended in told) is (provider.limits.ended_list is not None)

    def test_what_had_ended_before_is_not_told(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)
        ended_at = status(provider, id).ended_at
        assert ended_at is not None

        assert id not in everything_ended(harness, provider, since=ended_at + timedelta(days=1))

    def test_the_list_of_what_has_ended_bears_the_same_name_everywhere(self, harness: ProviderHarness) -> None:
        assert harness.provider().limits == harness.provider().limits

    # discard

    def test_what_is_only_prepared_can_be_discarded_once(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            id = harness.only_prepare(submission)

        discarded = [provider.delete_draft(id), harness.provider().delete_draft(id)]

        assert discarded == [True, False]
        assert provider.statuses([id]) == {}
        assert harness.starts(submission.key) == 0

    def test_what_was_discarded_can_be_submitted_again(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        submission = harness.submission()
        with arranged():
            provider.delete_draft(harness.only_prepare(submission))

        accept(provider, submission)

        assert harness.starts(submission.key) == 1

    def test_what_was_started_is_not_discarded(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))
        harness.reach(id, RunState.RUNNING)

        assert provider.delete_draft(id) is False

        assert status(provider, id).state is RunState.RUNNING

    @pytest.mark.parametrize("id", ["3f2a0c1e-0000-4000-8000-000000000000", "../.."])
    def test_what_is_not_known_is_not_discarded(self, provider: WorkflowProvider, id: str) -> None:
        assert provider.delete_draft(ProviderRunId(id)) is False

    # details

    def test_an_ended_run_tells_its_outputs_and_tasks(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        details = provider.details(id)

        assert details.outputs
        assert details.tasks
        assert all(task.name and task.id for task in details.tasks)
        assert len({task.id for task in details.tasks}) == len(details.tasks)
        assert all(moment.utcoffset() is not None for task in details.tasks for moment in moments(task))

    def test_tasks_keep_their_ids(self, harness: ProviderHarness, provider: WorkflowProvider) -> None:
        id = accept(provider, harness.submission())
        harness.reach(id, RunState.COMPLETE)

        first, second = provider.details(id), harness.provider().details(id)

        assert [task.id for task in first.tasks] == [task.id for task in second.tasks]

    def test_details_can_be_asked_while_the_run_lasts(
        self, harness: ProviderHarness, provider: WorkflowProvider
    ) -> None:
        id = accept(provider, harness.submission(RunState.RUNNING))

        details = provider.details(id)

        assert details.exit_code is None

    @pytest.mark.parametrize("id", ["3f2a0c1e-0000-4000-8000-000000000000", "../.."])
    def test_details_of_an_unknown_run_are_refused(self, provider: WorkflowProvider, id: str) -> None:
        with pytest.raises(Rejected):
            provider.details(ProviderRunId(id))
