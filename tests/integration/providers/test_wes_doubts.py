"""Doubts of the WES provider: what becomes of a run whose answer was lost."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.providers.wes_fixtures import harness
from tests.integration.providers.wes_harness import WesHarness, wes_harness
from tests.simulators.wes import faults
from tests.simulators.wes.faults import Fault, refusing
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    AnswerLost,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    Rejected,
    Unprovable,
)
from wes_daemon.application.ports.providers import Idempotency, Submission
from wes_daemon.domain.runs import Unreadable
from wes_daemon.testing import accept

__all__ = ["harness"]

LATER = timedelta(minutes=11)


def _in_doubt(submission: Submission, since: timedelta = timedelta(0)) -> Submission:
    return replace(submission, resumed=True, in_doubt_for=since)


class TestDoubts:
    def test_a_provider_says_that_it_submits_at_most_once(self, harness: WesHarness) -> None:
        assert harness.provider().limits.idempotency is Idempotency.AT_MOST_ONCE
        assert harness.provider(honours_key=True).limits.idempotency is Idempotency.KEY

    def test_a_run_whose_answer_was_lost_is_found_by_its_tag(self, harness: WesHarness) -> None:
        submission = harness.of()
        accept(harness.provider(), harness.of())
        harness.lose_answer(submission)
        accept(harness.provider(), harness.of())

        found = accept(harness.provider(), _in_doubt(submission))

        assert harness.model.runs[found].key == submission.key
        assert harness.starts(submission.key) == 1

    def test_a_run_that_is_not_found_is_in_doubt_and_then_needs_review(self, harness: WesHarness) -> None:
        harness.model.faults.add("run_workflow", faults.CUT_BEFORE)
        provider, submission = harness.provider(), harness.of()
        with pytest.raises(AnswerLost):
            provider.submit(submission)

        with pytest.raises(OutcomeUnknown, match="may not be listed yet") as doubt:
            provider.submit(_in_doubt(submission))
        with pytest.raises(Unprovable, match="is not sent again"):
            provider.submit(_in_doubt(submission, LATER))

        assert not isinstance(doubt.value, Unprovable)
        assert [call.operation for call in harness.model.calls].count("run_workflow") == 1

    def test_a_request_that_arrives_late_is_still_found(self, harness: WesHarness) -> None:
        harness.model.faults.add("run_workflow", faults.LATE)
        provider, submission = harness.provider(), harness.of()
        with pytest.raises(AnswerLost):
            provider.submit(submission)
        with pytest.raises(OutcomeUnknown):
            provider.submit(_in_doubt(submission))

        harness.model.deliver_late()

        assert accept(provider, _in_doubt(submission)) in harness.model.runs

    @pytest.mark.parametrize("server_says_so", [True, False])
    def test_a_server_that_honours_keys_gets_the_same_request_again(self, server_says_so: bool) -> None:
        config = {"honours_key": not server_says_so}
        with wes_harness(config=config, keeps_key=True, announces_key=server_says_so) as harness:
            provider, submission = harness.provider(), harness.of()
            harness.model.faults.add("run_workflow", faults.CUT_BEFORE)
            with pytest.raises(AnswerLost):
                provider.submit(submission)

            id = accept(provider, _in_doubt(submission, LATER))

            assert harness.model.started == [(id, submission.key)]

    def test_a_key_that_was_used_before_with_another_request_names_its_run(self) -> None:
        """The database was restored, and the run's row has changed."""
        with wes_harness(config={"honours_key": True}, keeps_key=True) as harness:
            submission = harness.of()
            id = accept(harness.provider(), submission)
            harness.clock.advance(timedelta(days=300))
            harness.model.faults.add("run_workflow", refusing(422), refusing(422))

            assert accept(harness.provider(), submission) == id
            harness.model.faults.add("run_workflow", refusing(422), refusing(422))
            with pytest.raises(Rejected):
                harness.provider().submit(harness.of())

    @pytest.mark.parametrize("answer", ["maybe", "", "yes", "true"])
    def test_only_the_documented_word_says_that_keys_are_honoured(self, harness: WesHarness, answer: str) -> None:
        body = json.dumps({"tags": {"idempotency_key": answer}})
        harness.model.faults.add("service_info", Fault(reply=faults.Reply.CANNED, body=body))

        with pytest.raises(Unprovable):
            harness.provider().submit(_in_doubt(harness.of(), LATER))

        assert harness.model.posts == []

    @pytest.mark.parametrize("fault", [refusing(400), refusing(422), refusing(413)])
    def test_a_refusal_after_a_doubt_rejects_nothing(self, harness: WesHarness, fault: Fault) -> None:
        harness.model.faults.add("run_workflow", fault, fault, fault, fault)
        provider = harness.provider(honours_key=True)

        with pytest.raises(OutcomeUnknown, match="an earlier attempt may have started a run"):
            provider.submit(_in_doubt(harness.of()))
        with pytest.raises(Unprovable):
            provider.submit(_in_doubt(harness.of(), LATER))

    def test_an_unclear_refusal_after_a_doubt_cannot_become_a_rejection(self, harness: WesHarness) -> None:
        harness.model.faults.add("run_workflow", refusing(403))

        with pytest.raises(Misconfigured) as raised:
            harness.provider(honours_key=True).submit(_in_doubt(harness.of()))

        assert not isinstance(raised.value, AmbiguousRefusal)

    def test_a_row_that_has_become_unreadable_is_searched_for_all_the_same(self, harness: WesHarness) -> None:
        submission = harness.of()
        harness.lose_answer(submission)
        broken = harness.of(Unreadable("{"), key=submission.key)

        assert accept(harness.provider(), _in_doubt(broken)) in harness.model.runs
        with pytest.raises(OutcomeUnknown):
            harness.provider(honours_key=True).submit(_in_doubt(harness.of(Unreadable("{"))))

    def test_a_search_that_fails_leaves_the_doubt_as_it_is(self, harness: WesHarness) -> None:
        harness.model.faults.add("list_runs", faults.CUT_BEFORE)

        with pytest.raises(NotNow):
            harness.provider().submit(_in_doubt(harness.of(), LATER))
