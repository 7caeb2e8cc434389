"""Each submission becomes exactly one task on Seven Bridges, despite failures."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.call_gates import AskingGate
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import (
    APP,
    SevenBridgesHarness,
)
from tests.simulators.sevenbridges import faults
from wes_daemon.application.ports.errors import (
    NotNow,
    OutcomeUnknown,
)
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.testing import accept

__all__ = ["authority", "harness", "trusted"]


class TestTheTwoSteps:
    def test_a_draft_is_not_run_before_it_is_recorded(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()

        answer = harness.provider().submit(submission)

        [task] = harness.tasks(submission.key)
        assert answer == Prepared(ProviderRunId(str(task["id"])))
        assert task["status"] == "DRAFT"
        assert harness.platform.started == []

    def test_the_marker_stands_in_name_and_description(self, harness: SevenBridgesHarness) -> None:
        harness.provider().submit(harness.of(key="wes-4711"))

        [task] = harness.tasks("wes-4711")
        assert str(task["description"]).startswith("wes-4711\n")

    def test_a_run_costs_four_calls(self, harness: SevenBridgesHarness) -> None:
        accept(harness.provider(), harness.of())

        assert harness.operations() == ["list_tasks", "create_task", "list_tasks", "run_task"]

    def test_threads_share_their_listings(self, harness: SevenBridgesHarness) -> None:
        provider = harness.provider()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: accept(provider, harness.of()), range(24)))

        made = harness.operations()
        assert made.count("create_task") == made.count("run_task") == 24
        assert made.count("list_tasks") < 40

    def test_only_what_is_new_is_listed(self, harness: SevenBridgesHarness) -> None:
        provider = harness.provider()
        for _ in range(3):
            provider.submit(harness.of())
            harness.clock.advance(timedelta(hours=1))

        provider.submit(harness.of())

        *_, latest = [call for call in harness.platform.calls if call.operation == "list_tasks"]
        known = sorted(task["_created"] for task in harness.platform.tasks.values())[-2]
        assert latest.params["created_from"] == [f"{known - timedelta(minutes=5):%Y-%m-%dT%H:%M:%S}"]

    def test_a_long_history_is_listed_once_page_by_page(self, harness: SevenBridgesHarness) -> None:
        harness.copies(130, name="old", description="")
        provider = harness.provider()

        provider.submit(harness.of())

        assert harness.operations() == ["list_tasks", "list_tasks", "create_task", "list_tasks", "list_tasks"]

    def test_a_deletion_during_a_listing_hides_no_task(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        harness.copies(101, name="old", description="")
        [ours] = harness.drafts(submission, 1)
        listings: list[str] = []

        def before_call(operation: str) -> None:
            listings.append(operation)
            if listings.count("ListTasks") == 2:
                for id in list(harness.platform.tasks)[:5]:
                    harness.platform.tasks.pop(id)

        answer = harness.provider(gate=AskingGate(before_call)).submit(submission)

        assert answer == Prepared(ProviderRunId(ours))
        assert "create_task" not in harness.operations()


class TestTwoAtOnce:
    def test_two_that_create_a_draft_at_the_same_time_both_use_the_older(self, harness: SevenBridgesHarness) -> None:
        submission, both_have_searched = harness.of(), threading.Barrier(2)

        def before_call(operation: str) -> None:
            if operation == "CreateTask":
                both_have_searched.wait(60)

        providers = [harness.provider(gate=AskingGate(before_call)) for _ in range(2)]
        with ThreadPoolExecutor(2) as threads:
            answers = set(threads.map(lambda provider: provider.submit(submission), providers))

        [task] = harness.tasks(submission.key)
        assert answers == {Prepared(ProviderRunId(str(task["id"])))}

    def test_an_attempt_that_searched_before_another_started_a_run_uses_that_run(
        self, harness: SevenBridgesHarness
    ) -> None:
        submission, accepted = harness.of(), []

        def before_call(operation: str) -> None:
            if operation == "CreateTask":
                accepted.append(accept(harness.provider(), submission))

        late = accept(harness.provider(gate=AskingGate(before_call)), submission)

        assert accepted == [late]
        assert [task["id"] for task in harness.tasks(submission.key)] == [late]
        assert harness.starts(submission.key) == 1


class TestHeldAlone:
    """While a daemon's claim holds, drafts that others create are never recorded, and so never started."""

    def test_a_run_costs_three_calls(self, harness: SevenBridgesHarness) -> None:
        accept(harness.provider(), _claimed(harness))

        assert harness.operations() == ["list_tasks", "create_task", "run_task"]

    def test_one_listing_serves_all_runs_claimed_before_it_began(self, harness: SevenBridgesHarness) -> None:
        provider = harness.provider()
        submissions = [_claimed(harness) for _ in range(5)]

        for submission in submissions:
            accept(provider, submission)

        assert harness.operations() == ["list_tasks", *["create_task", "run_task"] * 5]

    def test_a_listing_does_not_serve_a_run_claimed_later(self, harness: SevenBridgesHarness) -> None:
        """After lost commits a database gives out a run again, and another daemon has created its draft in between."""
        provider, submission = harness.provider(), harness.of()
        provider.submit(_claimed(harness))
        id = harness.provider().submit(submission).id

        answer = provider.submit(_claimed(harness, submission))

        assert answer == Prepared(id)
        assert len(harness.tasks(submission.key)) == 1

    def test_a_listing_does_not_serve_a_run_claimed_at_the_same_time(self, harness: SevenBridgesHarness) -> None:
        provider = harness.provider()
        provider.submit(harness.of())
        harness.operations()

        provider.submit(replace(harness.of(), claimed_since=harness.clock.monotonic()))

        assert harness.operations() == ["list_tasks", "create_task"]

    def test_a_listing_that_failed_serves_no_run(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), _claimed(harness)
        harness.platform.faults.add("list_tasks", faults.MAINTENANCE)
        with pytest.raises(NotNow):
            provider.submit(submission)
        harness.operations()

        harness.clock.advance(timedelta(minutes=20))
        provider.submit(submission)

        assert harness.operations() == ["list_tasks", "create_task"]

    def test_after_a_lost_answer_an_earlier_listing_does_not_serve(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), _claimed(harness)
        harness.platform.faults.add("create_task", faults.CUT_AFTER)
        with pytest.raises(OutcomeUnknown):
            provider.submit(submission)

        harness.clock.advance(timedelta(seconds=31))
        answer = provider.submit(submission)

        [task] = harness.tasks(submission.key)
        assert answer == Prepared(ProviderRunId(str(task["id"])))

    def test_a_resumed_submission_is_searched_for_before_and_after_the_draft(
        self, harness: SevenBridgesHarness
    ) -> None:
        provider, submission = harness.provider(), replace(_claimed(harness), resumed=True)
        provider.submit(_claimed(harness))
        harness.operations()

        provider.submit(submission)

        assert harness.operations() == ["list_tasks", "create_task", "list_tasks"]


class TestAdopting:
    def test_a_task_that_runs_is_preferred_and_surplus_drafts_are_deleted(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        ids = harness.drafts(submission, 3)
        harness.platform.move(ids[1], "RUNNING")

        answer = harness.provider().submit(submission)

        assert answer == Accepted(ProviderRunId(ids[1]))
        assert [task["id"] for task in harness.tasks(submission.key)] == [ids[1]]

    def test_an_existing_run_is_found_before_any_other_call(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        id = accept(harness.provider(), submission)
        harness.platform.apps.clear()
        harness.operations()

        assert harness.provider().submit(submission) == Accepted(id)

        assert harness.operations() == ["list_tasks", "get_task"]

    def test_of_drafts_the_oldest_is_kept(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        ids = harness.drafts(submission, 3)

        answer = harness.provider().submit(submission)

        assert answer == Prepared(ProviderRunId(ids[0]))
        assert [task["id"] for task in harness.tasks(submission.key)] == [ids[0]]

    def test_a_task_that_was_renamed_is_found_by_its_description(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        id = accept(harness.provider(), submission)
        harness.platform.move(id, "RUNNING", name="Tuesday's sample")

        assert harness.provider().submit(submission) == Accepted(id)

    def test_a_draft_that_a_person_copied_is_neither_adopted_nor_deleted(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        [copy] = harness.drafts(submission, 1)
        harness.platform.tasks[copy]["name"] = f"{submission.key} (copy)"

        answer = harness.provider().submit(submission)

        assert answer != Prepared(ProviderRunId(copy))
        assert copy in harness.platform.tasks

    def test_the_child_of_a_batch_is_not_the_run(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        parent, child = harness.drafts(submission, 2)
        harness.platform.move(parent, "RUNNING", batch=True, created_time="2026-01-01T00:01:00Z")
        harness.platform.move(child, "RUNNING", parent=parent)

        assert harness.provider().submit(submission) == Accepted(ProviderRunId(parent))

    def test_a_recorded_draft_that_was_deleted_is_replaced(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of()
        gone = provider.submit(submission)
        del harness.platform.tasks[gone.id]

        answer = harness.provider().submit(replace(submission, prepared_id=gone.id))

        assert isinstance(answer, Prepared)
        assert answer != gone

    def test_only_the_recorded_draft_is_run(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        ids = harness.drafts(submission, 2)

        answer = harness.provider().submit(replace(submission, prepared_id=ProviderRunId(ids[1])))

        assert answer == Accepted(ProviderRunId(ids[1]))
        assert [start.task for start in harness.platform.started] == [ids[1]]

    def test_a_surplus_draft_that_cannot_be_deleted_now_is_deleted_by_the_next_attempt(
        self, harness: SevenBridgesHarness
    ) -> None:
        submission = harness.of()
        ids = harness.drafts(submission, 2)
        harness.platform.faults.add("delete_task", faults.ERROR)
        with pytest.raises(OutcomeUnknown):
            harness.provider().submit(submission)

        harness.provider().submit(submission)

        assert [task["id"] for task in harness.tasks(submission.key)] == [ids[0]]


class TestTheTask:
    def test_settings_go_where_the_service_takes_them(self, harness: SevenBridgesHarness) -> None:
        engine = {
            "instance_type": "c4.2xlarge;ebs-gp2;2000",
            "max_parallel_instances": "2",
            "use_memoization": "true",
            "use_interruptible_instances": False,
            "output_location": "/runs/<task_id>/",
        }

        harness.provider().submit(harness.of(engine=engine, key="wes-settings"))

        [task] = harness.tasks("wes-settings")
        assert task["execution_settings"] == {
            "instance_type": "c4.2xlarge;ebs-gp2;2000",
            "max_parallel_instances": 2,
            "use_memoization": True,
        }
        assert task["use_interruptible_instances"] is False
        assert task["output_location"] == {"main_location": "/runs/<task_id>/"}

    @pytest.mark.parametrize(("url", "pinned"), [(APP, f"{APP}/2"), (f"sbg://{APP}/1", f"{APP}/1")])
    def test_the_revision_that_is_used_is_in_the_system_logs(
        self, harness: SevenBridgesHarness, url: str, pinned: str
    ) -> None:
        provider = harness.provider()

        id = accept(provider, harness.of(url=url))

        assert f"app: {pinned}" in provider.details(id).system_logs


def _claimed(harness: SevenBridgesHarness, submission: Submission | None = None) -> Submission:
    """Return a submission as a daemon submits it just after the claim."""
    claimed = replace(submission or harness.of(), claimed_since=harness.clock.monotonic())
    harness.clock.advance(timedelta(milliseconds=1))
    return claimed
