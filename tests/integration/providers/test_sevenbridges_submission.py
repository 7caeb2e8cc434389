"""From a submission to one task on Seven Bridges, whatever goes wrong on the way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.call_gates import AskingGate
from tests.contracts.provider import accept
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

    def test_what_is_deleted_while_it_is_listed_hides_nothing(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        harness.copies(101, name="old", description="")
        [ours] = harness.drafts(submission, 1)
        listings: list[str] = []

        def take_turn(operation: str) -> None:
            listings.append(operation)
            if listings.count("ListTasks") == 2:
                for id in list(harness.platform.tasks)[:5]:
                    harness.platform.tasks.pop(id)

        answer = harness.provider(gate=AskingGate(take_turn)).submit(submission)

        assert answer == Prepared(ProviderRunId(ours))
        assert "create_task" not in harness.operations()


class TestTwoAtOnce:
    def test_of_two_that_make_a_draft_at_the_same_moment_both_take_the_older(
        self, harness: SevenBridgesHarness
    ) -> None:
        submission, both_have_looked = harness.of(), threading.Barrier(2)

        def take_turn(operation: str) -> None:
            if operation == "CreateTask":
                both_have_looked.wait(10)

        providers = [harness.provider(gate=AskingGate(take_turn)) for _ in range(2)]
        with ThreadPoolExecutor(2) as threads:
            answers = set(threads.map(lambda provider: provider.submit(submission), providers))

        [task] = harness.tasks(submission.key)
        assert answers == {Prepared(ProviderRunId(str(task["id"])))}

    def test_one_that_looked_before_and_made_its_draft_after_takes_the_run_that_is_there(
        self, harness: SevenBridgesHarness
    ) -> None:
        submission, accepted = harness.of(), []

        def take_turn(operation: str) -> None:
            if operation == "CreateTask":
                accepted.append(accept(harness.provider(), submission))

        late = accept(harness.provider(gate=AskingGate(take_turn)), submission)

        assert accepted == [late]
        assert [task["id"] for task in harness.tasks(submission.key)] == [late]
        assert harness.starts(submission.key) == 1


class TestHeldAlone:
    """Who holds a run by a claim knows that what others make from now on is never recorded, and so never started."""

    def test_a_run_costs_three_calls(self, harness: SevenBridgesHarness) -> None:
        accept(harness.provider(), _held(harness))

        assert harness.operations() == ["list_tasks", "create_task", "run_task"]

    def test_one_listing_serves_all_that_were_held_before_it_began(self, harness: SevenBridgesHarness) -> None:
        provider = harness.provider()
        submissions = [_held(harness) for _ in range(5)]

        for submission in submissions:
            accept(provider, submission)

        assert harness.operations() == ["list_tasks", *["create_task", "run_task"] * 5]

    def test_a_listing_serves_none_that_was_held_later(self, harness: SevenBridgesHarness) -> None:
        """A database that has lost commits gives out a run again, and another daemon had made its draft meanwhile."""
        provider, submission = harness.provider(), harness.of()
        provider.submit(_held(harness))
        id = harness.provider().submit(submission).id

        answer = provider.submit(_held(harness, submission))

        assert answer == Prepared(id)
        assert len(harness.tasks(submission.key)) == 1

    def test_a_listing_of_the_same_moment_may_have_begun_before(self, harness: SevenBridgesHarness) -> None:
        provider = harness.provider()
        provider.submit(harness.of())
        harness.operations()

        provider.submit(replace(harness.of(), claimed_since=harness.clock.monotonic()))

        assert harness.operations() == ["list_tasks", "create_task"]

    def test_a_listing_that_failed_serves_none(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), _held(harness)
        harness.platform.faults.add("list_tasks", faults.MAINTENANCE)
        with pytest.raises(NotNow):
            provider.submit(submission)
        harness.operations()

        harness.clock.advance(timedelta(minutes=20))
        provider.submit(submission)

        assert harness.operations() == ["list_tasks", "create_task"]

    def test_after_a_lost_answer_an_earlier_listing_does_not_serve(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), _held(harness)
        harness.platform.faults.add("create_task", faults.CUT_AFTER)
        with pytest.raises(OutcomeUnknown):
            provider.submit(submission)

        harness.clock.advance(timedelta(seconds=31))
        answer = provider.submit(submission)

        [task] = harness.tasks(submission.key)
        assert answer == Prepared(ProviderRunId(str(task["id"])))

    def test_what_an_earlier_attempt_may_have_made_is_looked_for_before_and_after(
        self, harness: SevenBridgesHarness
    ) -> None:
        provider, submission = harness.provider(), replace(_held(harness), resumed=True)
        provider.submit(_held(harness))
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

    def test_a_run_that_is_there_is_found_before_anything_else_is_asked(self, harness: SevenBridgesHarness) -> None:
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

    def test_what_a_batch_was_split_into_is_not_the_run(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        parent, child = harness.drafts(submission, 2)
        harness.platform.move(parent, "RUNNING", batch=True, created_time="2026-01-01T00:01:00Z")
        harness.platform.move(child, "RUNNING", parent=parent)

        assert harness.provider().submit(submission) == Accepted(ProviderRunId(parent))

    def test_a_recorded_draft_that_is_gone_is_replaced(self, harness: SevenBridgesHarness) -> None:
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
    def test_the_revision_that_is_used_is_told(self, harness: SevenBridgesHarness, url: str, pinned: str) -> None:
        provider = harness.provider()

        id = accept(provider, harness.of(url=url))

        assert f"app: {pinned}" in provider.details(id).system_logs


def _held(harness: SevenBridgesHarness, submission: Submission | None = None) -> Submission:
    """As a daemon submits what it has claimed, a moment later."""
    held = replace(submission or harness.of(), claimed_since=harness.clock.monotonic())
    harness.clock.advance(timedelta(milliseconds=1))
    return held
