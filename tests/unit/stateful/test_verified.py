"""The copy on which the judge verifies shows violations of the memory tables."""

from datetime import timedelta

from tests.builders import NOON, a_run
from tests.unit.stateful.verified import verified
from wes_daemon.adapters.memory.store import PollRow, SubmissionRow, Tables
from wes_daemon.application.ports.checks import CheckContext
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderRunId, ProviderType, RunId
from wes_daemon.domain.states import RunState

RUN = RunId("run-1")
LOCAL = ProviderType.LOCAL
CONTEXT = CheckContext(concurrency_limit=1, default_provider=LOCAL)


def violated(tables: Tables) -> list[str]:
    return [result.check.name for result in verified(tables, NOON, CONTEXT) if not result.passed]


def submission(state: SubmissionState, **changes: object) -> SubmissionRow:
    return SubmissionRow(provider=LOCAL, state=state, enrolled_at=NOON, not_before=NOON, **changes)  # type: ignore[arg-type]


def accepted() -> Tables:
    """An accepted run that is polled in a moment."""
    poll = PollRow(
        provider=LOCAL,
        provider_run_id=ProviderRunId("at-run-1"),
        next_check_at=NOON + timedelta(minutes=1),
        known_state=RunState.RUNNING,
    )
    row = submission(SubmissionState.ACCEPTED, provider_run_id=ProviderRunId("at-run-1"), claim_seq=1)
    return Tables(runs={RUN: a_run(state=RunState.RUNNING)}, submissions={RUN: row}, polls={RUN: poll})


def test_tables_without_violations_show_only_that_no_daemon_is_alive() -> None:
    assert violated(accepted()) == ["a-daemon-lives"]


def test_violations_of_the_tables_are_found() -> None:
    tables = accepted()
    tables.submissions[RunId("run-2")] = tables.submissions[RUN]

    assert violated(tables) == ["one-run-each", "accepted-is-followed", "a-daemon-lives", "cap-is-kept"]


def test_times_are_compared_on_the_clock_of_the_tables() -> None:
    tables = Tables(runs={RUN: a_run()})
    tables.submissions[RUN] = submission(SubmissionState.INTENT, owner=SessionId("gone"), claim_seq=1)
    at_noon = violated(tables)
    later = verified(tables, NOON + timedelta(hours=1), CONTEXT)

    assert "owners-live" not in at_noon
    assert "owners-live" in [result.check.name for result in later if not result.passed]
