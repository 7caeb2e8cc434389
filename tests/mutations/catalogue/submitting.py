"""Mutants of submission: idempotency keys, intents, drafts, runs in doubt, claims, leases."""

import ast
from collections.abc import Sequence
from datetime import timedelta

from tests.mutations.changes import always, drop, in_turn, move, never, replace
from tests.mutations.mutant import Mutant
from tests.mutations.picks import argument, call, calls, constant, field_of, handler, has, name_of, raises, the, uses
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import AlreadyRecorded, LeaseLost, Misconfigured, NotNow, Rejected, Unprovable
from wes_daemon.application.ports.leases import SessionId
from wes_daemon.application.ports.providers import Submission, WorkflowProvider
from wes_daemon.application.ports.submissions import Claim, ClaimedRun, SubmissionQueue
from wes_daemon.application.ports.unit_of_work import UnitOfWork
from wes_daemon.application.requests.create_run import CreateRun
from wes_daemon.application.runtime import isolation
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.recording import Recorder
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.application.submitting.outcomes import OutcomeRecorder
from wes_daemon.application.submitting.set_up_evidence import SetUpEvidence
from wes_daemon.application.submitting.submission_policy import SubmissionPolicy
from wes_daemon.application.submitting.submit_claimed_run import SubmitClaimedRun
from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns
from wes_daemon.application.submitting.unserved_runs import SettleUnservedRuns
from wes_daemon.domain.runs import Run
from wes_daemon.domain.states import RunState

_RUNS = "tests/unit/domain/test_runs.py"
_SUBMIT = "tests/unit/application/test_submit_queued_runs.py"
_LEASE = "tests/unit/application/test_daemon_session.py"
_DAEMON = "tests/unit/application/test_daemon.py"
_RECORDING = "tests/unit/application/test_recording.py"
_UNSERVED_RUNS = "tests/unit/application/test_unserved_runs.py"
_REFRESH = "tests/unit/application/test_refresh_statuses.py"

_KEYS_AND_INTENTS: Sequence[Mutant] = (
    Mutant(
        name="key-at-random",
        breaks="Each attempt to submit a run has another idempotency key, so the provider starts the run again.",
        at=Run.idempotency_key,
        change=replace(the(ast.JoinedStr), 'f"{_}-{object()}"'),
        tests=[f"{_SUBMIT}::TestLostAnswers"],
    ),
    Mutant(
        name="key-with-attempt",
        breaks="The idempotency key contains the number of attempts, so the provider starts the run again.",
        at=SubmitClaimedRun._submission,
        change=replace(
            the(ast.Attribute, uses(Run.idempotency_key)),
            f'f"{{_}}-{{claimed.{name_of(field_of(ClaimedRun).attempts)}}}"',
            claimed=argument(field_of(Submission).in_doubt_for).the(ast.Name),
        ),
        tests=[f"{_SUBMIT}::TestLostAnswers"],
    ),
    Mutant(
        name="intent-not-committed",
        breaks="A provider is called before the intent to call it is committed; nor are enrolments committed.",
        at=isolation._commit,
        change=drop(call(UnitOfWork.commit)),
        tests=[f"{_SUBMIT}::test_a_queued_run_is_handed_to_its_provider"],
        hangs_after=timedelta(seconds=40),
    ),
    Mutant(
        name="draft-started-before-it-is-recorded",
        breaks="A draft is started before its id is recorded; after a crash the next daemon creates another draft.",
        at=SubmitClaimedRun._send,
        change=move(
            the(ast.stmt, calls(OutcomeRecorder.commit_draft)),
            after=the(ast.Assign, calls(WorkflowProvider.submit), has(ast.keyword)),
        ),
        tests=[f"{_SUBMIT}::TestProvidersThatPrepare"],
    ),
    Mutant(
        name="draft-not-recorded",
        breaks="The id of a draft is not recorded, so a daemon that takes the run over does not know the draft.",
        at=OutcomeRecorder._commit_alone,
        change=drop(the(ast.If, calls(SubmissionQueue.record_drafts))),
        tests=[f"{_SUBMIT}::TestProvidersThatPrepare"],
    ),
    Mutant(
        name="draft-counts-as-recorded-without-a-commit",
        breaks="A draft is started although a bug prevented the commit that records several drafts.",
        at=OutcomeRecorder._commit_group,
        change=replace(
            call(guarded).the(ast.Tuple),
            "[run_id for draft in drafts]",
            run_id=the(ast.For).the(ast.Compare).part(lambda it: it.left),
            draft=the(ast.For).part(lambda it: it.target),
            drafts=the(ast.For).part(lambda it: it.iter),
        ),
        tests=["tests/unit/application/test_drafts_together.py"],
    ),
    Mutant(
        name="answers-thrown-away-with-a-claim",
        breaks="When the next claim fails, the answers to calls in progress are lost, and the calls are repeated.",
        at=SubmitQueuedRuns._submit_within,
        change=drop(the(ast.Try).part(lambda it: it.finalbody[0])),
        tests=[f"{_SUBMIT}::TestCallsUnderWay"],
    ),
    Mutant(
        name="recorded-draft-not-used",
        breaks="A daemon that takes a run over ignores the recorded draft and prepares another one.",
        at=SubmitClaimedRun._submission,
        change=replace(argument(field_of(Submission).prepared_id), "None"),
        tests=[f"{_SUBMIT}::TestProvidersThatPrepare"],
    ),
    Mutant(
        name="acceptance-forgets-a-cancel",
        breaks="A run that is cancelled during its submission loses the state CANCELING.",
        at=Run.accepted,
        change=replace(the(ast.IfExp, calls(RunState.may_become)), lambda it: it.body),
        tests=[_RUNS],
    ),
    Mutant(
        name="queued-twice-after-a-lost-answer",
        breaks="A run that was stored is reported as not stored when the commit was not answered, and is queued again.",
        at=CreateRun.__call__,
        change=always(the(ast.If, calls(CreateRun._is_stored))),
        tests=["tests/integration/persistence/test_lost_answers.py::TestInMemory"],
    ),
    Mutant(
        name="one-bug-stops-all",
        breaks="A bug that one run triggers ends the pass for all other runs.",
        at=guarded,
        change=replace(handler(Exception).the(ast.Return), "raise"),
        tests=[f"{_SUBMIT}::TestLostAnswers", f"{_REFRESH}::TestDetails"],
    ),
)

_DOUBTS: Sequence[Mutant] = (
    Mutant(
        name="doubt-rejected-by-a-wrong-row",
        breaks="A run in doubt is ended because its row or its provider's settings have become invalid.",
        at=SubmitClaimedRun._prepare_call,
        change=always(handler(Rejected).the(ast.If, uses(field_of(Claim).resumed))),
        tests=[f"{_SUBMIT}::TestLostAnswers"],
    ),
    Mutant(
        name="bug-means-that-nothing-happened",
        breaks="After a bug in an adapter the run counts as not started, although the adapter may have started it.",
        at=OutcomeRecorder.record_bug,
        change=in_turn(
            replace(
                the(ast.JoinedStr),
                "not_now(str(error))",
                not_now=NotNow,
                error=the(ast.FormattedValue, nth=-1).part(lambda it: it.value),
            ),
            replace(
                the(ast.Attribute, uses(OutcomeRecorder.record_doubt)),
                f"self.{name_of(OutcomeRecorder.record_deferral)}",
            ),
        ),
        tests=[f"{_SUBMIT}::TestLostAnswers"],
    ),
    Mutant(
        name="attempts-end-a-doubt",
        breaks="A run in doubt is ended when its attempts are used up.",
        at=OutcomeRecorder.record_deferral,
        change=drop(the(ast.UnaryOp, has(ast.Not), uses(field_of(Claim).resumed))),
        tests=[f"{_SUBMIT}::TestLostAnswers", f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="one-attempt-too-many",
        breaks="A run gets one attempt more than the settings allow.",
        at=SubmissionPolicy.is_exhausted,
        change=replace(the(ast.BinOp, uses(field_of(ClaimedRun).attempts)), lambda it: it.left),
        tests=[f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="failing-for-ever",
        breaks="A run whose submission fails again and again is never ended.",
        at=SubmissionPolicy.is_exhausted,
        change=drop(the(ast.Compare, uses(field_of(ClaimedRun).failing_for))),
        tests=[f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="in-doubt-for-ever",
        breaks="A run in doubt never needs review, however long it has been in doubt.",
        at=SubmissionPolicy.is_in_doubt_too_long,
        change=replace(the(ast.Return), "return False"),
        tests=[f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="unprovable-is-tried-again",
        breaks="A run whose outcome no call can determine is submitted again instead of needing review.",
        at=SubmitClaimedRun._submit,
        change=replace(
            handler(Unprovable).the(ast.Attribute, uses(OutcomeRecorder.record_review)),
            "doubt",
            doubt=the(ast.Attribute, uses(OutcomeRecorder.record_doubt)),
        ),
        tests=[f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="wait-does-not-grow",
        breaks="The delay before the next attempt is the same however often the submission has failed.",
        at=SubmissionPolicy.wait_after,
        change=replace(the(ast.BinOp, uses(field_of(SubmissionPolicy).first_wait)), lambda it: it.left),
        tests=[f"{_SUBMIT}::TestPassingTrouble"],
    ),
    Mutant(
        name="required-wait-not-kept",
        breaks="A provider that named a time is called before that time.",
        at=SubmissionPolicy.wait_after,
        change=replace(call(max), lambda it: it.args[0]),
        tests=[f"{_SUBMIT}::TestPassingTrouble"],
    ),
    Mutant(
        name="misconfiguration-ends-runs",
        breaks="An expired token ends every queued run.",
        at=SubmitClaimedRun._submit,
        change=replace(handler(Misconfigured).the(ast.Return), "rejected", rejected=handler(Rejected).the(ast.Return)),
        tests=[f"{_SUBMIT}::TestMisconfiguredProvider"],
    ),
    Mutant(
        name="misconfiguration-without-end",
        breaks="A run whose provider never accepts a run waits for ever.",
        at=OutcomeRecorder.record_misconfiguration,
        change=never(the(ast.If, calls(OutcomeRecorder.record_rejection))),
        tests=[f"{_SUBMIT}::TestMisconfiguredProvider"],
    ),
    Mutant(
        name="ambiguous-refusal-ends-runs-in-doubt",
        breaks="A run that may have been started ends because of a refusal.",
        at=SubmitClaimedRun._record_ambiguous_refusal,
        change=never(the(ast.If, calls(OutcomeRecorder.record_review))),
        tests=[f"{_SUBMIT}::TestRefusalThatDoesNotSayWhomItConcerns"],
    ),
    Mutant(
        name="earlier-acceptance-blames-runs",
        breaks="Runs end when the set-up stops working, because runs were accepted before.",
        at=SetUpEvidence._contradictions,
        change=replace(the(ast.BoolOp), "True"),
        tests=[f"{_SUBMIT}::TestRefusalThatDoesNotSayWhomItConcerns"],
    ),
    Mutant(
        name="untried-runs-wait-for-ever",
        breaks="Of many runs at a misconfigured provider only the first ones end, one after the other.",
        at=OutcomeRecorder._blocked_for,
        change=always(the(ast.If)),
        tests=[f"{_SUBMIT}::TestMisconfiguredProviderOfManyRuns"],
    ),
    Mutant(
        name="found-run-blames-others",
        breaks="Runs end when the set-up stops working, because runs in doubt are found that were accepted before.",
        at=SubmitClaimedRun._submit,
        change=always(the(ast.If, calls(SetUpEvidence.note_acceptance))),
        tests=[f"{_SUBMIT}::TestRefusalThatDoesNotSayWhomItConcerns"],
    ),
    Mutant(
        name="unsent-call-counts-as-attempt",
        breaks="Attempts are counted while a circuit is open and no call is made.",
        at=SubmitClaimedRun._submit,
        change=replace(
            call(OutcomeRecorder.record_not_sent), "deferral", deferral=call(OutcomeRecorder.record_deferral)
        ),
        tests=[f"{_SUBMIT}::TestRestingProviders"],
    ),
    Mutant(
        name="takeover-pass-claims-new-runs",
        breaks="A pass that is to resolve only runs in doubt submits queued runs as well.",
        at=SubmitQueuedRuns.resolve_takeovers,
        change=replace(constant(0), f"self._policy.{name_of(field_of(SubmissionPolicy).concurrency_limit)}"),
        tests=[f"{_SUBMIT}::TestLeases"],
    ),
    Mutant(
        name="provider-limits-not-passed-on",
        breaks="The concurrency limits of single providers are configured and have no effect.",
        at=SubmitQueuedRuns._claim_as,
        change=replace(the(ast.Attribute, uses(field_of(SubmissionPolicy).per_provider_limits)), "{}"),
        tests=[f"{_SUBMIT}::test_a_provider_holds_no_more_runs_than_its_own_cap_says"],
    ),
    Mutant(
        name="shares-ignored",
        breaks="All runs belong to the same share, whatever their tags say.",
        at=SubmitQueuedRuns._share,
        change=replace(the(ast.Return), 'return ""'),
        tests=[f"{_SUBMIT}::TestShares"],
    ),
)

_LEASES: Sequence[Mutant] = (
    Mutant(
        name="trust-not-required",
        breaks="Requests are sent under a lease that may expire before they are answered.",
        at=DaemonSession.require_lease,
        change=never(the(ast.If, raises(LeaseLost))),
        tests=[_LEASE, f"{_SUBMIT}::TestLeases"],
    ),
    Mutant(
        name="no-margin-of-trust",
        breaks="A lease is trusted until its very end, without a safety margin.",
        at=DaemonSession._extend,
        change=replace(the(ast.BinOp, has(ast.Mult)), lambda it: it.left),
        tests=[_LEASE],
    ),
    Mutant(
        name="trust-from-the-answer-on",
        breaks="A lease is trusted from the answer to its renewal on, and therefore beyond its end.",
        at=DaemonSession.renew,
        change=replace(call(DaemonSession._extend).part(lambda it: it.args[1]), "now", now=call(Clock.monotonic)),
        tests=[_LEASE],
    ),
    Mutant(
        name="identity-used-again",
        breaks="A daemon that has lost its lease keeps its id, although others may have taken over its claims.",
        at=DaemonSession._open,
        change=replace(call(SessionId), "current or _", current=the(ast.Assign, nth=-1).part(lambda it: it.targets[0])),
        tests=[_LEASE, f"{_DAEMON}::TestDaemonSession"],
    ),
    Mutant(
        name="trust-after-the-end",
        breaks="A daemon that has closed its lease still sends requests.",
        at=DaemonSession.close,
        change=replace(the(ast.IfExp), lambda it: it.body),
        tests=[_LEASE],
    ),
    Mutant(
        name="lost-answer-to-a-commit-is-a-lost-claim",
        breaks="What was committed counts as not written when the answer to the commit was lost.",
        at=Recorder._written_eventually,
        change=replace(handler(AlreadyRecorded).the(ast.Return), "raise"),
        tests=[_RECORDING],
    ),
    Mutant(
        name="answer-given-up-with-the-database",
        breaks="A provider's answer is lost when the database is unavailable for a moment.",
        at=Recorder._written_eventually,
        change=always(the(ast.If, uses(StopSignal.is_raised))),
        tests=[_RECORDING],
    ),
)

_UNSERVED: Sequence[Mutant] = (
    Mutant(
        name="served-elsewhere-and-settled-here",
        breaks="A daemon without a provider's settings claims the runs that another daemon serves, and ends them.",
        at=SettleUnservedRuns._unserved,
        change=replace(the(ast.SetComp), lambda it: it.generators[0].iter),
        tests=[_UNSERVED_RUNS],
    ),
    Mutant(
        name="older-daemon-serves-nothing",
        breaks="A daemon that publishes nothing counts as one that serves nothing.",
        at=SettleUnservedRuns.__call__,
        change=never(the(ast.If, nth=2)),
        tests=[_UNSERVED_RUNS],
    ),
    Mutant(
        name="removed-plug-in-ends-runs",
        breaks="Runs end when the plug-in of their provider is removed.",
        at=SettleUnservedRuns._reason,
        change=always(the(ast.If, nth=1)),
        tests=[_UNSERVED_RUNS],
    ),
    Mutant(
        name="rows-of-other-programs-followed",
        breaks="Active rows are followed that name a service of another program.",
        at=SubmissionPolicy.destination,
        change=replace(the(ast.IfExp), lambda it: it.body),
        tests=[_SUBMIT],
    ),
)

SUBMITTING: Sequence[Mutant] = (*_KEYS_AND_INTENTS, *_DOUBTS, *_LEASES, *_UNSERVED)
