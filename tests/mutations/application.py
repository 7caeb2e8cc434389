"""Bugs of the domain and of the use cases: keys, intents, doubts, leases, cancels, looks at what runs."""

from collections.abc import Sequence
from datetime import timedelta

from tests.mutations.mutant import Mutant

_RUNS = "tests/unit/domain/test_runs.py"
_SUBMIT = "tests/unit/application/test_submit_queued_runs.py"
_LEASE = "tests/unit/application/test_daemon_session.py"
_DAEMON = "tests/unit/application/test_daemon.py"
_RECORDING = "tests/unit/application/test_recording.py"
_REFRESH = "tests/unit/application/test_refresh_statuses.py"
_CANCEL = "tests/unit/application/test_cancel_runs.py"
_REVIEW = "tests/unit/application/test_resolve_review.py"
_JANITOR = "tests/unit/application/test_remove_leftover_drafts.py"
_RECONCILE = "tests/unit/application/test_reconcile.py"

_KEYS_AND_INTENTS: Sequence[Mutant] = (
    Mutant(
        name="key-at-random",
        breaks="A run that is submitted again has another key, so that the provider starts it again.",
        file="domain/runs.py",
        old='IdempotencyKey(f"wes-{self.id}")',
        new='IdempotencyKey(f"wes-{self.id}-{object()}")',
        tests=[f"{_SUBMIT}::TestLostAnswers"],
    ),
    Mutant(
        name="key-with-attempt",
        breaks="The key of every attempt is another one, so that the provider starts each of them.",
        file="application/submitting/submit_queued_runs.py",
        old="key=run.submission_key,",
        new='key=f"{run.submission_key}-{claimed.attempts}",',
        tests=[f"{_SUBMIT}::TestLostAnswers"],
    ),
    Mutant(
        name="intent-not-committed",
        breaks="A provider is called before it is written down that it will be.",
        file="application/submitting/submit_queued_runs.py",
        old="""            work.commit()
        if claimed:
            fault_points.reached("claim.after_commit")
""",
        new="",
        tests=[f"{_SUBMIT}::test_a_queued_run_is_handed_to_its_provider"],
        hangs_after=timedelta(seconds=40),
    ),
    Mutant(
        name="draft-started-before-it-is-recorded",
        breaks="A draft runs of which nobody knows if the daemon dies now; the next daemon makes another one.",
        file="application/submitting/submit_queued_runs.py",
        old="""        self._submissions.prepared(claim, prepared)
        self._incarnation.require_trust()
        fault_points.reached("start.before_call")
        answer = provider.submit(replace(submission, prepared_id=prepared))
""",
        new="""        self._incarnation.require_trust()
        fault_points.reached("start.before_call")
        answer = provider.submit(replace(submission, prepared_id=prepared))
        self._submissions.prepared(claim, prepared)
""",
        tests=[f"{_SUBMIT}::TestProvidersThatPrepare"],
    ),
    Mutant(
        name="draft-not-recorded",
        breaks="Whoever takes over does not know which draft was started.",
        file="application/submitting/outcomes.py",
        old="recording.work.submissions.prepared(prepared.claim, prepared.id)",
        new="pass",
        tests=[f"{_SUBMIT}::TestProvidersThatPrepare"],
    ),
    Mutant(
        name="draft-counts-as-recorded-without-a-commit",
        breaks="A draft is started that no database knows, since its neighbours had a bug.",
        file="application/submitting/outcomes.py",
        old='otherwise=lambda _: (), during="record", of=f"{len(drafts)} drafts"',
        new='otherwise=lambda _: recorded, during="record", of=f"{len(drafts)} drafts"',
        tests=["tests/unit/application/test_drafts_together.py"],
    ),
    Mutant(
        name="answers-thrown-away-with-a-claim",
        breaks="What providers have accepted is forgotten when the next claim fails, and is called again.",
        file="application/submitting/submit_queued_runs.py",
        old="            while calls:\n                report.count(self._settled(calls.ended()))\n        return",
        new="            pass\n        return",
        tests=[f"{_SUBMIT}::TestCallsUnderWay"],
    ),
    Mutant(
        name="recorded-draft-not-used",
        breaks="A run that is taken over is prepared anew instead of going on with the recorded draft.",
        file="application/submitting/submit_queued_runs.py",
        old="prepared_id=claimed.prepared_id,",
        new="prepared_id=None,",
        tests=[f"{_SUBMIT}::TestProvidersThatPrepare"],
    ),
    Mutant(
        name="acceptance-forgets-a-cancel",
        breaks="A run that was cancelled while it was submitted goes on as if nobody had wanted that.",
        file="domain/runs.py",
        old="state=RunState.INITIALIZING if self.state.may_become(RunState.INITIALIZING) else self.state,",
        new="state=RunState.INITIALIZING,",
        tests=[_RUNS],
    ),
    Mutant(
        name="queued-twice-after-a-lost-answer",
        breaks="A run that is stored although the commit was not answered is said not to be, and is queued again.",
        file="application/requests/create_run.py",
        old="            if not self._is_stored(run.id, error):\n                raise\n",
        new="            raise\n",
        tests=["tests/integration/persistence/test_lost_answers.py::TestInMemory"],
    ),
    Mutant(
        name="one-bug-stops-all",
        breaks="A bug that one run brings to light keeps all the others waiting.",
        file="application/runtime/guard.py",
        old="return otherwise(error)",
        new="raise",
        tests=[f"{_SUBMIT}::TestLostAnswers", f"{_REFRESH}::TestDetails"],
    ),
)

_DOUBTS: Sequence[Mutant] = (
    Mutant(
        name="doubt-rejected-by-a-wrong-row",
        breaks="A run that may have been started is ended because its provider is not set up any more.",
        file="application/submitting/submit_queued_runs.py",
        old="""            if not claimed.claim.resumed:
                raise
            raise OutcomeUnknown""",
        new="""            raise
            raise OutcomeUnknown""",
        tests=[f"{_SUBMIT}::TestLostAnswers"],
    ),
    Mutant(
        name="bug-means-that-nothing-happened",
        breaks="After a bug in an adapter, which may have started the run, the run counts as not started.",
        file="application/submitting/outcomes.py",
        old='return self.unresolved(claimed, f"{error.__class__.__name__}: {error}")',
        new="return self.deferred(claimed, NotNow(str(error)))",
        tests=[f"{_SUBMIT}::TestLostAnswers"],
    ),
    Mutant(
        name="attempts-end-a-doubt",
        breaks="A run that may have been started is ended after so many attempts.",
        file="application/submitting/outcomes.py",
        old="if not claimed.claim.resumed and self._policy.is_exhausted(claimed):",
        new="if self._policy.is_exhausted(claimed):",
        tests=[f"{_SUBMIT}::TestLostAnswers", f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="one-attempt-too-many",
        breaks="A run that may fail once is submitted twice.",
        file="application/submitting/outcomes.py",
        old="claimed.attempts + 1 >= self.attempts",
        new="claimed.attempts >= self.attempts",
        tests=[f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="failing-for-ever",
        breaks="A run that fails again and again is never given up.",
        file="application/submitting/outcomes.py",
        old="return tried_often or claimed.failing_for >= self.timeout",
        new="return tried_often",
        tests=[f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="in-doubt-for-ever",
        breaks="A run of which nobody can tell whether it was started is never shown to a person.",
        file="application/submitting/outcomes.py",
        old="return claimed.in_doubt_for >= self.timeout",
        new="return False",
        tests=[f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="unprovable-is-tried-again",
        breaks="What no call can tell any more is sent again instead of being put in review.",
        file="application/submitting/submit_queued_runs.py",
        old="return self._submissions.in_review(claimed, str(error))",
        new="return self._submissions.unresolved(claimed, str(error))",
        tests=[f"{_SUBMIT}::TestGivingUp"],
    ),
    Mutant(
        name="wait-does-not-grow",
        breaks="What fails is tried at one pace however often it has failed.",
        file="application/submitting/outcomes.py",
        old="grown = self.first_wait * (1 << min(attempts, 30))",
        new="grown = self.first_wait",
        tests=[f"{_SUBMIT}::TestPassingTrouble"],
    ),
    Mutant(
        name="asked-wait-not-kept",
        breaks="A service that named a time is called before it.",
        file="application/submitting/outcomes.py",
        old="return max(min(grown, self.longest_wait), asked or timedelta(0))",
        new="return min(grown, self.longest_wait)",
        tests=[f"{_SUBMIT}::TestPassingTrouble"],
    ),
    Mutant(
        name="misconfiguration-ends-runs",
        breaks="An expired token ends every run that is queued.",
        file="application/submitting/submit_queued_runs.py",
        old="return self._submissions.blocked(claimed.claim, type, error)",
        new="return self._submissions.rejected(claimed, type, str(error))",
        tests=[f"{_SUBMIT}::TestMisconfiguredProvider"],
    ),
    Mutant(
        name="rest-counts-as-attempt",
        breaks="Attempts that were never made are counted while a provider is left alone.",
        file="application/submitting/submit_queued_runs.py",
        old="return self._submissions.held_back(claimed.claim, type or self._policy.default_provider, error)",
        new="return self._submissions.deferred(claimed, error)",
        tests=[f"{_SUBMIT}::TestRestingProviders"],
    ),
    Mutant(
        name="a-look-takes-new-runs",
        breaks="Looking at what is in doubt submits what is queued as well.",
        file="application/submitting/submit_queued_runs.py",
        old="return self._submit_up_to(0)",
        new="return self._submit_up_to(self._policy.cap)",
        tests=[f"{_SUBMIT}::TestLeases"],
    ),
    Mutant(
        name="provider-caps-not-passed-on",
        breaks="The caps of single providers are configured and never used.",
        file="application/submitting/submit_queued_runs.py",
        old="provider_caps=self._policy.provider_caps,",
        new="provider_caps={},",
        tests=[f"{_SUBMIT}::test_a_provider_holds_no_more_runs_than_its_own_cap_says"],
    ),
    Mutant(
        name="shares-not-told",
        breaks="All runs are of one share whatever their tags say.",
        file="application/submitting/submit_queued_runs.py",
        old='return str(run.tags.get(tag, "")) if tag and isinstance(run.tags, Mapping) else ""',
        new='return ""',
        tests=[f"{_SUBMIT}::TestShares"],
    ),
)

_LEASES: Sequence[Mutant] = (
    Mutant(
        name="trust-not-asked-for",
        breaks="Requests are sent under a lease that may be over before they are answered.",
        file="application/runtime/daemon_session.py",
        old="if self._trusted_until is not None and self._trusted_for() <= during:",
        new="if False:",
        tests=[_LEASE, f"{_SUBMIT}::TestLeases"],
    ),
    Mutant(
        name="no-margin-of-trust",
        breaks="A lease is trusted until its very end.",
        file="application/runtime/daemon_session.py",
        old="self._lasting * (1 - _MARGIN)",
        new="self._lasting",
        tests=[_LEASE],
    ),
    Mutant(
        name="trust-from-the-answer-on",
        breaks="A lease is trusted for as long after its end as the answer to the renewal took.",
        file="application/runtime/daemon_session.py",
        old="self._trust(current, asked_at)",
        new="self._trust(current, self._clock.monotonic())",
        tests=[_LEASE],
    ),
    Mutant(
        name="identity-used-again",
        breaks="A daemon that has lost its lease goes on under the id whose claims others may have taken over.",
        file="application/runtime/daemon_session.py",
        old="id, asked_at = SessionId(self._ids.new_id()), self._clock.monotonic()",
        new="id, asked_at = self._current or SessionId(self._ids.new_id()), self._clock.monotonic()",
        tests=[_LEASE, f"{_DAEMON}::TestIncarnation"],
    ),
    Mutant(
        name="trust-after-the-end",
        breaks="A daemon that has given its lease back still sends.",
        file="application/runtime/daemon_session.py",
        old="self._trusted_until = None if current is None else timedelta(0)",
        new="self._trusted_until = None",
        tests=[_LEASE],
    ),
    Mutant(
        name="lost-answer-to-a-commit-is-a-lost-claim",
        breaks="What was committed counts as not written, where the answer to the commit was lost.",
        file="application/runtime/recording.py",
        old="return committing[-1]",
        new="raise",
        tests=[_RECORDING],
    ),
    Mutant(
        name="answer-given-up-with-the-database",
        breaks="What a provider has answered is forgotten when the database is away for a moment.",
        file="application/runtime/recording.py",
        old="if self._stop.is_raised:\n                    raise",
        new="raise",
        tests=[_RECORDING],
    ),
)

_LOOKS: Sequence[Mutant] = (
    Mutant(
        name="running-becomes-initializing",
        breaks="A run that its provider queues again goes backwards for all who look at it.",
        file="domain/states.py",
        old="RunState.RUNNING: frozenset({RunState.PAUSED, RunState.CANCELING}) | ENDED,",
        new="RunState.RUNNING: frozenset({RunState.INITIALIZING, RunState.PAUSED, RunState.CANCELING}) | ENDED,",
        tests=["tests/unit/domain/test_states.py", f"{_RUNS}", _REFRESH],
    ),
    Mutant(
        name="any-word-is-a-state",
        breaks="Whatever a provider says becomes the state of the run, UNKNOWN and earlier states included.",
        file="domain/runs.py",
        old="state = seen.state if since.may_become(seen.state) else since",
        new="state = seen.state",
        tests=[_RUNS],
    ),
    Mutant(
        name="unknown-is-stored",
        breaks="A word that nobody knows is written down as what is known of the run.",
        file="application/following/refresh_statuses.py",
        old="return report.state is RunState.UNKNOWN or (report.state, report.provider_status) == (",
        new="return (report.state, report.provider_status) == (",
        tests=[f"{_REFRESH}::TestUnknown"],
    ),
    Mutant(
        name="ended-twice",
        breaks="A run that has ended gets another end with every further report.",
        file="domain/runs.py",
        old="""            return self
        # A service may write""",
        new="""            pass
        # A service may write""",
        tests=[_RUNS],
    ),
    Mutant(
        name="end-before-start",
        breaks="A run ends before it began, where two clocks disagree.",
        file="domain/runs.py",
        old="return max(at, started) if started else at",
        new="return at",
        tests=[_RUNS],
    ),
    Mutant(
        name="missing-ends-at-once",
        breaks="A run is given up the first time that its provider does not know it.",
        file="application/following/status_recorder.py",
        old="if poll.missing_for is not None and poll.missing_for >= self._policy.lost_after:",
        new="if True:",
        tests=[f"{_REFRESH}::TestUnknown"],
    ),
    Mutant(
        name="no-news-is-bad-news",
        breaks="While a provider cannot be asked, its runs count as unknown to it.",
        file="application/following/refresh_statuses.py",
        old="return self._put_off(type, polls, error, one_pass)",
        new="reports = {}",
        tests=[f"{_REFRESH}::TestProviderTrouble"],
    ),
    Mutant(
        name="an-outage-makes-missing-runs-lost-ones",
        breaks="A run that was missing when a circuit opened is given up as soon as it closes.",
        file="application/following/refresh_statuses.py",
        old="            work.polls.forgive(type)\n",
        new="",
        tests=[f"{_REFRESH}::TestOpenCircuit"],
    ),
    Mutant(
        name="a-failed-look-moves-the-mark",
        breaks="What ended while a list could not be read is not looked for again.",
        file="application/following/find_ended.py",
        old="            self._complain(type, error)\n",
        new="            self._complain(type, error)\n            self._watermarks.advance(name, turn.begun_at)\n",
        tests=["tests/unit/application/test_find_ended.py"],
    ),
    Mutant(
        name="no-end-without-details",
        breaks="A run that has ended stays active for as long as its outputs cannot be had.",
        file="application/following/status_recorder.py",
        old="            recording.change_all([self._change(PollResult(poll, report))])\n",
        new="",
        tests=[f"{_REFRESH}::TestDetails"],
    ),
    Mutant(
        name="cancel-not-passed-on",
        breaks="A cancelled run goes on at its provider, and costs money.",
        file="application/following/cancel_runs.py",
        old="self._providers.provider(run.provider).cancel(run.provider_run_id)",
        new="self._providers.provider(run.provider)",
        tests=[_CANCEL],
    ),
    Mutant(
        name="failed-cancel-counts",
        breaks="A provider that could not be told to cancel a run counts as told.",
        file="application/following/cancel_runs.py",
        old="""                )
            return _AGAIN""",
        new="""                )
            return None""",
        tests=[_CANCEL],
    ),
    Mutant(
        name="anything-may-be-adopted",
        breaks="A run is followed under an id that its provider does not know.",
        file="application/use_cases/resolve_review.py",
        old="""        self._require_known(run_id, id)
""",
        new="",
        tests=[_REVIEW],
    ),
    Mutant(
        name="draft-removed-unasked",
        breaks="A draft is removed that was recorded in the last moment and is about to be started.",
        file="application/mending.py",
        old="""        fault_points.reached("janitor.before_removal")
        if not _still_holds(found, comparison):""",
        new="""        fault_points.reached("janitor.before_removal")
        if False:""",
        tests=[_JANITOR],
    ),
    Mutant(
        name="recorded-run-cancelled",
        breaks="A run that was recorded in the last moment is cancelled as one too many.",
        file="application/mending.py",
        old="""tuple[bool, str]:
        if not _still_holds(found, comparison):
            return False, _CHANGED
        provider.cancel""",
        new="""tuple[bool, str]:
        provider.cancel""",
        tests=[_RECONCILE],
    ),
)

_HINTS: Sequence[Mutant] = (
    Mutant(
        name="failed-hint-is-forgotten",
        breaks="A run that was queued while the database was away for a moment waits for the next poll.",
        file="application/runtime/daemon.py",
        old="""            self._wakeup.wait(min(again, self._beat.every))
""",
        new="""            self._is_hinted = False
            self._wakeup.wait(min(again, self._beat.every))
""",
        tests=[f"{_DAEMON}::TestHints"],
    ),
    Mutant(
        name="hint-is-lost-during-a-pass",
        breaks="A run that is queued while a pass is under way waits for the next poll.",
        file="adapters/system.py",
        old="""        if self._over.is_set() or not self._roused.wait(timeout.total_seconds()):
""",
        new="""        self._roused.clear()
        if self._over.is_set() or not self._roused.wait(timeout.total_seconds()):
""",
        tests=["tests/unit/adapters/test_wakeup.py::TestTimedWakeUp::test_many_hints_end_one_wait"],
    ),
)

_EVENTS: Sequence[Mutant] = (
    Mutant(
        name="event-deleted-before-it-is-heeded",
        breaks="What an event has told is forgotten where the database is away for a moment.",
        file="application/following/follow_events.py",
        old="        hurried = self._hurry({id",
        new="        self._delete([message.receipt for message in messages])\n        hurried = self._hurry({id",
        tests=["tests/unit/application/test_follow_events.py::test_nothing_is_deleted_while_the_database_is_away"],
    ),
    Mutant(
        name="stop-waits-for-the-queue",
        breaks="A daemon that is to stop waits until the queue has answered.",
        file="adapters/events/interruptible.py",
        old="        stop.when_raised(lambda: self._outcomes.put(lambda: []))\n",
        new="",
        tests=["tests/unit/application/test_follow_events.py::TestInterruptible"],
        hangs_after=timedelta(seconds=20),
    ),
)

OF_THE_APPLICATION: Sequence[Mutant] = (*_EVENTS, *_KEYS_AND_INTENTS, *_DOUBTS, *_LEASES, *_LOOKS, *_HINTS)
