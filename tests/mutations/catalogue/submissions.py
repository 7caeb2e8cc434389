"""Mutants of submissions in the database: fencing, claims, takeover, review, withdrawal, concurrency limits."""

import ast
from collections.abc import Sequence

from sqlalchemy import and_, bindparam

from tests.mutations.changes import drop, filled, in_turn, never, replace
from tests.mutations.mutant import Mutant, Variable
from tests.mutations.picks import argument, call, calls, entry, has, receiver, the, uses
from wes_daemon.adapters.persistence import claiming, reconcile_queries, sharing, transactions
from wes_daemon.adapters.persistence.enrolment import _inserting, _make_ready, names_a_provider_run
from wes_daemon.adapters.persistence.expressions import is_one_of, of_same_run
from wes_daemon.adapters.persistence.leases import _update_valid
from wes_daemon.adapters.persistence.mapping import duration_from, with_request_values
from wes_daemon.adapters.persistence.submissions import (
    SqlSubmissionQueue,
    _cancelled_before_submission,
    _has_valid_claim,
    _needs_review,
    _recorded_acceptances,
    _withdrawn,
)
from wes_daemon.adapters.persistence.tables import daemons, submissions
from wes_daemon.application.ports import submissions as submission_port
from wes_daemon.application.ports.submissions import SubmissionState

_SQL = "tests/integration/persistence/test_contract.py::TestSqlPersistence"
_RACES = "tests/integration/persistence/test_races.py"

_FENCING: Sequence[Mutant] = (
    Mutant(
        name="no-fence-in-sql",
        breaks="A daemon whose lease has expired overwrites what its successor has recorded.",
        at=SqlSubmissionQueue._update,
        change=in_turn(
            drop(the(ast.Compare, uses(submissions.c.owner))), drop(the(ast.Compare, uses(submissions.c.claim_seq)))
        ),
        tests=[f"{_SQL}::test_whoever_slept_through_a_takeover_records_nothing"],
    ),
    Mutant(
        name="no-fencing-token-in-sql",
        breaks="An older claim of the same daemon is still valid.",
        at=SqlSubmissionQueue._update,
        change=drop(the(ast.Compare, uses(submissions.c.claim_seq))),
        tests=[f"{_SQL}::test_an_older_claim_of_the_same_daemon_records_nothing"],
    ),
    Mutant(
        name="no-owner-in-sql",
        breaks="A claim that its owner has ended is still valid.",
        at=SqlSubmissionQueue._update,
        change=drop(the(ast.Compare, uses(submissions.c.owner))),
        tests=[f"{_SQL}::test_a_claim_that_was_settled_tells_that_it_was"],
    ),
    Mutant(
        name="no-state-in-sql",
        breaks="A submission that is settled or needs review is overwritten by the holder of an old claim.",
        at=SqlSubmissionQueue._update,
        change=drop(call(is_one_of, uses(submissions.c.state))),
        tests=[f"{_SQL}::test_a_claim_on_what_is_not_open_any_more_records_nothing"],
    ),
    Mutant(
        name="no-fencing-token-for-many-in-sql",
        breaks="A daemon whose lease has expired records acceptances over what its successor does.",
        at=_has_valid_claim,
        change=in_turn(
            drop(the(ast.Compare, uses(submissions.c.owner))), drop(the(ast.Compare, uses(submissions.c.claim_seq)))
        ),
        tests=[f"{_SQL}::test_of_many_that_are_accepted_those_whose_claim_is_gone_are_left_out"],
    ),
    Mutant(
        name="no-state-for-many-in-sql",
        breaks="An acceptance or a draft is recorded for a submission that is settled or needs review.",
        at=_has_valid_claim,
        change=drop(call(is_one_of, uses(submissions.c.state))),
        tests=[f"{_SQL}::test_a_claim_on_what_is_not_open_any_more_records_nothing"],
    ),
    Mutant(
        name="forgotten-commit-of-many-in-sql",
        breaks="A run that is recorded counts as lost when the answer to the commit was lost.",
        at=SqlSubmissionQueue.record_acceptances,
        change=replace(the(ast.Return).the(ast.BinOp), lambda it: it.left),
        tests=[f"{_SQL}::test_what_was_accepted_before_under_the_same_claim_is_told_as_recorded"],
    ),
    Mutant(
        name="settled-otherwise-counts-as-accepted-in-sql",
        breaks="A run that was deferred counts as accepted by its provider.",
        at=_recorded_acceptances,
        change=drop(the(ast.Compare, uses(submissions.c.provider_run_id))),
        tests=[f"{_SQL}::test_what_was_settled_otherwise_is_not_told_as_accepted"],
    ),
    Mutant(
        name="fencing-token-stands-still",
        breaks="A run that is claimed again has the same fencing token, so the two claims cannot be distinguished.",
        at=claiming._recording_intents,
        change=replace(argument(submissions.c.claim_seq).the(ast.BinOp), lambda it: it.left),
        tests=[f"{_SQL}::test_an_older_claim_of_the_same_daemon_records_nothing"],
    ),
    Mutant(
        name="settled-claim-counts-as-lost",
        breaks="After a commit whose answer was lost, the daemon assumes that another daemon has claimed the run.",
        at=SqlSubmissionQueue._invalid_claim,
        change=never(the(ast.If)),
        tests=[f"{_SQL}::test_a_claim_that_was_settled_tells_that_it_was"],
    ),
)

_CLAIMS: Sequence[Mutant] = (
    Mutant(
        name="adopted-then-closed",
        breaks="A run that a person has adopted is closed by an earlier claim when its row is deleted meanwhile.",
        at=claiming._begin,
        change=replace(
            call(claiming._without_deleted).part(lambda it: it.args[0]), "rows", rows=call(claiming._submission_rows)
        ),
        tests=[f"{_RACES}::test_a_run_that_was_adopted_after_it_was_chosen_stays_adopted_though_its_row_is_deleted"],
    ),
    Mutant(
        name="claim-without-intent",
        breaks="A claimed run shows no sign of a call, so with its claim it is forgotten that it is in doubt.",
        at=claiming._recording_intents,
        change=drop(argument(submissions.c.state)),
        tests=[f"{_SQL}::test_what_a_daemon_held_when_its_lease_ran_out_is_taken_over"],
    ),
    Mutant(
        name="sent-as-the-row-is-now-in-sql",
        breaks="A request that may have been sent is sent again with other contents under the same idempotency key.",
        at=claiming._resumed_run_from,
        change=replace(call(with_request_values), lambda it: it.args[0]),
        tests=[f"{_SQL}::test_what_is_sent_again_is_what_was_first_sent"],
    ),
    Mutant(
        name="doubt-forgotten-in-sql",
        breaks="An attempt that may have started the run is forgotten when a later attempt certainly did not.",
        at=claiming._takeover,
        change=replace(argument(submissions.c.returns_to), "ready", ready=SubmissionState.READY),
        tests=[f"{_SQL}::test_what_an_earlier_call_may_have_started_stays_an_intent"],
    ),
    Mutant(
        name="doubt-counted-from-the-last-claim",
        breaks="The time for which a run has been in doubt never grows, so a forgotten idempotency key is sent again.",
        at=claiming._resumed_run_from,
        change=replace(call(duration_from).part(lambda it: it.args[0]), "0"),
        tests=[f"{_SQL}::test_doubt_counts_from_the_first_intent"],
    ),
    Mutant(
        name="doubt-without-a-beginning",
        breaks="The time of the first intent is not recorded, so a run is never in doubt for too long.",
        at=claiming._recording_intents,
        change=drop(argument(submissions.c.intent_at)),
        tests=[f"{_SQL}::test_doubt_counts_from_the_first_intent"],
    ),
    Mutant(
        name="taken-from-the-living-in-sql",
        breaks="Two daemons work on one run, because claims of daemons with a valid lease are taken over.",
        at=claiming._available_in_doubt,
        change=in_turn(
            drop(the(ast.Compare, calls(bindparam))),
            replace(call("not_in"), lambda it: filled("owner.is_not(None)", owner=receiver(it))),
        ),
        tests=[f"{_SQL}::test_what_a_live_daemon_holds_is_not_claimed_by_another"],
    ),
    Mutant(
        name="never-taken-over-in-sql",
        breaks="The runs that a daemon had claimed when it died are never taken over.",
        at=claiming._available_in_doubt,
        change=drop(call("not_in")),
        tests=[f"{_SQL}::test_what_a_dead_daemon_held_is_taken_over"],
    ),
    Mutant(
        name="claim-without-lease-in-sql",
        breaks="A daemon whose lease has expired claims runs, which others take over at once.",
        at=claiming.claim,
        change=drop(call(claiming._require_lease)),
        tests=[f"{_SQL}::test_a_daemon_without_a_lease_that_lasts_claims_nothing"],
    ),
    Mutant(
        name="dead-lease-renewed-in-sql",
        breaks="A daemon whose runs were taken over renews its lease and continues.",
        at=_update_valid,
        change=drop(the(ast.Compare, uses(daemons.c.lease_until))),
        tests=[f"{_SQL}::test_a_lease_that_ran_out_cannot_be_renewed"],
    ),
    Mutant(
        name="claimed-before-its-time",
        breaks="A run in doubt is claimed again and again without a delay.",
        at=claiming._available_in_doubt,
        change=replace(
            the(ast.Compare, uses(submissions.c.not_before)),
            lambda it: filled("not_before.is_not(None)", not_before=it.left),
        ),
        tests=[f"{_SQL}::test_an_unresolved_run_keeps_its_intent_and_is_resumed_by_anybody_in_its_time"],
    ),
    Mutant(
        name="claimed-though-withdrawn",
        breaks="A run that was cancelled after it was chosen is submitted all the same.",
        at=claiming._begin,
        change=drop(the(ast.Compare, uses(SubmissionState.READY))),
        tests=[f"{_RACES}::test_a_run_that_is_withdrawn_after_it_was_chosen_is_not_claimed"],
    ),
    Mutant(
        name="enrolled-twice",
        breaks="Daemons that enrol at once fail on each other's rows.",
        at=_inserting,
        change=replace(call("on_conflict_do_nothing"), receiver),
        tests=[f"{_SQL}::test_daemons_that_enrol_at_once_enrol_each_row_once"],
    ),
)

_REVIEW: Sequence[Mutant] = (
    Mutant(
        name="review-sends-by-itself-in-sql",
        breaks="A run that needs review is submitted again by the next daemon.",
        at=claiming._available_in_doubt,
        change=replace(the(ast.Starred).part(lambda it: it.value), "(*_, review)", review=SubmissionState.REVIEW),
        tests=[f"{_SQL}::test_a_run_that_needs_review_has_its_reason_and_is_not_claimed"],
    ),
    Mutant(
        name="doubt-closed-with-its-row",
        breaks="A run in doubt is forgotten when its row is deleted, although a provider may have it.",
        at=claiming._resume,
        change=replace(the(ast.Attribute, uses(SubmissionState.REVIEW)), "closed", closed=SubmissionState.CLOSED),
        tests=[f"{_SQL}::test_a_run_whose_row_was_deleted_while_in_doubt_needs_review"],
    ),
    Mutant(
        name="adopted-from-another-run",
        breaks="Two runs follow one provider run.",
        at=SqlSubmissionQueue.adopt,
        change=drop(call(SqlSubmissionQueue._require_unassigned)),
        tests=[f"{_SQL}::test_the_provider_run_of_another_run_is_not_adopted"],
    ),
    Mutant(
        name="decision-does-not-begin-anew",
        breaks="A run that a person submits again needs review again at once.",
        at=SqlSubmissionQueue.send_again,
        change=drop(entry(submissions.c.intent_at)),
        tests=[f"{_SQL}::test_a_run_that_is_sent_again_is_in_doubt_from_now_on"],
    ),
    Mutant(
        name="decision-forgets-the-draft",
        breaks="A run that a person submits again gets another draft, although its first one may have been started.",
        at=SqlSubmissionQueue.send_again,
        change=replace(the(ast.Dict), f'{{"{submissions.c.prepared_id.key}": None, **_}}'),
        tests=[f"{_SQL}::test_a_prepared_run_is_sent_again_with_its_draft"],
    ),
    Mutant(
        name="decision-without-need",
        breaks="The command of a person changes a run that a daemon is submitting.",
        at=_needs_review,
        change=drop(call(is_one_of)),
        tests=[f"{_SQL}::test_a_run_that_does_not_need_review_takes_no_decision"],
    ),
    Mutant(
        name="living-claim-taken-by-hand",
        breaks="The command of a person takes a run away from the daemon that is submitting it.",
        at=reconcile_queries._is_claimed,
        change=replace(call("in_"), lambda it: filled("owner.is_(None) & claimed", owner=receiver(it), claimed=it)),
        tests=["tests/integration/persistence/test_reconcile_queries.py::TestClaimForRepair"],
    ),
)

_WITHDRAWAL: Sequence[Mutant] = (
    Mutant(
        name="sent-again-though-a-provider-had-it",
        breaks="A run that has ended at its provider is started again when a service writes QUEUED over its state.",
        at=_make_ready,
        change=drop(the(ast.Call, uses(submissions.c.provider_run_id))),
        tests=[f"{_SQL}::test_a_closed_run_that_a_provider_had_is_followed_when_it_is_made_active_again"],
    ),
    Mutant(
        name="canceled-though-another-daemon-left-it-there",
        breaks="A cancelled run of an earlier daemon ends here and continues at its provider.",
        at=_cancelled_before_submission,
        change=replace(call(and_, calls(names_a_provider_run)), lambda it: it.args[0]),
        tests=[f"{_SQL}::test_a_cancelled_run_of_another_daemon_is_followed_and_told_to_its_provider"],
    ),
    Mutant(
        name="withdrawn-though-it-may-run-in-sql",
        breaks="A run that a provider may have is closed because it is cancelled.",
        at=_withdrawn,
        change=replace(the(ast.Attribute, uses(SubmissionState.READY)), "*(_, *IN_DOUBT)"),
        tests=[f"{_SQL}::test_what_may_have_been_sent_is_not_withdrawn"],
    ),
    Mutant(
        name="canceled-though-a-provider-has-it-in-sql",
        breaks="A run ends as cancelled while it continues at its provider.",
        at=_cancelled_before_submission,
        change=replace(
            call(and_, uses(submissions.c.provider_run_id)),
            "state.is_not(None)",
            state=call(of_same_run, uses(submissions.c.state)),
        ),
        tests=[f"{_SQL}::test_what_may_have_been_sent_is_not_withdrawn"],
    ),
    Mutant(
        name="canceled-once-it-has-ended-at-its-provider",
        breaks="A run that a provider had ends as cancelled before it was submitted.",
        at=_cancelled_before_submission,
        change=replace(call(and_, uses(submissions.c.provider_run_id)), lambda it: it.args[0]),
        tests=[f"{_SQL}::test_what_a_provider_had_is_not_withdrawn_though_it_is_settled"],
    ),
)

_LIMITS: Sequence[Mutant] = (
    Mutant(
        name="limit-counted-without-the-lock",
        breaks="Daemons that claim at once exceed the concurrency limit together.",
        at=claiming.claim,
        change=drop(call(transactions.acquire_lock)),
        tests=[f"{_SQL}::test_daemons_that_claim_at_once_never_pass_the_cap_and_share_no_run"],
    ),
    Mutant(
        name="limit-forgets-intents",
        breaks="Runs that are being submitted do not count towards the concurrency limit.",
        at=Variable(submission_port, submission_port.COUNTED),
        change=replace(the(ast.Starred), "draft", draft=SubmissionState.PREPARED),
        tests=[f"{_SQL}::test_runs_that_others_claimed_or_that_a_provider_holds_count_for_the_cap"],
    ),
    Mutant(
        name="limit-forgets-reviews",
        breaks="Runs that need review do not count towards the concurrency limit, although they may be running.",
        at=Variable(submission_port, submission_port.COUNTED),
        change=drop(the(ast.Attribute, uses(SubmissionState.REVIEW))),
        tests=[f"{_SQL}::test_a_run_that_needs_review_counts_for_the_limit_because_it_may_be_running"],
    ),
    Mutant(
        name="limit-forgets-drafts",
        breaks="Runs with a recorded draft do not count towards the concurrency limit.",
        at=Variable(submission_port, submission_port.COUNTED),
        change=replace(the(ast.Starred), "intent", intent=SubmissionState.INTENT),
        tests=[f"{_SQL}::test_a_prepared_run_keeps_its_place_under_the_cap"],
    ),
    Mutant(
        name="limit-forgets-accepted-runs",
        breaks="Runs that a provider has accepted do not count towards the concurrency limit.",
        at=Variable(submission_port, submission_port.COUNTED),
        change=drop(the(ast.Attribute, uses(SubmissionState.ACCEPTED))),
        tests=[f"{_SQL}::test_runs_that_others_claimed_or_that_a_provider_holds_count_for_the_cap"],
    ),
    Mutant(
        name="provider-limit-ignored-in-sql",
        breaks="A provider gets more runs than its own limit allows.",
        at=sharing.FreeSlots.has_slot_at,
        change=drop(the(ast.Compare, has(ast.Subscript))),
        tests=[f"{_SQL}::test_the_cap_of_a_provider_is_not_passed"],
    ),
    Mutant(
        name="share-ignored-in-sql",
        breaks="A long queue of one group delays all other groups.",
        at=sharing._next_group,
        change=replace(the(ast.Lambda).the(ast.Tuple), lambda it: it.elts[-1]),
        tests=[f"{_SQL}::test_a_long_queue_of_one_share_does_not_hold_up_another"],
    ),
)

SUBMISSIONS: Sequence[Mutant] = (*_FENCING, *_CLAIMS, *_REVIEW, *_WITHDRAWAL, *_LIMITS)
