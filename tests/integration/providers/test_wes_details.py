"""Outputs, tasks and logs of runs at WES servers that differ, and the list of owned runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.providers.wes_fixtures import harness
from tests.integration.providers.wes_harness import WesHarness, wes_harness
from tests.simulators.wes import faults
from tests.simulators.wes.faults import refusing
from wes_daemon.adapters.providers.wes.provider import WesProvider
from wes_daemon.application.ports.errors import NotNow, Rejected, Unprovable
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.testing import accept, all_owned_runs

__all__ = ["harness"]

_IN_RUN_LOG: Mapping[str, Any] = {"has_task_list": False, "versions": ("1.0.0",)}
_UNTAGGED: Mapping[str, Any] = {"lists_tags": False, "list_times": False, "list_key": "workflows", "page_limit": None}


def _details(harness: WesHarness, **changes: Any) -> RunDetails:
    provider = harness.provider()
    id = accept(provider, harness.of())
    harness.model.complete(id)
    harness.model.move(id, "COMPLETE", **changes)
    harness.operations()
    return provider.details(id)


class TestTasks:
    def test_tasks_are_read_page_by_page(self, harness: WesHarness) -> None:
        harness.model.switches.page_limit = 2
        tasks = [{"name": f"step-{number}", "exit_code": 0} for number in range(5)]

        details = _details(harness, tasks=tasks)

        assert [task.name for task in details.tasks] == [f"step-{number}" for number in range(5)]
        assert harness.operations() == ["run_log", *["list_tasks"] * 3]

    def test_tasks_in_the_run_log_cost_no_call(self) -> None:
        with wes_harness(**_IN_RUN_LOG) as harness:
            details = _details(harness)

            assert [task.name for task in details.tasks] == ["align", "sort"]
            assert harness.operations() == ["run_log"]

    def test_a_task_has_times_command_and_exit_code(self, harness: WesHarness) -> None:
        [task, _] = _details(harness).tasks

        assert (task.id, task.name, task.cmd, task.exit_code) == ("task-0", "align", ["align", "--fast"], 0)
        assert task.started_at is not None
        assert task.ended_at == task.started_at + timedelta(seconds=2)

    def test_tasks_without_ids_get_one_of_their_name_and_number(self) -> None:
        with wes_harness(task_ids=False, **_IN_RUN_LOG) as harness:
            tasks = [{"name": "align"}, {"name": "align"}, {}, {"name": "sort"}]

            details = _details(harness, tasks=tasks)

            assert [task.id for task in details.tasks] == ["align", "align#2", "task", "sort"]

    @pytest.mark.parametrize("fault", [refusing(400), refusing(404), refusing(501)])
    def test_a_server_without_the_list_has_no_tasks(self, harness: WesHarness, fault: faults.Fault) -> None:
        harness.model.faults.add("list_tasks", fault)

        assert _details(harness).tasks == []

    def test_a_list_that_repeats_its_token_ends(self, harness: WesHarness) -> None:
        page = '{"task_logs": [{"id": "a", "name": "a"}], "next_page_token": "again"}'
        harness.model.faults.storm(
            lambda operation: faults.Fault(reply=faults.Reply.CANNED, body=page) if operation == "list_tasks" else None
        )

        assert [task.id for task in _details(harness).tasks] == ["a", "a#2"]


class TestLogsAndOutputs:
    def test_addresses_of_logs_are_absolute(self) -> None:
        with wes_harness(relative_logs=True) as harness:
            details = _details(harness)

            assert details.stderr is not None
            assert details.stderr.startswith(f"{harness.model.base}/logs/")
            assert details.stdout is None

    def test_the_text_of_a_log_is_kept_where_no_address_is(self) -> None:
        with wes_harness(log_texts=True) as harness:
            details = _details(harness, stderr="INFO one\nFinal process status is success\n")

            assert details.stderr is None
            assert details.system_logs == ["stderr: INFO one\nFinal process status is success"]

    def test_outputs_are_kept_as_they_are(self, harness: WesHarness) -> None:
        assert _details(harness).outputs == {
            "greeting": {"class": "File", "location": "file:///out/greeting.txt", "size": 6}
        }

    def test_a_list_of_files_becomes_outputs_by_name(self) -> None:
        with wes_harness(outputs_as_list=True) as harness:
            details = _details(harness)

            [(name, file)] = details.outputs.items()
            assert name == "out/greeting.txt"
            assert isinstance(file, Mapping)
            assert file["basename"] == "greeting.txt"
            assert str(file["location"]).startswith(harness.model.base)

    @pytest.mark.parametrize(("told", "code"), [(0, 0), ("3", 3), (-1, None), (None, None), (True, None)])
    def test_the_exit_code_is_a_number_or_none(self, harness: WesHarness, told: object, code: int | None) -> None:
        assert _details(harness, exit_code=told).exit_code == code

    def test_the_details_of_a_deleted_run_are_refused(self, harness: WesHarness) -> None:
        with pytest.raises(Rejected, match="does not know a run gone"):
            harness.provider().details(ProviderRunId("gone"))

    @pytest.mark.parametrize("fault", [refusing(500), faults.CUT_BEFORE, faults.MID_ANSWER, faults.TOO_MANY])
    def test_details_that_cannot_be_read_now_are_requested_later(
        self, harness: WesHarness, fault: faults.Fault
    ) -> None:
        provider = harness.provider()
        id = accept(provider, harness.of())
        harness.model.faults.add("run_log", fault)

        with pytest.raises(NotNow):
            provider.details(id)


_JUNK: Sequence[str] = (
    "{}",
    '{"state": "COMPLETE"}',
    '{"state": ["COMPLETE"], "run_log": 7, "outputs": "x", "task_logs": {"a": 1}, "request": "r"}',
    '{"state": "COMPLETE", "run_log": [], "outputs": [1, {"file_name": 2}], "task_logs": [3, {"name": 4}]}',
    '{"state": "EXECUTOR_ERROR", "run_log": {"stderr": {"a": 1}, "system_logs": [1, null], "exit_code": 1e300}}',
    '{"state": "COMPLETE", "run_log": {"start_time": "0001-01-01T00:00:00+23:59", "exit_code": 10000000000}}',
    '{"state": "SYSTEM_ERROR", "run_log": {"system_logs": ["a\\u0000b \\ud800"]}, "task_logs_url": ["x"]}',
    '{"runs": {"a": 1}, "workflows": [1, {"run_id": 7}], "next_page_token": {"a": 1}}',
    '{"runs": [{"run_id": "../x", "state": 7, "tags": [1], "start_time": "soon"}], "next_page_token": 0}',
)


class TestAnswersOfAnotherForm:
    @pytest.mark.parametrize("body", _JUNK)
    def test_no_answer_is_an_unforeseen_error(self, harness: WesHarness, body: str) -> None:
        provider = harness.provider()
        id = accept(provider, harness.of())
        junk = faults.Fault(reply=faults.Reply.CANNED, body=body)
        harness.model.faults.storm(lambda operation: junk if operation in ("run_log", "list_runs") else None)
        harness.model.move(id, "COMPLETE")

        reports = provider.statuses([id])
        details = provider.details(id)
        page = provider.owned_runs(harness.beginning)
        with pytest.raises(Unprovable):
            provider.submit(replace(harness.of(), resumed=True, in_doubt_for=timedelta(days=1)))

        assert reports.keys() == {id}
        assert details.exit_code is None
        assert page.runs == []
        json.dumps([reports[id].message, *details.system_logs]).encode()
        assert "\0" not in reports[id].message

    @pytest.mark.parametrize("body", _JUNK)
    def test_service_info_of_another_form_says_nothing(self, harness: WesHarness, body: str) -> None:
        harness.model.faults.add("service_info", faults.Fault(reply=faults.Reply.CANNED, body=body))

        assert accept(harness.provider(), harness.of())


class TestOwnedRuns:
    def test_a_list_with_tags_costs_one_call_a_page(self, harness: WesHarness) -> None:
        harness.model.switches.page_limit = 2
        provider = harness.provider()
        ids = {accept(provider, harness.of()) for _ in range(5)}
        harness.operations()

        found = all_owned_runs(harness, provider)

        assert {run.id for run in found} == ids
        assert harness.operations() == ["list_runs"] * 3

    def test_without_tags_in_the_list_each_run_is_read_once(self) -> None:
        with wes_harness(**_UNTAGGED) as harness:
            provider = harness.provider()
            for _ in range(3):
                accept(provider, harness.of())
            harness.operations()

            found = [all_owned_runs(harness, provider) for _ in range(2)]

            assert [len(runs) for runs in found] == [3, 3]
            assert harness.operations() == ["list_runs", *["run_log"] * 3, "list_runs"]

    def test_a_list_with_all_runs_in_one_answer_is_divided(self) -> None:
        with wes_harness(**_UNTAGGED) as harness:
            provider = harness.provider()
            ids = {accept(provider, harness.of()) for _ in range(230)}

            pages = []
            after: str | None = None
            while True:
                page = provider.owned_runs(harness.beginning, after=after)
                pages.append(page.runs)
                after = page.following
                if after is None:
                    break

            assert [len(page) for page in pages] == [100, 100, 30]
            assert {run.id for page in pages for run in page} == ids

    def test_runs_of_others_are_not_owned(self, harness: WesHarness) -> None:
        for tags in ({}, {"idempotency_key": "of-another"}, {"idempotency_key": 7}, {"other": "wes-run-1"}):
            harness.model.start("", {"tags": tags}, {})

        assert all_owned_runs(harness, harness.provider()) == []

    def test_a_run_without_times_counts_as_just_created(self) -> None:
        with wes_harness(has_start=False, has_end=False, **_UNTAGGED) as harness:
            provider = harness.provider()
            accept(provider, harness.of())
            harness.clock.advance(timedelta(days=3))

            [run] = all_owned_runs(harness, provider)

            assert run.created_at == harness.clock.now()

    def test_a_list_that_repeats_its_token_ends(self, harness: WesHarness) -> None:
        page = '{"runs": [], "next_page_token": "again"}'
        harness.model.faults.storm(lambda _: faults.Fault(reply=faults.Reply.CANNED, body=page))

        assert all_owned_runs(harness, harness.provider()) == []


class TestSearching:
    def _doubt(self, harness: WesHarness, provider: WesProvider) -> str:
        submission = replace(harness.of(), resumed=True, in_doubt_for=timedelta(minutes=20))
        with pytest.raises(Unprovable) as raised:
            provider.submit(submission)
        return str(raised.value)

    def test_a_search_run_by_run_is_limited_and_goes_on_at_the_next_attempt(self) -> None:
        with wes_harness(**_UNTAGGED) as harness:
            provider = harness.provider(search_calls=3)
            for _ in range(5):
                accept(provider, harness.of())
            harness.model.switches.has_start = False
            for run in harness.model.runs.values():
                run.request = {"tags": {}}
            harness.operations()

            first = self._doubt(harness, provider)
            calls_of_first = harness.operations().count("run_log")
            second = self._doubt(harness, provider)
            calls_of_second = harness.operations().count("run_log")

            assert "none of 3 runs" in first
            assert "not every run could be read" in first
            assert "none of 5 runs" in second
            assert "not every run" not in second
            assert (calls_of_first, calls_of_second) == (3, 2)

    def test_runs_from_before_the_doubt_are_not_read(self) -> None:
        with wes_harness(**{**_UNTAGGED, "list_times": True}) as harness:
            provider = harness.provider()
            for _ in range(5):
                accept(provider, harness.of())
            harness.clock.advance(timedelta(days=2))
            accept(provider, harness.of())
            harness.operations()

            message = self._doubt(harness, provider)

            assert "none of 1 runs" in message
            assert harness.operations().count("run_log") == 1

    def test_a_run_whose_request_the_server_has_not_stored_yet_is_read_again(self) -> None:
        with wes_harness(**_UNTAGGED) as harness:
            provider, submission = harness.provider(), harness.of()
            harness.lose_answer(submission)
            [run] = harness.model.runs.values()
            stored, run.request = run.request, {}
            assert "not every run could be read" in self._doubt(harness, provider)

            run.request = stored

            assert accept(provider, replace(submission, resumed=True)) == run.id

    @pytest.mark.parametrize("fault", [refusing(403), refusing(404), refusing(500)])
    def test_a_run_that_cannot_be_read_does_not_end_the_search(self, fault: faults.Fault) -> None:
        with wes_harness(**_UNTAGGED) as harness:
            provider, submission = harness.provider(), harness.of()
            harness.lose_answer(submission)
            accept(provider, harness.of())
            harness.model.faults.add("run_log", fault)

            assert accept(provider, replace(submission, resumed=True)) in harness.model.runs

    def test_of_two_runs_with_the_tag_one_is_found_every_time(self, harness: WesHarness) -> None:
        """A person may have sent the same request by hand."""
        submission = harness.of()
        request = {"tags": {"idempotency_key": submission.key}}
        ids = {harness.model.start(submission.key, request, {}).id for _ in range(2)}

        found = {accept(harness.provider(), replace(submission, resumed=True)) for _ in range(3)}

        assert len(found) == 1
        assert found < ids


def test_a_list_of_former_runs_and_of_ended_ones_is_empty(harness: WesHarness) -> None:
    provider, since = harness.provider(), datetime.fromisoformat("2020-01-01T00:00:00Z")
    harness.model.complete(accept(provider, harness.of()))
    harness.operations()

    assert provider.former_runs(since).runs == ()
    assert provider.ended(since).ids == ()
    assert provider.delete_draft(ProviderRunId("x")) is False
    assert harness.operations() == []
