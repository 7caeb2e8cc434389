"""From a submission to one task on Seven Bridges, whatever goes wrong on the way."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contracts.provider import accept
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import (
    APP,
    BATCHING_APP,
    PROJECT,
    Caller,
    SevenBridgesHarness,
)
from tests.simulators.sevenbridges import faults
from tests.simulators.sevenbridges.faults import Fault
from wes_daemon.application.ports.errors import (
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Rejected,
)
from wes_daemon.application.ports.providers import Accepted, Prepared
from wes_daemon.domain.runs import ProviderRunId

__all__ = ["authority", "harness", "trusted"]

LOSSES: Sequence[Fault] = (
    faults.CUT_BEFORE,
    faults.CUT_AFTER,
    faults.ERROR_AFTER,
    faults.SLOW,
    faults.MALFORMED_AFTER,
    faults.GATEWAY_TIMEOUT_AFTER,
)
STEPS = ("create_task", "run_task", "list_tasks", "get_task", "delete_task")
AFTER_THE_LAG = timedelta(seconds=31)


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
        newest = max(task["_created"] for task in harness.platform.tasks.values())
        assert latest.params["created_from"] >= [(newest - timedelta(minutes=6)).strftime("%Y-%m-%dT%H:%M:%S")]

    def test_a_long_history_is_listed_once_page_by_page(self, harness: SevenBridgesHarness) -> None:
        filler = harness.provider()
        for number in range(130):
            harness.platform.tasks.update(_copy(harness, filler, f"old-{number}"))
        provider = harness.provider()
        harness.platform.calls.clear()

        provider.submit(harness.of())

        assert harness.operations() == ["list_tasks", "list_tasks", "create_task", "list_tasks", "list_tasks"]


class TestLostAnswers:
    def test_of_two_hundred_lost_answers_none_makes_a_second_run_or_loses_one(
        self, harness: SevenBridgesHarness
    ) -> None:
        rng, lost, caller = random.Random(3), 0, Caller()
        provider = harness.provider(read_timeout=timedelta(seconds=0.4))

        def lose(operation: str) -> Fault | None:
            nonlocal lost
            if lost >= 200 or operation not in STEPS or rng.random() > 0.5:
                return None
            lost += 1
            return rng.choices(LOSSES, weights=[6, 6, 6, 1, 3, 3])[0]

        harness.platform.faults.storm(lose)
        submissions = []
        while lost < 200:
            submission = harness.of()
            submissions.append(submission)
            while submission.key not in caller.accepted:
                # Now and then another process goes on, which remembers nothing.
                if rng.random() < 0.2:
                    provider = harness.provider(read_timeout=timedelta(seconds=0.4))
                with suppress(NotNow, OutcomeUnknown):
                    caller.attempt(provider, submission)
                harness.clock.advance(AFTER_THE_LAG)

        assert lost == 200
        assert [harness.starts(submission.key) for submission in submissions] == [1] * len(submissions)
        assert len(harness.platform.started) == len(submissions)
        assert {start.task for start in harness.platform.started} == set(caller.accepted.values())
        assert [task for task in harness.platform.tasks.values() if task["status"] == "DRAFT"] == []

    @pytest.mark.parametrize("fault", [*LOSSES[:3], faults.HTML_AFTER, faults.BAD_GATEWAY], ids=lambda f: str(f.status))
    @pytest.mark.parametrize("step", ["create_task", "run_task"])
    def test_a_lost_answer_is_a_doubt_and_then_resolved(
        self, harness: SevenBridgesHarness, step: str, fault: Fault
    ) -> None:
        provider, submission, caller = harness.provider(), harness.of(), Caller()
        harness.platform.faults.add(step, fault)

        with suppress(OutcomeUnknown):
            caller.attempt(provider, submission)
        harness.clock.advance(AFTER_THE_LAG)
        with suppress(OutcomeUnknown):
            caller.attempt(provider, submission)

        assert harness.starts(submission.key) == 1
        assert len(harness.tasks(submission.key)) == 1

    def test_while_a_new_draft_may_not_be_listed_no_other_is_made(self, harness: SevenBridgesHarness) -> None:
        harness.platform.listing_lag = timedelta(seconds=20)
        provider, submission = harness.provider(), harness.of()
        harness.platform.faults.add("create_task", faults.CUT_AFTER)
        with pytest.raises(OutcomeUnknown):
            provider.submit(submission)

        with pytest.raises(OutcomeUnknown):
            provider.submit(submission)
        harness.clock.advance(AFTER_THE_LAG)
        answer = provider.submit(submission)

        [task] = harness.tasks(submission.key)
        assert answer == Prepared(ProviderRunId(str(task["id"])))

    def test_a_lost_start_is_seen_in_the_same_call(self, harness: SevenBridgesHarness) -> None:
        harness.platform.faults.add("run_task", faults.CUT_AFTER)
        submission = harness.of()

        accept(harness.provider(), submission)

        assert harness.starts(submission.key) == 1

    def test_a_start_that_cannot_be_looked_up_is_a_doubt(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of()
        harness.platform.faults.add("run_task", faults.CUT_AFTER)
        harness.platform.faults.add("get_task", faults.TOO_MANY)

        with pytest.raises(OutcomeUnknown):
            accept(provider, submission)

        assert harness.starts(submission.key) == 1


class TestAdopting:
    def test_a_task_that_runs_is_preferred_and_surplus_drafts_are_deleted(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        ids = _drafts(harness, submission, 3)
        harness.platform.move(ids[1], "RUNNING")

        answer = harness.provider().submit(submission)

        assert answer == Accepted(ProviderRunId(ids[1]))
        assert [task["id"] for task in harness.tasks(submission.key)] == [ids[1]]

    def test_of_drafts_the_oldest_is_kept(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        ids = _drafts(harness, submission, 3)

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
        [copy] = _drafts(harness, submission, 1)
        harness.platform.tasks[copy]["name"] = f"{submission.key} (copy)"

        answer = harness.provider().submit(submission)

        assert answer != Prepared(ProviderRunId(copy))
        assert copy in harness.platform.tasks

    def test_a_recorded_draft_that_is_gone_is_replaced(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of()
        gone = provider.submit(submission)
        del harness.platform.tasks[gone.id]

        answer = harness.provider().submit(replace(submission, prepared_id=gone.id))

        assert isinstance(answer, Prepared)
        assert answer != gone

    def test_only_the_recorded_draft_is_run(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of()
        ids = _drafts(harness, submission, 2)

        answer = harness.provider().submit(replace(submission, prepared_id=ProviderRunId(ids[1])))

        assert answer == Accepted(ProviderRunId(ids[1]))
        assert [start.task for start in harness.platform.started] == [ids[1]]

    def test_a_surplus_draft_that_cannot_be_deleted_now_is_deleted_by_the_next_attempt(
        self, harness: SevenBridgesHarness
    ) -> None:
        submission = harness.of()
        ids = _drafts(harness, submission, 2)
        harness.platform.faults.add("delete_task", faults.ERROR)
        with pytest.raises(OutcomeUnknown):
            harness.provider().submit(submission)

        harness.provider().submit(submission)

        assert [task["id"] for task in harness.tasks(submission.key)] == [ids[0]]


class TestValidation:
    def test_a_draft_with_errors_is_refused_in_the_services_words_and_deleted(
        self, harness: SevenBridgesHarness
    ) -> None:
        submission = harness.of({"sample": 7, "lanes": "many"})

        with pytest.raises(Rejected, match=r"sample: Value of the input sample.*; lanes: Value"):
            harness.provider().submit(submission)

        assert harness.tasks(submission.key) == []

    @pytest.mark.parametrize("answers_draft", [True, False])
    def test_errors_that_appear_at_the_start_are_refused_as_well(
        self, harness: SevenBridgesHarness, answers_draft: bool
    ) -> None:
        harness.platform.invalid_run_answers_draft = answers_draft
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        harness.platform.tasks[prepared.id]["errors"] = [{"message": "File is gone", "input_id": "reads"}]

        with pytest.raises(Rejected, match="reads: File is gone"):
            provider.submit(replace(submission, prepared_id=prepared.id))

        assert harness.tasks(submission.key) == []
        assert harness.platform.started == []

    def test_missing_money_is_no_fault_of_the_run(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(NotNow, match="Insufficient funds") as refusal:
            harness.provider().submit(harness.of({"sample": "x", "no_funds": True}))

        assert refusal.value.retry_after == timedelta(minutes=10)
        assert harness.platform.tasks == {}

    @pytest.mark.parametrize("restarted", [False, True])
    def test_an_app_that_makes_batches_runs_as_one_task(self, harness: SevenBridgesHarness, restarted: bool) -> None:
        submission = harness.of(url=BATCHING_APP)
        provider = harness.provider()
        prepared = provider.submit(submission)

        starter = harness.provider() if restarted else provider
        starter.submit(replace(submission, prepared_id=prepared.id))

        [task] = harness.tasks(submission.key)
        assert (task["batch"], task["status"]) == (False, "QUEUED")


class TestErrors:
    def test_a_wrong_token_touches_no_run(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Misconfigured, match="SEVENBRIDGES_API_TOKEN"):
            harness.provider(token="revoked-not-a-token").submit(harness.of())

    @pytest.mark.parametrize("project", ["lab/others", "lab/nowhere"])
    def test_the_settings_project_is_a_matter_for_a_person(self, harness: SevenBridgesHarness, project: str) -> None:
        harness.platform.add_token("somebody-elses-not-a-token", "lab/others")

        with pytest.raises(Misconfigured, match="SEVENBRIDGES_PROJECT"):
            harness.provider(project=project).submit(harness.of())

    def test_a_project_that_the_run_names_is_the_runs_matter(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Rejected, match="lab/nowhere"):
            harness.provider().submit(harness.of(engine={"project": "lab/nowhere"}))

    def test_an_app_that_does_not_exist_is_refused(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Rejected, match=f"{PROJECT}/nothing"):
            harness.provider().submit(harness.of(url=f"{PROJECT}/nothing"))

    def test_an_address_that_is_not_the_apis_is_a_matter_for_a_person(self, harness: SevenBridgesHarness) -> None:
        harness.config = replace(harness.config, endpoint=harness.config.endpoint.replace("/v2", "/v3"))

        with pytest.raises(Misconfigured, match="SEVENBRIDGES_API_ENDPOINT"):
            harness.provider().submit(harness.of())

    @pytest.mark.parametrize("fault", [faults.TOO_MANY, faults.MAINTENANCE, faults.UNAVAILABLE])
    @pytest.mark.parametrize("step", ["list_tasks", "create_task", "run_task"])
    def test_a_busy_service_has_certainly_started_nothing(
        self, harness: SevenBridgesHarness, step: str, fault: Fault
    ) -> None:
        harness.platform.faults.add(step, fault)

        with pytest.raises(NotNow):
            accept(harness.provider(), harness.of())

        assert harness.platform.started == []

    @pytest.mark.parametrize("fault", [faults.CUT_BEFORE, faults.ERROR, faults.BAD_GATEWAY])
    def test_what_fails_before_anything_is_made_has_made_nothing(
        self, harness: SevenBridgesHarness, fault: Fault
    ) -> None:
        harness.platform.faults.add("list_tasks", fault)

        with pytest.raises(NotNow):
            harness.provider().submit(harness.of())

    def test_a_service_that_cannot_be_reached_has_done_nothing(self, harness: SevenBridgesHarness) -> None:
        harness.config = replace(harness.config, endpoint="https://127.0.0.1:9/v2")

        with pytest.raises(NotNow):
            harness.provider().submit(harness.of())

    def test_a_service_that_nobody_vouches_for_is_not_spoken_to(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")

        with pytest.raises(Misconfigured, match="REQUESTS_CA_BUNDLE"):
            harness.provider().submit(harness.of())

    def test_an_authority_that_cannot_be_read_is_a_matter_for_a_person(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/authority.pem")

        with pytest.raises(Misconfigured, match="authority.pem"):
            harness.provider().submit(harness.of())

    def test_plain_http_is_refused(self, harness: SevenBridgesHarness) -> None:
        harness.config = replace(harness.config, endpoint="http://127.0.0.1:9/v2")

        with pytest.raises(Misconfigured, match="https"):
            harness.provider().submit(harness.of())

    def test_no_error_but_those_of_the_port_leaves_a_submission(self, harness: SevenBridgesHarness) -> None:
        every = [fault for fault in vars(faults).values() if isinstance(fault, Fault) and fault is not faults.SLOW]
        for fault in every:
            for step in STEPS:
                harness.platform.faults.add(step, fault)
                with suppress(ProviderError):
                    accept(harness.provider(), harness.of())


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


def _drafts(harness: SevenBridgesHarness, submission: object, number: int) -> list[str]:
    """Drafts of one submission, as attempts leave them that know nothing of each other; oldest first."""
    ids: list[str] = []
    hidden: dict[str, dict[str, object]] = {}
    for _ in range(number):
        answer = harness.provider().submit(submission)  # type: ignore[arg-type]
        ids.append(answer.id)
        hidden[answer.id] = harness.platform.tasks.pop(answer.id)
        harness.clock.advance(timedelta(seconds=2))
    harness.platform.tasks.update(hidden)
    harness.platform.calls.clear()
    return ids


def _copy(harness: SevenBridgesHarness, provider: object, name: str) -> dict[str, dict[str, object]]:
    """A task of somebody else's."""
    if not harness.platform.tasks:
        provider.submit(harness.of())  # type: ignore[attr-defined]
    [template] = list(harness.platform.tasks.values())[:1]
    id = harness.platform.new_id("task")
    return {id: {**template, "id": id, "name": name, "description": ""}}
