"""What may be done to a run, and what it becomes."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import NOON, a_report, a_request, a_run
from wes_daemon.domain.errors import IllegalTransition, InvalidRequest, UnknownProvider
from wes_daemon.domain.runs import (
    Attachment,
    ProviderRunId,
    ProviderType,
    RunId,
    Unreadable,
    task_id,
)
from wes_daemon.domain.states import ENDED, RunState

HELD = ProviderRunId("task-7")


class TestDestination:
    @pytest.mark.parametrize("tags", [{}, {"provider_type": None}, {"provider_type": ""}, None])
    def test_a_run_that_names_no_provider_goes_to_the_default(self, tags: object) -> None:
        assert a_run(tags=tags).destination(ProviderType.HEALTHOMICS) == ProviderType.HEALTHOMICS

    @pytest.mark.parametrize("word", ["local", "LOCAL", " Local "])
    def test_a_provider_is_known_by_its_name_in_any_case(self, word: str) -> None:
        assert a_run(tags={"provider_type": word}).destination(ProviderType.SEVENBRIDGES) == ProviderType.LOCAL

    @pytest.mark.parametrize("word", ["azure batch", "-a", "a_b", "é", "a" * 41, "a\nb", ["local"]])
    def test_a_text_that_is_no_name_of_a_provider_is_refused(self, word: object) -> None:
        with pytest.raises(
            UnknownProvider, match=r"tags.provider_type: .* is no provider's name: use lower-case letters, digits and -"
        ):
            a_run(tags={"provider_type": word}).destination(ProviderType.LOCAL)

    def test_a_provider_may_have_any_name(self) -> None:
        assert a_run(tags={"provider_type": "slurm-2"}).destination(ProviderType.LOCAL) == ProviderType("slurm-2")

    @pytest.mark.parametrize("tags", [Unreadable("{broken"), ["a"], "text", 3])
    def test_tags_that_are_no_object_are_refused(self, tags: object) -> None:
        with pytest.raises(InvalidRequest, match="tags"):
            a_run(tags=tags).destination(ProviderType.LOCAL)


ENGINES = {"cwltool": ProviderType.LOCAL, "awshealthomics": ProviderType.HEALTHOMICS, "arvados": None}


class TestDestinationByEngine:
    def destination(self, engine: str | None, tags: object = None) -> ProviderType:
        run = a_run(tags=tags, request=a_request(workflow_engine=engine))
        return run.destination(ProviderType.SEVENBRIDGES, ENGINES)

    @pytest.mark.parametrize("engine", ["cwltool", "CWLTool", " cwltool "])
    def test_an_engine_is_known_by_its_name_in_any_case(self, engine: str) -> None:
        assert self.destination(engine) == ProviderType.LOCAL

    @pytest.mark.parametrize("engine", [None, "", "cwltool 3.1", "toil", "nextflow"])
    def test_a_run_of_an_unknown_engine_goes_to_the_default(self, engine: str | None) -> None:
        assert self.destination(engine) == ProviderType.SEVENBRIDGES

    def test_the_tag_wins(self) -> None:
        tags = {"provider_type": "healthomics"}

        assert self.destination("cwltool", tags) == self.destination("Arvados", tags) == ProviderType.HEALTHOMICS

    def test_a_run_of_another_system_is_not_sent_to_the_default(self) -> None:
        with pytest.raises(UnknownProvider, match=r"workflow_engine is 'Arvados'.*tag provider_type"):
            self.destination("Arvados")

    def test_a_run_has_the_engine_of_its_request(self) -> None:
        run = a_run(request=a_request(workflow_engine="toil"))

        assert replace(run, request=a_request(workflow_engine="cwltool")).workflow_engine == "cwltool"
        assert run.cancel_requested().workflow_engine == "toil"


class TestRequest:
    @pytest.mark.parametrize("params", [["a"], "text", 1, 1.5, True, Unreadable("{")])
    def test_parameters_that_are_no_object_are_refused(self, params: object) -> None:
        with pytest.raises(InvalidRequest, match="workflow_params"):
            a_request(workflow_params=params).validate()

    def test_engine_parameters_that_are_no_object_are_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="workflow_engine_parameters"):
            a_request(workflow_engine_parameters=["a"]).validate()

    @pytest.mark.parametrize("url", ["", "  ", "a b", "a\nb", "a\x00b"])
    def test_a_url_that_cannot_be_one_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidRequest, match="workflow_url"):
            a_request(workflow_url=url).validate()

    def test_absent_parameters_are_none_at_all(self) -> None:
        request = a_request(workflow_params=None)

        request.validate()

        assert request.params == {}

    @pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../b", "a\\b", "a\0b"])
    def test_an_attachment_cannot_leave_its_directory(self, name: str) -> None:
        with pytest.raises(InvalidRequest, match="attachment"):
            Attachment(name=name, content=b"")


class TestAccepted:
    def test_a_queued_run_is_initializing_once_a_provider_holds_it(self) -> None:
        run = a_run().accepted(ProviderType.LOCAL, HELD)

        assert (run.state, run.provider, run.provider_run_id) == (RunState.INITIALIZING, ProviderType.LOCAL, HELD)

    def test_the_callers_tags_are_kept_beside_ours(self) -> None:
        run = a_run(tags={"project": "p", "depth": 3}).accepted(ProviderType.LOCAL, HELD)

        assert run.tags == {"project": "p", "depth": 3, "provider_type": "local", "provider_id": "task-7"}

    @pytest.mark.parametrize("state", sorted(ENDED | {RunState.CANCELING}))
    def test_a_run_that_was_cancelled_meanwhile_keeps_its_state(self, state: RunState) -> None:
        run = a_run(state=state).accepted(ProviderType.LOCAL, HELD)

        assert (run.state, run.provider_run_id) == (state, HELD)


class TestRejected:
    def test_it_ends_with_a_reason_and_a_time(self) -> None:
        run = a_run(tags={"project": "p"}).rejected("no such workflow", NOON)

        assert (run.state, run.end_time) == (RunState.SYSTEM_ERROR, NOON)
        assert run.tags == {"project": "p", "error": "no such workflow"}
        assert run.error == "no such workflow"

    def test_what_somebody_was_cancelling_ends_cancelled(self) -> None:
        assert a_run(state=RunState.CANCELING).rejected("why", NOON).state is RunState.CANCELED

    def test_what_has_ended_stays_as_it_is(self) -> None:
        ended = a_run(state=RunState.CANCELED, end_time=NOON)

        assert ended.rejected("why", NOON + timedelta(hours=1)) == ended

    def test_what_a_provider_holds_cannot_be_rejected(self) -> None:
        with pytest.raises(IllegalTransition, match="run-1"):
            a_run().accepted(ProviderType.LOCAL, HELD).rejected("why", NOON)

    @pytest.mark.parametrize(("found", "kept"), [(Unreadable("{broken"), "{broken"), (["a"], ["a"])])
    def test_tags_that_cannot_be_read_are_not_lost(self, found: object, kept: object) -> None:
        assert a_run(tags=found).rejected("why", NOON).tags == {"unreadable_tags": kept, "error": "why"}

    def test_absent_tags_leave_no_trace(self) -> None:
        run = a_run()

        assert run.rejected("why", NOON).tags == {"error": "why"}


class TestEndedWithoutAnEndTime:
    """A WES service ended the run by writing its state only."""

    ENDED = a_run(state=RunState.CANCELED, start_time=NOON)

    @pytest.mark.parametrize("hours", [1, -1])
    def test_it_gets_one_that_is_not_before_its_start(self, hours: int) -> None:
        at = NOON + timedelta(hours=hours)
        changed = [
            self.ENDED.updated(a_report(RunState.COMPLETE), at),
            self.ENDED.updated(a_report(RunState.COMPLETE, ended_at=at), NOON),
            self.ENDED.lost("why", at),
            self.ENDED.rejected("why", at),
            self.ENDED.cancelled_before_submission(at),
        ]

        assert changed == [replace(self.ENDED, end_time=max(at, NOON))] * len(changed)

    def test_it_gets_none_while_its_provider_executes_it(self) -> None:
        assert self.ENDED.updated(a_report(RunState.RUNNING), NOON) == self.ENDED


class TestObserved:
    def test_a_running_run_starts_when_the_provider_says(self) -> None:
        started = NOON - timedelta(minutes=3)

        run = a_run(state=RunState.INITIALIZING).updated(a_report(RunState.RUNNING, started_at=started), NOON)

        assert (run.state, run.start_time) == (RunState.RUNNING, started)

    def test_a_provider_without_times_lends_us_the_moment_of_the_look(self) -> None:
        run = a_run(state=RunState.INITIALIZING).updated(a_report(RunState.RUNNING), NOON)

        assert run.start_time == NOON

    def test_a_run_that_the_provider_queues_again_stays_running(self) -> None:
        running = a_run(state=RunState.RUNNING, start_time=NOON)

        assert running.updated(a_report(RunState.INITIALIZING), NOON) == running

    def test_no_news_changes_nothing(self) -> None:
        running = a_run(state=RunState.RUNNING, start_time=NOON)

        assert running.updated(a_report(RunState.UNKNOWN), NOON) == running

    def test_an_end_never_comes_before_the_start(self) -> None:
        running = a_run(state=RunState.RUNNING, start_time=NOON)

        run = running.updated(a_report(RunState.COMPLETE, ended_at=NOON - timedelta(seconds=5)), NOON)

        assert run.end_time == NOON

    def test_a_failure_leaves_the_providers_words_as_the_error(self) -> None:
        run = a_run(state=RunState.RUNNING).updated(a_report(RunState.EXECUTOR_ERROR, message="exit 1"), NOON)

        assert (run.state, run.error) == (RunState.EXECUTOR_ERROR, "exit 1")

    def test_a_success_leaves_no_error(self) -> None:
        run = a_run(state=RunState.RUNNING).updated(a_report(RunState.COMPLETE, message="all is well"), NOON)

        assert run.error is None

    def test_a_run_that_failed_before_it_started_has_no_start(self) -> None:
        run = a_run(state=RunState.INITIALIZING).updated(a_report(RunState.SYSTEM_ERROR), NOON)

        assert (run.start_time, run.end_time) == (None, NOON)

    @pytest.mark.parametrize("state", [RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.CANCELED])
    def test_a_cancelling_run_ends_as_the_provider_says(self, state: RunState) -> None:
        assert a_run(state=RunState.CANCELING).updated(a_report(state), NOON).state is state

    @pytest.mark.parametrize(("state", "seen"), list(product(sorted(RunState), sorted(RunState))))
    def test_every_report_moves_forwards_or_not_at_all(self, state: RunState, seen: RunState) -> None:
        after = a_run(state=state).updated(a_report(seen), NOON)

        assert after.state is state or state.may_become(after.state)

    @given(st.lists(st.sampled_from(sorted(RunState)), max_size=12))
    def test_whatever_a_provider_says_endings_absorb_and_have_a_time(self, words: list[RunState]) -> None:
        run = a_run().accepted(ProviderType.LOCAL, HELD)
        for minute, word in enumerate(words):
            before = run
            run = run.updated(a_report(word), NOON + timedelta(minutes=minute))
            assert not before.state.has_ended or run == before

        assert run.state.has_ended == (run.end_time is not None)
        assert run.start_time is None or run.end_time is None or run.start_time <= run.end_time


class TestCancel:
    @pytest.mark.parametrize("state", sorted(set(RunState) - ENDED))
    def test_what_has_not_ended_can_be_cancelled(self, state: RunState) -> None:
        assert a_run(state=state).cancel_requested().state is RunState.CANCELING

    @pytest.mark.parametrize("state", sorted(ENDED))
    def test_what_has_ended_cannot(self, state: RunState) -> None:
        with pytest.raises(IllegalTransition, match=state):
            a_run(state=state).cancel_requested()

    def test_what_no_provider_had_ends_at_once(self) -> None:
        run = a_run(state=RunState.CANCELING).cancelled_before_submission(NOON)

        assert (run.state, run.end_time) == (RunState.CANCELED, NOON)

    def test_what_has_ended_meanwhile_stays_as_it_is(self) -> None:
        ended = a_run(state=RunState.COMPLETE, end_time=NOON)

        assert ended.cancelled_before_submission(NOON + timedelta(hours=1)) == ended


class TestLost:
    def test_a_run_that_its_provider_forgot_ends_with_the_reason(self) -> None:
        run = a_run(state=RunState.RUNNING).lost("it is gone", NOON)

        assert (run.state, run.error, run.end_time) == (RunState.SYSTEM_ERROR, "it is gone", NOON)

    def test_one_that_has_ended_does_not(self) -> None:
        ended = a_run(state=RunState.COMPLETE, end_time=NOON)

        assert ended.lost("it is gone", NOON) == ended


def test_the_key_of_a_submission_is_a_function_of_the_run_id_alone() -> None:
    assert a_run(id="7f3").idempotency_key == a_run(id="7f3", state=RunState.RUNNING, tags={"a": 1}).idempotency_key
    assert a_run(id="7f3").idempotency_key != a_run(id="7f4").idempotency_key


def test_the_id_of_a_task_log_never_changes() -> None:
    assert task_id(RunId("7f3"), "step") == "2d845076-d6fd-5788-9068-dac7f1e73e31"
    assert task_id(RunId("7f3"), "step") != task_id(RunId("7f4"), "step")
