"""Mutants of the in-memory adapters, which mirror rules of the database."""

import ast
from collections.abc import Sequence

from tests.mutations.changes import drop, filled, never, replace
from tests.mutations.mutant import Mutant
from tests.mutations.picks import call, field_of, has, the, uses
from wes_daemon.adapters.memory import rows
from wes_daemon.adapters.memory.leases import MemoryLeaseRepository
from wes_daemon.adapters.memory.polls import MemoryPollSchedule
from wes_daemon.adapters.memory.store import DaemonRow, SubmissionRow
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.application.ports.submissions import SubmissionState

_MEMORY = "tests/unit/adapters/test_memory_persistence.py::TestMemoryPersistence"

MEMORY: Sequence[Mutant] = (
    Mutant(
        name="no-fence-in-memory",
        breaks="A daemon whose lease has expired overwrites what its successor has recorded.",
        at=MemorySubmissionQueue._claimed_row,
        change=drop(the(ast.Compare, has(ast.NotEq))),
        tests=[f"{_MEMORY}::test_whoever_slept_through_a_takeover_records_nothing"],
    ),
    Mutant(
        name="no-state-in-memory",
        breaks="A submission that is settled or needs review is overwritten by the holder of an old claim.",
        at=MemorySubmissionQueue._claimed_row,
        change=drop(the(ast.Compare, has(ast.NotIn))),
        tests=[f"{_MEMORY}::test_a_claim_on_what_is_not_open_any_more_records_nothing"],
    ),
    Mutant(
        name="sent-as-the-row-is-now-in-memory",
        breaks="A request that may have been sent is sent again with other contents under the same idempotency key.",
        at=MemorySubmissionQueue._claim_one,
        change=never(the(ast.If, uses(field_of(SubmissionRow).sent))),
        tests=[f"{_MEMORY}::test_what_is_sent_again_is_what_was_first_sent"],
    ),
    Mutant(
        name="doubt-forgotten-in-memory",
        breaks="An attempt that may have started the run is forgotten when a later attempt certainly did not.",
        at=MemorySubmissionQueue._returned_row,
        change=drop(the(ast.UnaryOp, has(ast.Not))),
        tests=[f"{_MEMORY}::test_what_an_earlier_call_may_have_started_stays_an_intent"],
    ),
    Mutant(
        name="taken-from-the-living-in-memory",
        breaks="Two daemons work on one run, because claims of daemons with a valid lease are taken over.",
        at=MemorySubmissionQueue._may_be_taken_over,
        change=replace(the(ast.Return, uses(field_of(DaemonRow).lease_until)), "return True"),
        tests=[f"{_MEMORY}::test_what_a_live_daemon_holds_is_not_claimed_by_another"],
    ),
    Mutant(
        name="never-taken-over-in-memory",
        breaks="The runs that a daemon had claimed when it died are never taken over.",
        at=MemorySubmissionQueue._may_be_taken_over,
        change=replace(the(ast.BoolOp, uses(field_of(DaemonRow).lease_until)), lambda it: it.values[0]),
        tests=[f"{_MEMORY}::test_what_a_dead_daemon_held_is_taken_over"],
    ),
    Mutant(
        name="claim-without-lease-in-memory",
        breaks="A daemon whose lease has expired claims runs, which others take over at once.",
        at=MemorySubmissionQueue.claim,
        change=drop(call(MemorySubmissionQueue._require_lease)),
        tests=[f"{_MEMORY}::test_a_daemon_without_a_lease_that_lasts_claims_nothing"],
    ),
    Mutant(
        name="dead-lease-renewed-in-memory",
        breaks="A daemon whose runs were taken over renews its lease and continues.",
        at=MemoryLeaseRepository.renew,
        change=drop(the(ast.Compare, uses(field_of(DaemonRow).lease_until))),
        tests=[f"{_MEMORY}::test_a_lease_that_ran_out_cannot_be_renewed"],
    ),
    Mutant(
        name="review-sends-by-itself-in-memory",
        breaks="A run that needs review is submitted again by the next daemon.",
        at=MemorySubmissionQueue._may_be_taken_over,
        change=replace(
            the(ast.Compare, has(ast.NotIn)).part(lambda it: it.comparators[0]),
            "(*_, review)",
            review=SubmissionState.REVIEW,
        ),
        tests=[f"{_MEMORY}::test_a_run_that_needs_review_has_its_reason_and_is_not_claimed"],
    ),
    Mutant(
        name="provider-limit-ignored-in-memory",
        breaks="A provider gets more runs than its own limit allows.",
        at=rows._below_provider_limit,
        change=replace(the(ast.SetComp), "set()"),
        tests=[f"{_MEMORY}::test_the_cap_of_a_provider_is_not_passed"],
    ),
    Mutant(
        name="share-ignored-in-memory",
        breaks="A long queue of one group delays all other groups.",
        at=rows.next_runs,
        change=replace(the(ast.Lambda).part(lambda it: it.body), "0"),
        tests=[f"{_MEMORY}::test_a_long_queue_of_one_share_does_not_hold_up_another"],
    ),
    Mutant(
        name="withdrawn-though-it-may-run-in-memory",
        breaks="A run that a provider may have is closed because it is cancelled.",
        at=rows.withdrawn_runs,
        change=replace(
            the(ast.Compare, uses(SubmissionState.READY)),
            lambda it: filled("state in (ready, type(ready).INTENT)", state=it.left, ready=it.comparators[0]),
        ),
        tests=[f"{_MEMORY}::test_what_may_have_been_sent_is_not_withdrawn"],
    ),
    Mutant(
        name="canceled-though-a-provider-has-it-in-memory",
        breaks="A run ends as cancelled while it continues at its provider.",
        at=MemorySubmissionQueue._never_sent,
        change=replace(the(ast.Return, uses(SubmissionState.CLOSED)), "return True"),
        tests=["tests/unit/application/test_cancel_runs.py"],
    ),
    Mutant(
        name="late-answers-count-in-memory",
        breaks="A daemon that was too slow reschedules a run that another daemon is polling.",
        at=MemoryPollSchedule._current,
        change=replace(the(ast.IfExp), lambda it: it.body),
        tests=[f"{_MEMORY}::test_a_late_answer_is_refused_where_another_has_taken_the_run"],
    ),
)
