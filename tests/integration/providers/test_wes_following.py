"""How the WES provider follows and cancels runs, at servers that differ."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.providers.wes_fixtures import harness
from tests.integration.providers.wes_harness import WesHarness, wes_harness
from tests.simulators.wes import faults
from tests.simulators.wes.faults import refusing
from wes_daemon.adapters.providers.wes.provider import WesProvider
from wes_daemon.application.ports.errors import Misconfigured, NotNow, Throttled, Unavailable
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.domain.states import RunState
from wes_daemon.testing import accept, status

__all__ = ["harness"]


def _runs(harness: WesHarness, provider: WesProvider, number: int) -> list[ProviderRunId]:
    ids = [accept(provider, harness.of()) for _ in range(number)]
    for id in ids:
        harness.model.move(id, "RUNNING")
    harness.operations()
    return ids


class TestStates:
    @pytest.mark.parametrize(
        ("told", "state"),
        [
            ("QUEUED", RunState.INITIALIZING),
            ("INITIALIZING", RunState.INITIALIZING),
            ("RUNNING", RunState.RUNNING),
            ("running", RunState.RUNNING),
            ("PAUSED", RunState.PAUSED),
            ("CANCELING", RunState.CANCELING),
            ("CANCELED", RunState.CANCELED),
            ("COMPLETE", RunState.COMPLETE),
            ("EXECUTOR_ERROR", RunState.EXECUTOR_ERROR),
            ("SYSTEM_ERROR", RunState.SYSTEM_ERROR),
            ("PREEMPTED", RunState.PREEMPTED),
            ("UNKNOWN", RunState.UNKNOWN),
            ("HELD", RunState.UNKNOWN),
            ("", RunState.UNKNOWN),
        ],
    )
    def test_each_state_of_the_specification_is_read(self, harness: WesHarness, told: str, state: RunState) -> None:
        provider = harness.provider()
        id = accept(provider, harness.of())
        harness.model.move(id, told)

        assert status(provider, id).state is state

    def test_a_run_that_sapporo_has_deleted_is_unknown(self, harness: WesHarness) -> None:
        provider = harness.provider()
        id = accept(provider, harness.of())
        harness.model.move(id, "DELETED")

        assert provider.statuses([id]) == {}

    def test_times_come_from_the_run_log_and_may_be_missing(self, harness: WesHarness) -> None:
        provider = harness.provider()
        id = accept(provider, harness.of())
        harness.clock.advance(timedelta(minutes=3))
        harness.model.complete(id)
        complete = status(provider, id)

        harness.model.switches.has_end = harness.model.switches.has_start = False
        without = status(provider, id)

        assert complete.started_at is not None
        assert complete.ended_at == complete.started_at + timedelta(minutes=3)
        assert (without.state, without.started_at, without.ended_at) == (RunState.COMPLETE, None, None)

    @pytest.mark.parametrize("state", ["EXECUTOR_ERROR", "SYSTEM_ERROR", "COMPLETE", "CANCELED"])
    def test_an_end_that_the_run_log_does_not_confirm_is_none(
        self, harness: WesHarness, state: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """After a restart, wes-service once says EXECUTOR_ERROR about a run that goes on."""
        provider = harness.provider()
        id = accept(provider, harness.of())
        harness.model.move(id, "RUNNING", read_once=[state])

        with caplog.at_level(logging.WARNING):
            report = status(provider, id)

        assert report.state is RunState.RUNNING
        assert f"wes.end_withdrawn id={id} first={state} then=RUNNING" in caplog.text

    def test_an_unknown_id_is_running_where_the_server_says_so(self) -> None:
        with wes_harness(knows_all=True) as harness:
            assert status(harness.provider(), ProviderRunId("unknown")).state is RunState.RUNNING


class TestManyRuns:
    def test_few_runs_cost_one_call_each(self, harness: WesHarness) -> None:
        provider = harness.provider()
        ids = _runs(harness, provider, 9)

        provider.statuses(ids)

        assert harness.operations() == ["run_status"] * 9

    def test_many_runs_are_read_from_the_list(self, harness: WesHarness) -> None:
        provider = harness.provider()
        ids = _runs(harness, provider, 50)

        reports = provider.statuses(ids)

        assert harness.operations() == ["list_runs"]
        assert {report.state for report in reports.values()} == {RunState.RUNNING}
        assert reports.keys() == set(ids)

    def test_what_the_list_does_not_tell_is_asked_for_one_by_one(self, harness: WesHarness) -> None:
        harness.model.switches.page_limit = 4
        provider = harness.provider()
        ids = _runs(harness, provider, 20)
        harness.model.move(ids[-1], "UNKNOWN")
        harness.model.complete(ids[-2])

        reports = provider.statuses(ids)

        made = harness.operations()
        assert (made.count("list_runs"), made.count("run_status"), made.count("run_log")) == (2, 13, 1)
        assert reports[ids[-1]].state is RunState.UNKNOWN
        assert reports[ids[-2]].state is RunState.COMPLETE

    def test_a_list_that_is_refused_costs_one_call(self, harness: WesHarness) -> None:
        provider = harness.provider()
        ids = _runs(harness, provider, 12)
        harness.model.faults.add("list_runs", refusing(403))

        assert provider.statuses(ids).keys() == set(ids)

    def test_more_ids_than_a_batch_are_a_bug_of_the_caller(self, harness: WesHarness) -> None:
        with pytest.raises(ValueError, match="51 ids in one call, 50 are allowed"):
            harness.provider().statuses([ProviderRunId(str(number)) for number in range(51)])


class TestUnreadableRuns:
    @pytest.mark.parametrize("fault", [refusing(500), refusing(400), refusing(403), faults.page(404), faults.page(502)])
    def test_a_run_that_cannot_be_read_is_unknown_and_the_others_are_told(
        self, harness: WesHarness, fault: faults.Fault
    ) -> None:
        provider = harness.provider()
        ids = _runs(harness, provider, 3)
        harness.model.faults.add("run_status", fault)

        reports = provider.statuses(ids)

        assert [reports[id].state for id in ids] == [RunState.UNKNOWN, RunState.RUNNING, RunState.RUNNING]
        assert "HTTP" in reports[ids[0]].message

    def test_an_error_page_of_a_proxy_does_not_say_that_a_run_is_gone(self, harness: WesHarness) -> None:
        provider = harness.provider()
        [id] = _runs(harness, provider, 1)
        harness.model.faults.add("run_status", faults.page(404))

        with pytest.raises(Misconfigured, match="WES_ENDPOINT"):
            provider.statuses([id])

    @pytest.mark.parametrize(
        ("fault", "error", "calls"),
        [
            (faults.CUT_BEFORE, Unavailable, 1),
            (faults.TOO_MANY, Throttled, 1),
            (refusing(401), Misconfigured, 1),
            (faults.OVERLOADED, Unavailable, 1),
            (refusing(500), Unavailable, 3),
        ],
    )
    def test_a_server_that_does_not_work_is_not_asked_about_every_run(
        self, harness: WesHarness, fault: faults.Fault, error: type[Exception], calls: int
    ) -> None:
        provider = harness.provider()
        ids = _runs(harness, provider, 9)
        harness.model.faults.storm(lambda _: fault)

        with pytest.raises(error):
            provider.statuses(ids)

        assert len(harness.operations()) == calls

    def test_an_answer_that_is_no_json_is_no_news(self, harness: WesHarness) -> None:
        provider = harness.provider()
        ids = _runs(harness, provider, 2)
        broken = faults.Fault(reply=faults.Reply.CANNED, body='{"state": ')
        harness.model.faults.add("run_status", broken)

        with pytest.raises(Unavailable):
            provider.statuses(ids)


class TestFailures:
    def _message(self, harness: WesHarness, **changes: Any) -> str:
        provider = harness.provider()
        id = accept(provider, harness.of())
        harness.model.fail(id)
        harness.model.move(id, "EXECUTOR_ERROR", **changes)
        return status(provider, id).message

    @pytest.mark.parametrize(
        "switches", [{}, {"relative_logs": True}, {"log_texts": True}, {"relative_logs": True, "range_status": 500}]
    )
    def test_the_tools_words_are_found_wherever_the_server_keeps_them(self, switches: Mapping[str, Any]) -> None:
        with wes_harness(**switches) as harness:
            message = self._message(harness)

        assert message.startswith("exited 3: no such reads: a.fastq")
        assert "INFO" not in message

    def test_the_servers_own_explanation_comes_first(self, harness: WesHarness) -> None:
        message = self._message(harness, system_logs=["step align failed on node 7"])

        assert message.startswith("exited 3: step align failed on node 7\nno such reads: a.fastq")

    def test_of_a_long_log_the_end_is_read(self, harness: WesHarness) -> None:
        lines = "\n".join(f"line {number}" for number in range(200_000))

        message = self._message(harness, stderr=f"{lines}\nno such reads: a.fastq\n")

        assert message.endswith("no such reads: a.fastq")
        assert len(message) < 2100

    def test_a_failure_without_any_words_says_so(self, harness: WesHarness) -> None:
        assert self._message(harness, stderr="", exit_code=None) == "the server gave no reason"

    def test_addresses_in_the_words_show_no_secret(self, harness: WesHarness) -> None:
        message = self._message(harness, stderr="cannot read https://ada:pw@host/a.fastq?X-Signature=abc\n")

        assert "https://***@host/a.fastq?X-Signature=***" in message

    @pytest.mark.parametrize("fault", [refusing(404), refusing(403), faults.CUT_BEFORE])
    def test_a_log_that_cannot_be_read_does_not_delay_the_end(self, harness: WesHarness, fault: faults.Fault) -> None:
        harness.model.faults.add("stderr", fault)

        assert self._message(harness).startswith("exited 3: its log could not be read")

    def test_a_log_at_another_host_is_not_fetched_with_the_credential(self, harness: WesHarness) -> None:
        with wes_harness() as other:
            harness.model.base = other.model.base

            message = self._message(harness)

            assert message == "exited 3"
            assert other.operations() == []


class TestCancelling:
    def test_a_cancellation_is_passed_on(self, harness: WesHarness, caplog: pytest.LogCaptureFixture) -> None:
        provider = harness.provider()
        [id] = _runs(harness, provider, 1)

        provider.cancel(id)

        assert harness.model.runs[id].state == "CANCELING"
        assert harness.operations() == ["cancel", "run_status"]
        assert caplog.text == ""

    @pytest.mark.parametrize("id", ["", "..", "a/b", "a b"])
    def test_what_is_no_id_is_not_sent(self, harness: WesHarness, id: str) -> None:
        harness.provider().cancel(ProviderRunId(id))

        assert harness.operations() == []

    def test_a_refusal_for_an_ended_run_is_none(self, harness: WesHarness) -> None:
        """Toil answers 403."""
        provider = harness.provider()
        [id] = _runs(harness, provider, 1)
        harness.model.fail(id)

        provider.cancel(id)

        assert harness.model.runs[id].state == "EXECUTOR_ERROR"

    @pytest.mark.parametrize("switches", [{"cancels": False}, *({"cancel_status": code} for code in (400, 405, 501))])
    def test_a_server_that_cancels_nothing_is_reported_once_an_hour(
        self, switches: Mapping[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        with wes_harness(**switches) as harness, caplog.at_level(logging.WARNING):
            provider = harness.provider()
            [id] = _runs(harness, provider, 1)

            provider.cancel(id)
            provider.cancel(id)

            assert caplog.text.count("wes.not_cancelled") == 1
            assert "it may not support cancellation" in caplog.text

    def test_a_missing_permission_to_cancel_is_an_error_of_the_set_up(self, harness: WesHarness) -> None:
        provider = harness.provider()
        [id] = _runs(harness, provider, 1)
        harness.model.switches.cancel_status = 403

        with pytest.raises(Misconfigured, match="permission"):
            provider.cancel(id)

    @pytest.mark.parametrize("fault", [faults.TOO_MANY, faults.OVERLOADED, refusing(409)])
    def test_a_cancellation_that_is_not_possible_now_is_repeated_later(
        self, harness: WesHarness, fault: faults.Fault
    ) -> None:
        provider = harness.provider()
        [id] = _runs(harness, provider, 1)
        harness.model.faults.add("cancel", fault)

        with pytest.raises(NotNow):
            provider.cancel(id)
