"""The machine finds bugs: each that is planted here breaks a promise, and an order of events that shows it is found."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.stateful.machine import AnyInterleaving
from wes_daemon.adapters.memory import submissions as queue
from wes_daemon.adapters.memory.polls import MemoryPollSchedule
from wes_daemon.adapters.memory.store import SubmissionRow
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.polls import DuePoll
from wes_daemon.application.ports.providers import Submission
from wes_daemon.application.ports.submissions import IN_DOUBT, Acceptance, Claim, ClaimedRun, SubmissionState
from wes_daemon.application.submitting.outcomes import OutcomeRecorder
from wes_daemon.application.submitting.submit_claimed_run import SubmitClaimedRun
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, RunSummary, StatusReport

_EXAMPLES = 2_000


class _Moments(AnyInterleaving):
    """Does not wait for what comes in the end, which takes longer than everything else."""

    def teardown(self) -> None:
        self.scene.close()


def _find(*, broken: str, machine: type[AnyInterleaving] = _Moments) -> None:
    """Search until a promise is found broken, in these words; in the same order every time."""
    with pytest.raises(AssertionError, match=broken):
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=_EXAMPLES,
                stateful_step_count=60,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.nightly
def test_it_finds_a_key_that_is_another_one_at_each_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = count(2)
    submission = SubmitClaimedRun._submission

    def forgetful(self: SubmitClaimedRun, claimed: ClaimedRun) -> Submission:
        made = submission(self, claimed)
        return replace(made, key=IdempotencyKey(f"{made.key}-{next(tries)}")) if made.resumed else made

    monkeypatch.setattr(SubmitClaimedRun, "_submission", forgetful)

    _find(broken="started twice")


@pytest.mark.nightly
def test_it_finds_that_a_daemon_records_what_it_no_longer_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def unguarded(self: MemorySubmissionQueue, claim: Claim) -> SubmissionRow:
        return self._tables.submissions[claim.run_id]

    def recorded_by_anybody(self: MemorySubmissionQueue, acceptance: Acceptance) -> bool:
        return self._tables.submissions[acceptance.claim.run_id].provider_run_id == acceptance.provider_run_id

    monkeypatch.setattr(MemorySubmissionQueue, "_claimed_row", unguarded)
    monkeypatch.setattr(MemorySubmissionQueue, "_is_recorded", recorded_by_anybody)

    _find(broken="started twice|not tracked|not polled|its submission is")


@pytest.mark.nightly
def test_it_finds_a_draft_that_is_started_before_it_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def unrecorded(self: OutcomeRecorder, claim: Claim, id: ProviderRunId) -> None:
        del self, claim, id

    monkeypatch.setattr(OutcomeRecorder, "commit_draft", unrecorded)

    _find(broken="started twice")


@pytest.mark.nightly
def test_it_finds_that_not_now_takes_back_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def certain(self: MemorySubmissionQueue, claim: Claim) -> SubmissionRow:
        row = self._claimed_row(claim)
        return replace(row, state=SubmissionState.READY) if row.state is SubmissionState.INTENT else row

    monkeypatch.setattr(MemorySubmissionQueue, "_returned_row", certain)

    _find(broken="not tracked")


@pytest.mark.nightly
def test_it_finds_a_cap_that_counts_only_what_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "COUNTED", (SubmissionState.ACCEPTED,))

    _find(broken="the cap is")


def test_it_finds_that_nobody_takes_over_from_the_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_own(self: MemorySubmissionQueue, row: SubmissionRow, owner: SessionId) -> bool:
        del self
        return row.state in IN_DOUBT and row.owner == owner

    monkeypatch.setattr(MemorySubmissionQueue, "_may_be_taken_over", only_own)

    _find(broken="never ended", machine=AnyInterleaving)


def test_it_finds_that_a_late_word_changes_a_run_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def gullible(self: RunSummary, report: StatusReport, at: datetime) -> RunSummary:
        return replace(self, state=report.state, end_time=at if report.state.has_ended else None)

    monkeypatch.setattr(RunSummary, "updated", gullible)

    _find(broken="changed after its end|went from")


def test_it_finds_a_run_that_is_no_longer_followed_once_it_could_not_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dropped(self: MemoryPollSchedule, polls: Collection[DuePoll], **_: object) -> None:
        for poll in polls:
            self._tables.polls.pop(poll.run_id, None)

    monkeypatch.setattr(MemoryPollSchedule, "defer", dropped)

    _find(broken="not polled")
