"""Submission: each queued run is started once, whatever goes wrong, and none is lost."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import count
from threading import Event
from typing import Any, Self

import pytest

from tests import fault_points
from tests.builders import ALL_PROVIDERS, a_report, a_request, a_run, a_submission_policy, an_attachment
from tests.unit.application.conftest import LEASE, DaemonUnderTest, World
from wes_daemon.adapters.memory.environment import InlineExecutor, ManualClock
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory, PreparingMemoryProvider
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.adapters.memory.unit_of_work import MemoryUnitOfWork
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    CircuitOpen,
    LeaseLost,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    Rejected,
    StorageUnavailable,
    Unprovable,
    WrongProvider,
)
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import ClaimedRun, SubmissionState
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.submitting.outcomes import Outcome
from wes_daemon.application.submitting.set_up_evidence import SetUpEvidence
from wes_daemon.domain.runs import IdempotencyKey, ProviderType, Run, RunId, Unreadable
from wes_daemon.domain.states import RunState


def test_a_queued_run_is_handed_to_its_provider(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(a_run(tags={"project": "p"}))

    report = daemon.submit()

    assert (report.enrolled, report.accepted) == (1, 1)
    assert world.provider.started == ["wes-run-1"]
    assert world.run().state is RunState.INITIALIZING
    assert world.run().tags == {"project": "p", "provider_type": "sevenbridges", "provider_id": "memory-1"}


def test_a_provider_is_told_since_when_the_run_is_held_alone(world: World) -> None:
    world.clock.advance(timedelta(seconds=7))
    world.provider = _Attentive()
    world.directory = MemoryProviderDirectory({ProviderType.SEVENBRIDGES: world.provider})
    world.queue(a_run())

    world.daemon().submit()

    [submission] = world.provider.asked
    assert submission.claimed_since == world.clock.monotonic()


def test_nothing_queued_means_no_call(world: World, daemon: DaemonUnderTest) -> None:
    report = daemon.submit()

    assert report.outcomes == {}
    assert world.provider.calls == []


def test_a_run_that_its_provider_keeps_waiting_is_not_submitted_again(world: World, daemon: DaemonUnderTest) -> None:
    world.queue(a_run())
    daemon.submit()

    for _ in range(3):
        world.clock.advance(timedelta(hours=1))
        daemon.refresh()
        daemon.submit()

    assert world.provider.started == ["wes-run-1"]
    assert world.provider.calls.count("submit") == 1


def test_the_provider_gets_request_tags_and_attachments(world: World, daemon: DaemonUnderTest) -> None:
    run = a_run(tags={"project": "p"}, request=a_request(workflow_params={"n": 1}))
    with world.units() as work:
        entry = TimelineEntry(at=world.clock.now(), before=None, after=run.state, by="me", why="queued")
        work.runs.add(run, attachments=[an_attachment()], entry=entry)
        work.commit()

    daemon.submit()

    submission = world.provider.submission(world.provider.id_of(run.idempotency_key))
    assert (submission.request, submission.tags) == (run.request, {"project": "p"})
    assert [attachment.name for attachment in submission.attachments] == ["echo.cwl"]


def test_runs_go_out_oldest_first(world: World) -> None:
    world.submission_policy = a_submission_policy(batch=1)
    world.queue(*(a_run(f"run-{number}") for number in range(5)))

    world.daemon().submit()

    assert world.provider.started == [f"wes-run-{number}" for number in range(5)]


def test_the_cap_holds_over_all_daemons(world: World) -> None:
    world.submission_policy = a_submission_policy(concurrency_limit=3)
    world.queue(*(a_run(f"run-{number}") for number in range(5)))

    for _ in range(3):
        world.daemon().submit()

    assert len(world.provider.started) == 3


def test_a_provider_holds_no_more_runs_than_its_own_cap_says(world: World) -> None:
    world.submission_policy = a_submission_policy(per_provider_limits={ProviderType.SEVENBRIDGES: 2})
    world.queue(*(a_run(f"run-{number}") for number in range(5)))

    for _ in range(3):
        world.daemon().submit()

    assert len(world.provider.started) == 2


def test_a_run_that_has_ended_makes_room_under_the_cap(world: World) -> None:
    world.submission_policy = a_submission_policy(concurrency_limit=1)
    world.queue(a_run("run-1"), a_run("run-2"))
    daemon = world.daemon()
    daemon.submit()
    daemon.submit()
    world.provider.cancel(world.provider.id_of(a_run("run-1").idempotency_key))
    world.clock.advance(timedelta(hours=1))
    daemon.refresh()

    daemon.submit()

    assert world.provider.started == ["wes-run-1", "wes-run-2"]


class TestWhatCanNeverWork:
    @pytest.mark.parametrize(
        ("run", "words"),
        [
            (a_run(tags={"provider_type": "azure batch"}), "use lower-case letters, digits and -"),
            (a_run(request=a_request(workflow_url="")), "workflow_url is empty"),
            (a_run(request=a_request(workflow_url="not a url")), "percent-encode"),
            (a_run(request=a_request(workflow_params=["a"])), "workflow_params must be a JSON object"),
            (a_run(request=a_request(workflow_params=Unreadable("{"))), "not JSON"),
            (a_run(tags=Unreadable("{")), "tags holds text that is not JSON"),
        ],
    )
    def test_it_ends_with_words_to_act_on_and_touches_no_other_run(
        self, world: World, daemon: DaemonUnderTest, run: Run, words: str
    ) -> None:
        world.queue(run, a_run("run-2"))

        report = daemon.submit()

        bad = world.run("run-1")
        assert bad.state is RunState.SYSTEM_ERROR
        assert words in (bad.error or "")
        assert bad.end_time == world.clock.now()
        assert (report.rejected, report.accepted) == (1, 1)
        assert world.provider.started == ["wes-run-2"]

    @pytest.mark.parametrize(
        ("engine", "why"),
        [
            (None, "sevenbridges is the default provider (DAEMON_DEFAULT_PROVIDER)"),
            (
                "toil",
                "sevenbridges is the default provider (DAEMON_DEFAULT_PROVIDER), "
                "and workflow_engine 'toil' is not in DAEMON_ENGINE_PROVIDERS",
            ),
            ("SevenBridges", "workflow_engine 'SevenBridges' stands for sevenbridges (DAEMON_ENGINE_PROVIDERS)"),
        ],
    )
    def test_a_refusal_of_the_provider_says_why_it_was_chosen_and_how_another_is(
        self, world: World, engine: str | None, why: str
    ) -> None:
        world.submission_policy = a_submission_policy(
            engine_providers={"sevenbridges": ProviderType.SEVENBRIDGES}, known_providers=ALL_PROVIDERS
        )
        world.queue(a_run(request=a_request(workflow_engine=engine)))
        world.provider.fail_next(WrongProvider("workflow_url 'x' names no app"))

        world.daemon().submit()

        advice = "; the tag provider_type chooses another provider: healthomics or local"
        assert world.run().error == f"workflow_url 'x' names no app; {why}{advice}"

    def test_a_refusal_of_a_provider_that_the_tags_name_is_left_as_it_is(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run(tags={"provider_type": "sevenbridges"}))
        world.provider.fail_next(WrongProvider("workflow_url 'x' names no app"))

        daemon.submit()

        assert world.run().error == "workflow_url 'x' names no app"

    def test_a_run_of_another_system_ends_and_is_not_sent_to_the_default_provider(self, world: World) -> None:
        world.submission_policy = a_submission_policy(engine_providers={"arvados": None})
        world.queue(a_run(request=a_request(workflow_engine="Arvados")), a_run("run-2"))

        report = world.daemon().submit()

        assert (world.run().state, report.rejected) == (RunState.SYSTEM_ERROR, 1)
        assert "workflow_engine is 'Arvados'" in (world.run().error or "")
        assert world.provider.started == ["wes-run-2"]

    def test_a_refusal_is_final_and_logged_once(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.queue(a_run())
        world.provider.fail_next(Rejected("inputs: reads: expected File"))

        with caplog.at_level(logging.INFO):
            daemon.submit()
            world.clock.advance(timedelta(days=1))
            daemon.submit()

        assert world.run().error == "inputs: reads: expected File"
        assert world.provider.calls == ["submit"]
        assert sum("expected File" in record.getMessage() for record in caplog.records) == 1

    def test_text_from_a_row_cannot_forge_a_log_line(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.queue(a_run(tags={"provider_type": "x\n2026 INFO submit.accepted run_id=run-9"}))

        daemon.submit()

        assert all("\n" not in record.getMessage() for record in caplog.records)


class TestPassingTrouble:
    def test_a_run_is_put_off_and_tried_again_later(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.fail_next(NotNow("busy"))

        report = daemon.submit()
        daemon.submit()

        assert report.outcomes == {Outcome.DEFERRED: 1}
        assert world.run().state is RunState.QUEUED
        assert world.provider.calls == ["submit"]
        world.clock.advance(timedelta(seconds=6))
        assert daemon.submit().accepted == 1

    def test_the_wait_grows_up_to_a_bound(self) -> None:
        policy = a_submission_policy(first_wait=timedelta(seconds=5), longest_wait=timedelta(seconds=60))

        waits = [policy.wait_after(attempts).total_seconds() for attempts in (0, 1, 2, 3, 4, 5, 1000)]

        assert waits == [5, 10, 20, 40, 60, 60, 60]

    def test_no_call_is_made_before_the_time_that_the_service_named(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run())
        world.provider.fail_next(NotNow("busy", retry_after=timedelta(hours=2)))
        daemon.submit()

        world.clock.advance(timedelta(hours=2) - timedelta(seconds=1))
        daemon.submit()

        assert world.provider.calls == ["submit"]

    def test_a_run_that_is_put_off_does_not_hold_up_the_others(self, world: World) -> None:
        world.submission_policy = a_submission_policy(batch=1)
        world.queue(a_run("run-1"), a_run("run-2"))
        world.provider.fail_next(NotNow("busy"))

        world.daemon().submit()

        assert world.provider.started == ["wes-run-2"]

    def test_a_run_that_is_put_off_does_not_count_for_the_cap(self, world: World) -> None:
        world.submission_policy = a_submission_policy(concurrency_limit=1)
        world.queue(a_run("run-1"), a_run("run-2"))
        world.provider.fail_next(NotNow("busy"))

        world.daemon().submit()

        assert world.provider.started == ["wes-run-2"]


class TestLostAnswers:
    def test_a_lost_answer_never_starts_a_second_run(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.lose_next_answer()

        assert daemon.submit().outcomes == {Outcome.IN_DOUBT: 1}
        world.clock.advance(timedelta(seconds=6))
        daemon.submit()

        assert world.provider.started == ["wes-run-1"]
        assert world.run().state is RunState.INITIALIZING

    def test_a_run_in_doubt_is_counted_for_the_cap(self, world: World) -> None:
        world.submission_policy = a_submission_policy(concurrency_limit=1)
        world.queue(a_run("run-1"), a_run("run-2"))
        world.provider.lose_next_answer()

        world.daemon().submit()

        assert world.provider.started == ["wes-run-1"]

    def test_not_now_does_not_take_back_an_earlier_doubt(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.lose_next_answer()
        daemon.submit()
        world.provider.fail_next(NotNow("busy"))
        world.clock.advance(timedelta(seconds=6))

        daemon.submit()

        assert world.store.tables.submissions[RunId("run-1")].state is SubmissionState.INTENT

    def test_a_run_in_doubt_stays_with_the_provider_that_may_have_it(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        other = MemoryProvider()
        world.directory.providers[ProviderType.HEALTHOMICS] = other
        world.queue(a_run())
        world.provider.lose_next_answer()
        daemon.submit()
        world.store.insert(a_run(tags={"provider_type": "healthomics"}))
        world.submission_policy = a_submission_policy(default_provider=ProviderType.HEALTHOMICS)
        world.clock.advance(LEASE)

        world.daemon().submit()

        assert (world.provider.started, other.started) == (["wes-run-1"], [])
        assert world.run().tags == {"provider_type": "sevenbridges", "provider_id": "memory-1"}

    @pytest.mark.parametrize("wrong", [a_run(request=a_request(workflow_params=[1])), a_run(tags=["a"])])
    def test_a_run_in_doubt_is_sent_again_as_it_was_though_its_row_has_become_wrong(
        self, world: World, daemon: DaemonUnderTest, wrong: Run
    ) -> None:
        world.queue(a_run())
        world.provider.lose_next_answer()
        daemon.submit()
        world.store.insert(wrong)
        world.clock.advance(LEASE)

        report = daemon.submit()

        assert report.outcomes == {Outcome.ACCEPTED: 1}
        assert world.provider.started == ["wes-run-1"]
        assert world.run().state is RunState.INITIALIZING

    def test_a_run_in_doubt_is_not_ended_by_a_provider_that_is_no_longer_set_up(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run())
        world.provider.lose_next_answer()
        daemon.submit()
        world.directory.providers[ProviderType.SEVENBRIDGES] = Rejected("not set up here")
        world.clock.advance(LEASE)

        assert daemon.submit().outcomes == {Outcome.IN_DOUBT: 1}

        world.directory.providers[ProviderType.SEVENBRIDGES] = world.provider
        world.clock.advance(LEASE)
        assert daemon.submit().accepted == 1
        assert world.provider.started == ["wes-run-1"]

    def test_a_run_that_was_ended_while_it_was_in_doubt_is_resolved_and_cancelled(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run())
        world.provider.lose_next_answer()
        daemon.submit()
        world.set_state("run-1", RunState.SYSTEM_ERROR)
        world.clock.advance(LEASE)

        daemon.submit()
        daemon.cancel()

        assert world.provider.cancelled == ["memory-1"]
        assert world.run().state is RunState.SYSTEM_ERROR

    def test_a_daemon_that_finds_its_lease_gone_claims_under_a_new_identity(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        before = daemon.daemon_session.id
        world.clock.advance(LEASE)
        world.queue(a_run())

        report = daemon.submit()

        assert report.accepted == 1
        assert daemon.daemon_session.id != before

    def test_a_bug_in_an_adapter_leaves_the_run_in_doubt_and_the_others_alone(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run("run-1"), a_run("run-2"))
        world.provider.fail_next(ZeroDivisionError("a bug"))

        report = daemon.submit()

        assert report.outcomes == {Outcome.IN_DOUBT: 1, Outcome.ACCEPTED: 1}
        assert world.queries.get(RunId("run-1")).last_reason == "ZeroDivisionError: a bug"

    def test_another_daemon_takes_over_only_when_the_lease_has_run_out(self, world: World) -> None:
        world.queue(a_run())
        _claim_and_die(world)
        successor = world.daemon()

        assert successor.submit().outcomes == {}
        world.clock.advance(LEASE)

        assert successor.submit().accepted == 1

    def test_a_daemon_that_slept_through_its_lease_records_nothing(self, world: World) -> None:
        world.queue(a_run())
        sleeper, successor = world.daemon(), world.daemon()
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Sleeping(world, successor)

        report = sleeper.submit()

        assert report.outcomes == {Outcome.CLAIM_LOST: 1}
        assert world.provider.started == ["wes-run-1"]
        assert world.run().state is RunState.INITIALIZING


class TestGivingUp:
    """Transient errors that persist, and doubt that no call resolves."""

    def test_a_run_that_failed_for_too_long_ends_with_the_last_reason(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run())
        world.provider.fail_next(NotNow("busy"), NotNow("busy"), NotNow("still busy"))
        daemon.submit()
        world.clock.advance(timedelta(hours=23))
        daemon.submit()
        assert world.run().state is RunState.QUEUED
        world.clock.advance(timedelta(hours=2))

        daemon.submit()

        assert world.run().state is RunState.SYSTEM_ERROR
        assert world.run().error == "given up after 3 attempts in 1 day, 1:00:00: still busy"

    def test_time_spent_in_the_queue_is_no_failure(self, world: World, daemon: DaemonUnderTest) -> None:
        world.submission_policy = a_submission_policy(concurrency_limit=1)
        world.queue(a_run("run-1"), a_run("run-2"))
        daemon = world.daemon()
        daemon.submit()
        world.clock.advance(timedelta(days=3))
        world.provider.put(world.provider.id_of(IdempotencyKey("wes-run-1")), a_report(RunState.COMPLETE))
        daemon.refresh()
        world.provider.fail_next(NotNow("busy"))

        daemon.submit()

        assert world.run("run-2").state is RunState.QUEUED

    def test_with_one_attempt_the_first_failure_is_final(self, world: World) -> None:
        world.submission_policy = a_submission_policy(attempts=1)
        world.queue(a_run())
        world.provider.fail_next(NotNow("busy"))

        world.daemon().submit()

        assert (world.run().state, world.provider.started) == (RunState.SYSTEM_ERROR, [])

    def test_with_one_attempt_a_lost_answer_is_still_resolved(self, world: World) -> None:
        world.submission_policy = a_submission_policy(attempts=1)
        world.queue(a_run())
        world.provider.lose_next_answer()
        daemon = world.daemon()
        daemon.submit()
        world.provider.fail_next(NotNow("busy"))
        world.clock.advance(timedelta(minutes=1))
        daemon.submit()
        world.clock.advance(timedelta(minutes=1))

        daemon.submit()

        assert world.run().state is RunState.INITIALIZING
        assert world.provider.started == ["wes-run-1"]

    @pytest.mark.parametrize("trouble", [OutcomeUnknown("timeout"), NotNow("busy")])
    def test_a_run_that_was_in_doubt_for_too_long_is_for_a_person(
        self, world: World, daemon: DaemonUnderTest, trouble: Exception
    ) -> None:
        world.queue(a_run())
        world.provider.lose_next_answer()
        daemon.submit()
        world.provider.fail_next(trouble)
        world.clock.advance(timedelta(days=1))

        report = daemon.submit()

        assert report.outcomes == {Outcome.NEEDS_REVIEW: 1}
        assert world.run().state is RunState.QUEUED
        assert "1 day" in (world.queries.get(RunId("run-1")).last_reason or "")

    def test_what_a_provider_can_never_tell_is_for_a_person(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.fail_next(Unprovable("the service forgets keys after a day"))

        daemon.submit()

        record = world.queries.get(RunId("run-1"))
        assert record.submission is SubmissionState.REVIEW
        assert record.last_reason == "the service forgets keys after a day"


class TestRestingProviders:
    """A provider whose circuit is open."""

    def test_its_runs_stay_as_they_are_until_it_is_tried_again(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.fail_next(CircuitOpen("it rests", retry_after=timedelta(minutes=1)))

        report = daemon.submit()

        record = world.queries.get(RunId("run-1"))
        assert report.blocked == {ProviderType.SEVENBRIDGES}
        assert (record.submission, record.attempts, record.last_reason) == (SubmissionState.READY, 0, "it rests")
        world.clock.advance(timedelta(minutes=1))
        assert daemon.submit().accepted == 1

    def test_an_attempt_that_was_never_made_is_not_counted(self, world: World) -> None:
        world.submission_policy = a_submission_policy(attempts=1)
        world.queue(a_run())
        world.provider.fail_next(CircuitOpen("it rests", retry_after=timedelta(minutes=1)))

        world.daemon().submit()

        assert world.run().state is RunState.QUEUED

    def test_it_does_not_hold_up_another(self, world: World, daemon: DaemonUnderTest) -> None:
        other = MemoryProvider()
        world.directory.providers[ProviderType.HEALTHOMICS] = other
        world.queue(a_run("run-1"), a_run("run-2", tags={"provider_type": "healthomics"}))
        world.provider.fail_next(CircuitOpen("it rests", retry_after=timedelta(minutes=1)))

        daemon.submit()

        assert other.started == ["wes-run-2"]


class TestLeases:
    """Nothing is sent without a valid lease."""

    def test_nothing_is_sent_under_a_lease_that_is_not_surely_good(self, world: World) -> None:
        slow = _Interrupted(world, lambda: world.clock.advance(LEASE * 0.9))
        world.directory.providers[ProviderType.SEVENBRIDGES] = slow
        world.queue(a_run("run-1"), a_run("run-2"))

        report = world.daemon().submit()

        # The second waited behind the first, in one batch; it goes out under a renewed lease.
        assert report.outcomes == {Outcome.ACCEPTED: 2, Outcome.RETURNED: 1}
        assert world.provider.started == ["wes-run-1", "wes-run-2"]

    def test_a_claim_that_waits_for_longer_than_a_lease_claims_nothing_and_is_no_bug(self, world: World) -> None:
        world.queue(a_run())
        daemon = world.daemon()

        def slow_units() -> UnitOfWork:
            return _Slow(world)

        world.units = slow_units
        report = daemon.submit()

        assert report.outcomes == {}
        world.units = world.plain_units
        assert daemon.submit().accepted == 1

    def test_a_look_at_what_is_in_doubt_takes_nothing_new(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run("run-1"))
        world.provider.lose_next_answer()
        daemon.submit()
        world.queue(a_run("run-2"))
        world.clock.advance(timedelta(minutes=1))

        report = daemon.submit.resolve_takeovers()

        assert report.outcomes == {Outcome.ACCEPTED: 1}
        assert world.run("run-2").state is RunState.QUEUED

    def test_a_look_at_what_is_in_doubt_leaves_alone_what_only_waits(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run())
        world.provider.fail_next(NotNow("busy"))
        daemon.submit()
        world.clock.advance(timedelta(minutes=1))

        report = daemon.submit.resolve_takeovers()

        assert report.outcomes == {}
        assert world.provider.started == []


class TestShares:
    """Fair shares by the values of a tag."""

    def test_each_value_of_the_tag_has_its_turn(self, world: World) -> None:
        world.submission_policy = a_submission_policy(concurrency_limit=2, share_tag="project")
        world.queue(*(a_run(f"run-{number}", tags={"project": "big"}) for number in range(5)))
        world.queue(a_run("run-9", tags={"project": "small"}), a_run("run-10", tags=["no object"]))

        world.daemon().submit()

        assert world.provider.started == ["wes-run-0", "wes-run-9"]


class TestProvidersThatPrepare:
    def test_only_what_is_recorded_is_started(self, world: World) -> None:
        provider = _preparing(world)
        world.queue(a_run())

        world.daemon().submit()

        assert provider.started == ["wes-run-1"]
        assert provider.drafts == {}

    def test_a_lost_second_answer_resumes_with_the_recorded_draft(self, world: World, daemon: DaemonUnderTest) -> None:
        provider = _preparing(world)
        world.queue(a_run())
        _after_preparing(provider, lambda: provider.lose_next_answer(error=OutcomeUnknown("the answer was lost")))
        daemon.submit()
        assert world.store.tables.submissions[RunId("run-1")].state is SubmissionState.PREPARED
        world.clock.advance(timedelta(seconds=6))

        daemon.submit()

        assert provider.started == ["wes-run-1"]
        assert world.run().tags == {"provider_type": "sevenbridges", "provider_id": "draft-1"}

    def test_the_recorded_draft_is_started_also_where_no_search_finds_it(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        provider = _preparing(world)
        provider.search_misses = True
        world.queue(a_run())
        _after_preparing(provider, lambda: provider.fail_next(OutcomeUnknown("the request was lost")))
        daemon.submit()
        world.clock.advance(timedelta(seconds=6))

        daemon.submit()

        assert provider.started == ["wes-run-1"]
        assert provider.drafts == {}


class TestMisconfiguredProvider:
    def test_it_harms_no_run(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.fail_next(Misconfigured("token expired"))

        report = daemon.submit()

        record = world.queries.get(RunId("run-1"))
        assert report.blocked == {ProviderType.SEVENBRIDGES}
        assert (record.run.state, record.attempts) == (RunState.QUEUED, 0)

    def test_it_is_passed_over_and_the_others_go_on(self, world: World, daemon: DaemonUnderTest) -> None:
        local = MemoryProvider()
        world.directory.providers[ProviderType.LOCAL] = local
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("token expired")
        world.queue(a_run("run-1"), a_run("run-2", tags={"provider_type": "local"}))

        daemon.submit()

        assert local.started == ["wes-run-2"]

    def test_it_goes_on_by_itself_when_it_is_mended(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.fail_next(Misconfigured("token expired"))
        daemon.submit()
        world.clock.advance(timedelta(minutes=1))

        assert daemon.submit().accepted == 1

    def test_a_run_that_it_refuses_for_too_long_ends_with_the_reason(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run())
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("no permission in the project")
        daemon.submit()
        world.clock.advance(a_submission_policy().timeout - timedelta(seconds=1))
        daemon.submit()
        assert world.run().state is RunState.QUEUED
        world.clock.advance(timedelta(minutes=1))

        report = daemon.submit()

        assert report.blocked == {ProviderType.SEVENBRIDGES}
        assert world.run().state is RunState.SYSTEM_ERROR
        assert str(world.run().error).startswith("given up after ")
        assert str(world.run().error).endswith(": no permission in the project")

    def test_a_run_that_may_have_been_started_needs_review_instead(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.provider.fail_next(OutcomeUnknown("timeout"))
        daemon.submit()
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("token expired")

        world.clock.advance(a_submission_policy().timeout - timedelta(seconds=1))
        daemon.submit()
        assert world.queries.get(RunId("run-1")).submission is SubmissionState.INTENT
        world.clock.advance(timedelta(minutes=1))
        report = daemon.submit()

        record = world.queries.get(RunId("run-1"))
        assert report.blocked == {ProviderType.SEVENBRIDGES}
        assert (record.run.state, record.submission) == (RunState.QUEUED, SubmissionState.REVIEW)

    def test_the_runs_that_it_prevents_say_why(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run("run-1"), a_run("run-2"))
        world.provider.fail_next(Misconfigured("token expired"))

        daemon.submitting(pool=InlineExecutor(), policy=a_submission_policy(batch=2))()

        reasons = {world.queries.get(RunId(id)).last_reason for id in ("run-1", "run-2")}
        assert reasons == {
            "token expired",
            "sevenbridges was unusable for another run a moment before: token expired",
        }

    def test_a_run_that_was_announced_is_submitted_before_anything_else_is_taken_up(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.store.insert(a_run("run-1"))
        world.store.insert(
            a_run("left", state=RunState.RUNNING, tags={"provider_type": "local", "provider_id": "at-1"})
        )

        report = daemon.submit.submit_announced()

        assert (report.enrolled, report.accepted) == (1, 1)
        assert world.queries.get(RunId("left")).submission is None

    def test_where_nothing_new_was_announced_the_whole_pass_is_made(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.store.insert(
            a_run("left", state=RunState.RUNNING, tags={"provider_type": "local", "provider_id": "at-1"})
        )

        daemon.submit.submit_announced()

        assert world.queries.get(RunId("left")).submission is SubmissionState.ACCEPTED

    def test_a_run_that_was_enrolled_for_another_provider_does_not_keep_the_pass_going(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run(tags={"provider_type": "local"}))
        with world.units() as work:
            work.submissions.enrol(lambda _: ProviderType.LOCAL, limit=10)
            work.commit()
        world.store.insert(a_run())
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("token expired")

        report = daemon.submit()

        assert report.outcomes == {Outcome.RETURNED: 1}
        assert world.queries.get(RunId("run-1")).last_reason == "token expired"

    def test_it_is_said_once_a_minute_at_most(
        self, world: World, daemon: DaemonUnderTest, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.queue(a_run())
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("token expired")

        for _ in range(10):
            daemon.submit()
            world.clock.advance(timedelta(seconds=10))

        assert sum("token expired" in record.getMessage() for record in caplog.records) == 2


class TestMisconfiguredProviderOfManyRuns:
    """Only the first of many waiting runs are tried at a provider that accepts none; the others are bounded, too."""

    def test_runs_that_were_never_tried_end_soon_after_the_timeout(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(*(a_run(f"run-{number}") for number in range(30)))
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("token expired")
        for _ in range(24):
            daemon.submit()
            world.clock.advance(timedelta(hours=1))
        assert world.states() == {RunState.QUEUED}

        for _ in range(30):
            daemon.submit()
            world.clock.advance(timedelta(minutes=1))

        assert world.states() == {RunState.SYSTEM_ERROR}
        assert "given up after 1 day" in (world.run("run-29").error or "")

    def test_a_run_that_came_later_has_its_own_time(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run("run-1"))
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("token expired")
        daemon.submit()
        world.clock.advance(timedelta(hours=23))
        world.queue(a_run("run-2"))
        daemon.submit()
        world.clock.advance(timedelta(hours=2))
        daemon.submit()
        world.clock.advance(timedelta(minutes=1))

        daemon.submit()

        assert world.run("run-1").state is RunState.SYSTEM_ERROR
        assert world.run("run-2").state is RunState.QUEUED

    def test_a_provider_that_works_in_between_begins_the_time_anew(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run("run-1"), a_run("run-2"))
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("token expired")
        daemon.submit()
        world.clock.advance(timedelta(hours=23))
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Refusing({"wes-run-2"})
        daemon.submit()
        assert world.run("run-1").state is RunState.INITIALIZING
        world.clock.advance(timedelta(hours=2))
        world.directory.providers[ProviderType.SEVENBRIDGES] = Misconfigured("token expired")

        daemon.submit()

        assert world.run("run-2").state is RunState.QUEUED
        assert world.queries.get(RunId("run-2")).last_reason == "token expired"


class TestRefusalThatDoesNotSayWhomItConcerns:
    """The rule that a refusal is the run's when another run succeeds with the same set-up (B1, B2)."""

    @pytest.fixture(name="provider")
    def refusing_provider(self, world: World) -> "_Refusing":
        provider = _Refusing({"wes-run-1"})
        world.directory.providers[ProviderType.SEVENBRIDGES] = provider
        return provider

    def test_it_ends_its_run_once_others_were_accepted_after_two_refusals(
        self, world: World, daemon: DaemonUnderTest, provider: "_Refusing"
    ) -> None:
        world.queue(a_run("run-1"))
        daemon.submit()
        for accepted in ("run-2", "run-3"):
            assert world.run("run-1").state is RunState.QUEUED
            world.clock.advance(timedelta(seconds=10))
            world.queue(a_run(accepted))
            daemon.submit()
            world.clock.advance(timedelta(seconds=30))
            daemon.submit()

        assert world.run("run-1").state is RunState.SYSTEM_ERROR
        assert world.run("run-1").error == (
            "HTTP 403; the refusal concerns this run, since sevenbridges accepts others with the same set-up"
        )
        assert provider.started == ["wes-run-2", "wes-run-3"]

    def test_an_acceptance_before_it_proves_nothing(
        self, world: World, daemon: DaemonUnderTest, provider: "_Refusing"
    ) -> None:
        """The set-up may have stopped working in between."""
        world.queue(a_run("run-2"))
        daemon.submit()
        world.queue(a_run("run-1"))

        for _ in range(3):
            world.clock.advance(timedelta(minutes=1))
            daemon.submit()

        assert world.run("run-1").state is RunState.QUEUED

    def test_it_ends_no_run_while_every_run_is_refused(
        self, world: World, daemon: DaemonUnderTest, provider: "_Refusing"
    ) -> None:
        provider.refused.add("wes-run-2")
        world.queue(a_run("run-1"), a_run("run-2"))

        for _ in range(5):
            daemon.submit()
            world.clock.advance(timedelta(minutes=1))

        assert world.states() == {RunState.QUEUED}

    def test_it_lets_another_run_be_tried_before_the_refused_one(
        self, world: World, daemon: DaemonUnderTest, provider: "_Refusing"
    ) -> None:
        world.queue(a_run("run-1"), a_run("run-2"))
        daemon.submitting(pool=InlineExecutor(), policy=a_submission_policy(batch=1))()
        world.clock.advance(timedelta(seconds=2))

        daemon.submit()

        assert provider.started == ["wes-run-2"]

    def test_runs_in_doubt_that_are_found_prove_nothing(
        self, world: World, daemon: DaemonUnderTest, provider: "_Refusing"
    ) -> None:
        """The provider accepted them earlier: the set-up may have stopped working since."""
        provider.refused.clear()
        world.queue(*(a_run(f"run-{number}") for number in range(2, 6)))
        for number in range(2, 6):
            provider.lose_answer_of(f"wes-run-{number}")
        daemon.submit()
        assert len(provider.started) == 4
        provider.refused.add("wes-run-1")
        world.queue(a_run("run-1"))

        for number in range(2, 6):
            daemon.submit()
            provider.found.add(f"wes-run-{number}")
            world.clock.advance(timedelta(minutes=11))
            daemon.submit()
            world.clock.advance(timedelta(seconds=31))

        assert world.run("run-1").state is RunState.QUEUED
        assert world.run("run-5").state is RunState.INITIALIZING

    def test_a_run_that_may_have_been_started_needs_review_instead(
        self, world: World, daemon: DaemonUnderTest, provider: "_Refusing"
    ) -> None:
        provider.refused.clear()
        provider.fail_next(OutcomeUnknown("timeout"))
        world.queue(a_run("run-1"))
        daemon.submit()
        provider.refused.add("wes-run-1")

        for number in range(2, 6):
            world.clock.advance(timedelta(minutes=20))
            daemon.submit()
            world.queue(a_run(f"run-{number}"))
            world.clock.advance(timedelta(seconds=10))
            daemon.submit()

        record = world.queries.get(RunId("run-1"))
        assert (record.run.state, record.submission) == (RunState.QUEUED, SubmissionState.REVIEW)
        assert "accepts others with the same set-up" in (record.last_reason or "")

    @pytest.mark.parametrize(
        ("accepted", "provider", "is_to_blame"),
        [
            pytest.param("run-2", ProviderType.SEVENBRIDGES, True, id="another run"),
            pytest.param("run-1", ProviderType.SEVENBRIDGES, False, id="the run itself, which is then judged anew"),
            pytest.param("run-2", ProviderType.HEALTHOMICS, False, id="a run at another provider"),
        ],
    )
    def test_an_acceptance_contradicts_the_refusals_of_other_runs_at_its_provider(
        self, accepted: str, provider: ProviderType, is_to_blame: bool
    ) -> None:
        clock = ManualClock()
        evidence = SetUpEvidence(clock.monotonic)
        for _ in range(2):
            evidence.is_run_to_blame(a_run("run-1"), ProviderType.SEVENBRIDGES)
            clock.advance(timedelta(seconds=1))
            evidence.note_acceptance(a_run(accepted), provider, sent_at=clock.monotonic())

        assert evidence.is_run_to_blame(a_run("run-1"), ProviderType.SEVENBRIDGES) is is_to_blame

    @pytest.mark.parametrize(
        ("accepted", "refused", "is_to_blame"),
        [
            pytest.param({"roleArn": "own"}, {}, False, id="a run with a role of its own, of one with the configured"),
            pytest.param({}, {"roleArn": "own"}, True, id="a run with the configured role, of one with its own"),
            pytest.param({"cacheId": "1"}, {"cacheId": "2", "priority": 1}, True, id="a run that names no more"),
        ],
    )
    def test_an_acceptance_proves_nothing_about_settings_that_its_run_does_not_use(
        self, accepted: dict[str, object], refused: dict[str, object], is_to_blame: bool
    ) -> None:
        clock = ManualClock()
        evidence = SetUpEvidence(clock.monotonic)
        for _ in range(2):
            evidence.is_run_to_blame(with_engine_parameters(a_run("run-1"), refused), ProviderType.HEALTHOMICS)
            clock.advance(timedelta(seconds=1))
            run = with_engine_parameters(a_run("run-2"), accepted)
            evidence.note_acceptance(run, ProviderType.HEALTHOMICS, sent_at=clock.monotonic())

        run = with_engine_parameters(a_run("run-1"), refused)
        assert evidence.is_run_to_blame(run, ProviderType.HEALTHOMICS) is is_to_blame

    def test_withdrawn_runs_do_not_fill_the_memory(self) -> None:
        evidence = SetUpEvidence(ManualClock().monotonic)

        for number in range(10_010):
            evidence.is_run_to_blame(a_run(f"run-{number}"), ProviderType.SEVENBRIDGES)

        assert len(evidence._refusals) == 10_000


def with_engine_parameters(run: Run, parameters: dict[str, object]) -> Run:
    return replace(run, request=replace(run.request, workflow_engine_parameters=parameters))


class _Refusing(MemoryProvider):
    """Refuses the runs of these idempotency keys without saying whom the refusal concerns."""

    def __init__(self, refused: set[str]) -> None:
        super().__init__()
        self.refused = refused
        self.found: set[str] = set()
        self._unanswered: set[str] = set()

    def lose_answer_of(self, key: str) -> None:
        """Start this run without an answer, and let later calls find it only once its key is in `found`."""
        self._unanswered.add(key)

    def submit(self, submission: Submission) -> Accepted | Prepared:
        if submission.key in self.refused:
            raise AmbiguousRefusal("HTTP 403")
        accepted = super().submit(submission)
        if submission.key in self._unanswered - self.found:
            raise OutcomeUnknown("timeout")
        return accepted


class TestWhenTheServiceChangesARunMeanwhile:
    def test_the_error_of_an_earlier_submission_is_removed_when_the_run_is_accepted(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        """A person corrects the run and sets it to QUEUED again (B6)."""
        world.queue(a_run(tags={"error": "refused: reads is missing", "project": "p"}))

        daemon.submit()

        assert world.run().tags == {"project": "p", "provider_type": "sevenbridges", "provider_id": "memory-1"}

    def test_a_run_cancelled_during_its_submission_is_held_as_cancelling(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run())
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Interrupted(
            world, lambda: world.set_state("run-1", RunState.CANCELING)
        )

        daemon.submit()

        assert world.run().state is RunState.CANCELING
        assert world.run().tags == {"provider_type": "sevenbridges", "provider_id": "memory-1"}

    def test_a_tag_that_the_service_added_meanwhile_is_kept(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Interrupted(
            world, lambda: world.store.insert(a_run(tags={"note": "urgent"}))
        )

        daemon.submit()

        assert world.run().tags == {"note": "urgent", "provider_type": "sevenbridges", "provider_id": "memory-1"}

    def test_a_row_deleted_meanwhile_is_no_error(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Interrupted(
            world, lambda: world.store.tables.runs.clear()
        )

        report = daemon.submit()

        assert report.accepted == 1
        assert world.store.tables.submissions[RunId("run-1")].provider_run_id == "memory-1"

    def test_a_queued_run_with_copied_tags_is_a_run_of_its_own(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run(tags={"provider_type": "sevenbridges", "provider_id": "an-older-run"}))

        daemon.submit()

        assert world.provider.started == ["wes-run-1"]
        assert world.run().tags == {"provider_type": "sevenbridges", "provider_id": "memory-1"}


class TestServing:
    def test_an_active_row_that_names_a_service_of_another_program_is_not_followed(self, world: World) -> None:
        world.submission_policy = a_submission_policy(known_providers=ALL_PROVIDERS)
        world.queue(
            a_run("theirs", RunState.RUNNING, tags={"provider_type": "nextflow-tower", "provider_id": "task-7"}),
            a_run("ours", RunState.RUNNING, tags={"provider_type": "sevenbridges", "provider_id": "task-8"}),
        )

        world.daemon().submit()

        assert world.queries.get(RunId("theirs")).submission is None
        assert world.queries.get(RunId("ours")).run.provider_run_id == "task-8"

    def test_an_instance_leaves_the_runs_of_other_providers_alone(self, world: World) -> None:
        local = MemoryProvider()
        world.directory.providers[ProviderType.LOCAL] = local
        world.queue(a_run("run-1"), a_run("run-2", tags={"provider_type": "local"}))

        world.daemon(serving=[ProviderType.LOCAL]).submit()

        assert (world.provider.started, local.started) == ([], ["wes-run-2"])

    def test_a_run_whose_provider_cannot_be_told_is_left_to_the_instance_of_the_default_one(self, world: World) -> None:
        world.queue(a_run(tags={"provider_type": "azure batch"}))

        by_others = world.daemon(serving=[ProviderType.LOCAL, ProviderType.HEALTHOMICS]).submit()
        by_default = world.daemon(serving=[ProviderType.SEVENBRIDGES]).submit()

        assert (by_others.outcomes, by_default.outcomes) == ({}, {Outcome.REJECTED: 1})

    def test_a_run_whose_tags_were_changed_goes_out_by_the_instance_of_its_new_provider(self, world: World) -> None:
        local = MemoryProvider()
        world.directory.providers[ProviderType.LOCAL] = local
        world.queue(a_run())
        ours, theirs = (world.daemon(serving=[type]) for type in (ProviderType.SEVENBRIDGES, ProviderType.LOCAL))
        world.provider.fail_next(NotNow("busy"))
        ours.submit()
        world.store.insert(a_run(tags={"provider_type": "local"}))
        world.clock.advance(timedelta(seconds=6))

        ours.submit()
        theirs.submit()

        assert (world.provider.started, local.started) == ([], ["wes-run-1"])


class TestStopping:
    def test_nothing_new_is_begun(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        daemon.stop.set()

        daemon.submit()

        assert world.provider.calls == []

    def test_what_is_only_claimed_is_released(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run("run-1"), a_run("run-2"))
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Interrupted(world, daemon.stop.set)

        report = daemon.submit()

        assert report.outcomes == {Outcome.ACCEPTED: 1, Outcome.RETURNED: 1}
        assert world.store.tables.submissions[RunId("run-2")].state is SubmissionState.READY


class TestWhenTheDatabaseIsAway:
    def test_an_answer_waits_for_it(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run())
        daemon.submit()  # enrols and submits run-1; the next one meets the outage
        world.queue(a_run("run-2"))
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Interrupted(world, lambda: _cut(world, times=3))

        report = daemon.submit()

        assert report.accepted == 1
        assert len(daemon.wakeup.waits) == 3
        assert world.run("run-2").state is RunState.INITIALIZING

    def test_a_daemon_that_is_to_stop_leaves_the_intent_to_the_next(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(a_run())

        def cut_and_stop() -> None:
            _cut(world, times=3)
            daemon.stop.set()

        world.directory.providers[ProviderType.SEVENBRIDGES] = _Interrupted(world, cut_and_stop)
        assert daemon.submit().outcomes == {Outcome.IN_DOUBT: 1}
        world.units = world.plain_units
        world.clock.advance(LEASE)

        world.daemon().submit()

        assert world.provider.started == ["wes-run-1"]
        assert world.run().state is RunState.INITIALIZING


class _Interrupted(MemoryProvider):
    """The world's provider, but something happens while the call is under way."""

    def __init__(self, world: World, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._world = world
        self._meanwhile = meanwhile

    def submit(self, submission: Submission) -> Accepted | Prepared:
        answer = self._world.provider.submit(submission)
        self._meanwhile()
        return answer


class _Sleeping(_Interrupted):
    """The call takes longer than the lease, and another daemon takes over."""

    def __init__(self, world: World, successor: DaemonUnderTest) -> None:
        def take_over() -> None:
            world.directory.providers[ProviderType.SEVENBRIDGES] = world.provider
            world.clock.advance(LEASE)
            successor.submit()

        super().__init__(world, take_over)


class _LongQueue(MemoryUnitOfWork):
    """Enrolling queued rows takes some time."""

    def __init__(self, world: World, looks: list[timedelta], time: timedelta) -> None:
        super().__init__(world.store)
        self._clock = world.clock
        self._looks = looks
        self._time = time

    @property
    def submissions(self) -> MemorySubmissionQueue:
        clock, looks, time = self._clock, self._looks, self._time

        class LongQueue(MemorySubmissionQueue):
            def enrol_queued(self, *arguments: Any, **options: Any) -> int:
                looks.append(clock.monotonic())
                clock.advance(time)
                return super().enrol_queued(*arguments, **options)

        return LongQueue(self._copy, clock)


class _Slow(MemoryUnitOfWork):
    """Entering it takes longer than a lease lasts, as for a lock that a sleeping process holds."""

    def __init__(self, world: World) -> None:
        super().__init__(world.store)
        self._clock = world.clock

    def __enter__(self) -> Self:
        self._clock.advance(LEASE)
        return super().__enter__()


def _claim_and_die(world: World) -> None:
    owner = world.daemon().daemon_session.id
    with world.units() as work:
        work.submissions.enrol(lambda _: ProviderType.SEVENBRIDGES, limit=10)
        work.submissions.claim(
            owner,
            limit=10,
            concurrency_limit=10,
            serving=[ProviderType.SEVENBRIDGES],
            destination=lambda _: ProviderType.SEVENBRIDGES,
        )
        work.commit()


def _preparing(world: World) -> PreparingMemoryProvider:
    provider = PreparingMemoryProvider()
    world.directory.providers[ProviderType.SEVENBRIDGES] = provider
    return provider


def _after_preparing(provider: PreparingMemoryProvider, happen: Callable[[], None]) -> None:
    submit = provider.submit

    def first_call(submission: Submission) -> Accepted | Prepared:
        provider.submit = submit  # type: ignore[method-assign]
        answer = submit(submission)
        happen()
        return answer

    provider.submit = first_call  # type: ignore[method-assign]


def _cut(world: World, *, times: int) -> None:
    left = [times]

    def units() -> UnitOfWork:
        if left[0] > 0:
            left[0] -= 1
            raise StorageUnavailable("the database is away")
        return world.plain_units()

    world.units = units


class _Attentive(MemoryProvider):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Submission] = []

    def submit(self, submission: Submission) -> Accepted | Prepared:
        self.asked.append(submission)
        return super().submit(submission)


class TestCallsUnderWay:
    def test_what_providers_have_accepted_is_recorded_although_the_next_claim_fails(
        self, world: World, daemon: DaemonUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.queue(*(a_run(f"run-{number}") for number in range(1, 7)))
        claim_has_failed, claims = Event(), count(1)
        submit = world.provider.submit

        def slowly(submission: Submission) -> Accepted | Prepared:
            if submission.run_id in ("run-3", "run-4"):
                assert claim_has_failed.wait(timeout=60)
            return submit(submission)

        def fail_at_the_second(point: str) -> None:
            if point == "claim.before_commit" and next(claims) == 2:
                claim_has_failed.set()
                raise StorageUnavailable("gone for a moment")

        monkeypatch.setattr(world.provider, "submit", slowly)
        fault_points.listen(fail_at_the_second)
        with ThreadPoolExecutor(4) as threads, pytest.raises(StorageUnavailable):
            daemon.submitting(pool=threads, policy=a_submission_policy(batch=4))()
        fault_points.listen(None)

        states = {id: world.run(id).state for id in ("run-1", "run-2", "run-3", "run-4", "run-5", "run-6")}
        assert [id for id, state in states.items() if state is RunState.INITIALIZING] == list(states)[:4]
        assert sorted(world.provider.started) == ["wes-run-1", "wes-run-2", "wes-run-3", "wes-run-4"]

    def test_a_call_that_ends_as_nobody_foresaw_keeps_no_other_from_being_recorded(
        self, world: World, daemon: DaemonUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.queue(a_run("run-1"), a_run("run-2"))
        submit = daemon.submit._submit_claimed_run._submit

        def broken(claimed: ClaimedRun) -> object:
            if claimed.run.id == "run-1":
                raise LeaseLost("where nobody expects it")
            return submit(claimed)

        monkeypatch.setattr(daemon.submit._submit_claimed_run, "_submit", broken)

        report = daemon.submit()

        assert report.outcomes == {Outcome.IN_DOUBT: 1, Outcome.ACCEPTED: 1}

    def test_what_was_claimed_before_a_provider_turned_out_to_be_unusable_is_not_sent(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        world.queue(*(a_run(f"run-{number}") for number in range(1, 4)))
        world.provider.fail_next(Misconfigured("token expired"))

        daemon.submitting(pool=InlineExecutor(), policy=a_submission_policy(batch=3))()

        assert world.provider.calls.count("submit") == 1
        assert world.states() == {RunState.QUEUED}

    def test_a_pass_tells_how_many_are_to_be_tried_again(self, world: World, daemon: DaemonUnderTest) -> None:
        world.queue(a_run("run-1"), a_run("run-2"), a_run("run-3"))
        world.provider.fail_next(NotNow("busy"), OutcomeUnknown("timeout"))

        report = daemon.submit()

        assert (report.to_retry, report.accepted) == (2, 1)

    def test_what_is_queued_while_a_pass_is_under_way_goes_out_with_it(
        self, world: World, daemon: DaemonUnderTest
    ) -> None:
        def another_is_queued() -> None:
            world.clock.advance(timedelta(seconds=1))
            if len(world.store.runs) == 1:
                world.store.insert(a_run("run-2"))

        world.queue(a_run("run-1"))
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Interrupted(world, another_is_queued)

        assert daemon.submit().accepted == 2

    @pytest.mark.parametrize(
        ("call", "look", "looks"),
        [
            # Once a second.
            (0.1, 0, 3),
            # Or a twentieth of the time.
            (1, 2, 1),
            # Or once a minute.
            (5, 30, 3),
        ],
    )
    def test_what_is_queued_is_looked_through_seldom(self, call: float, look: float, looks: int) -> None:
        world = World(submission_policy=a_submission_policy(concurrency_limit=100, batch=1))
        world.queue(*[a_run(f"run-{number}") for number in range(30)])
        world.directory.providers[ProviderType.SEVENBRIDGES] = _Interrupted(
            world, lambda: world.clock.advance(timedelta(seconds=call))
        )
        made = list[timedelta]()
        world.units = lambda: _LongQueue(world, made, timedelta(seconds=look))

        assert world.daemon().submit().accepted == 30
        # The first is that of the pass itself.
        assert len(made) == 1 + looks

    def test_a_share_that_comes_while_a_backlog_goes_out_has_its_turn_at_once(
        self, world: World, daemon: DaemonUnderTest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.queue(*(a_run(f"a-{number:02}", tags={"project": "a"}) for number in range(20)))
        submit = world.provider.submit

        def slowly(submission: Submission) -> Accepted | Prepared:
            world.clock.advance(timedelta(seconds=2))
            if submission.run_id == "a-00":
                world.store.insert(a_run("b-00", tags={"project": "b"}))
            return submit(submission)

        monkeypatch.setattr(world.provider, "submit", slowly)
        policy = a_submission_policy(batch=2, concurrency_limit=100, share_tag="project")
        daemon.submitting(pool=InlineExecutor(), policy=policy)()

        assert world.provider.started.index(IdempotencyKey("wes-b-00")) <= 3
