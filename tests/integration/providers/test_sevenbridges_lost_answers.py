"""Lost answers of Seven Bridges: no run starts twice, no run is lost, and no draft stays."""

import json
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import (
    Caller,
    SevenBridgesHarness,
)
from tests.simulators.sevenbridges import faults
from tests.simulators.sevenbridges.faults import Fault, Reply
from wes_daemon.application.ports.errors import (
    NotNow,
    OutcomeUnknown,
)
from wes_daemon.application.ports.providers import Prepared
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.testing import accept

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
                # Sometimes another process continues, without the first one's memory.
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

    def test_a_start_that_cannot_be_checked_is_in_doubt(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of()
        harness.platform.faults.add("run_task", faults.CUT_AFTER)
        harness.platform.faults.add("get_task", faults.TOO_MANY)

        with pytest.raises(OutcomeUnknown):
            accept(provider, submission)

        assert harness.starts(submission.key) == 1

    def test_a_start_after_which_the_draft_still_shows_is_a_doubt(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of()
        id = provider.submit(submission).id
        unmoved = json.dumps({"id": id, "status": "DRAFT"})
        harness.platform.faults.add("run_task", Fault(reply=Reply.CANNED, body=unmoved))

        with pytest.raises(OutcomeUnknown, match="still shows it as a draft"):
            provider.submit(replace(submission, prepared_id=id))

        assert harness.starts(submission.key) == 0
