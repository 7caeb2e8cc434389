"""Bugs of the providers and of what stands round them: marks, searches, keys, refusals, circuits, turns."""

from collections.abc import Sequence

from tests.mutations.mutant import Mutant

_HERE = "tests/integration/providers"
_SB_SUBMISSION = f"{_HERE}/test_sevenbridges_submission.py"
_SB_LOST = f"{_HERE}/test_sevenbridges_lost_answers.py"
_SB_FOLLOWING = f"{_HERE}/test_sevenbridges_following.py"
_SB_ANSWERS = "tests/unit/adapters/test_sevenbridges_answers.py"
_HO_CONTRACT = f"{_HERE}/test_healthomics_contract.py::TestHealthOmicsProvider"
_HO_SUBMISSION = f"{_HERE}/test_healthomics_submission.py"
_HO_FOLLOWING = f"{_HERE}/test_healthomics_following.py"
_HO_ERRORS = "tests/unit/adapters/test_healthomics_errors.py"
_HO_LISTING = "tests/unit/adapters/test_healthomics_listing.py"
_LOCAL_SETUP = f"{_HERE}/test_local_setup.py"
_LOCAL_PROCESSES = f"{_HERE}/test_local_processes.py"
_DECORATORS = "tests/unit/adapters/test_decorators.py"
_BREAKING = "tests/unit/adapters/test_breaking.py"
_TURNS = "tests/unit/adapters/test_rate_limiting.py"
_SHARED = "tests/unit/adapters/test_shared_rates.py"

_SEVENBRIDGES: Sequence[Mutant] = (
    Mutant(
        name="draft-without-mark",
        breaks="A draft cannot be found again, so that the next attempt makes another one.",
        file="adapters/providers/sevenbridges/payloads.py",
        old="""        "name": str(plan.key),
        "description": description(plan.key, plan.run_id),
""",
        new="""        "name": "a run",
        "description": "",
""",
        tests=[f"{_SB_SUBMISSION}::TestTheTwoSteps"],
    ),
    Mutant(
        name="mark-only-in-the-name",
        breaks="A task that somebody has renamed cannot be found again.",
        file="adapters/providers/sevenbridges/payloads.py",
        old='        "description": description(plan.key, plan.run_id),\n',
        new="",
        tests=[f"{_SB_SUBMISSION}::TestTheTwoSteps"],
    ),
    Mutant(
        name="draft-made-and-run-in-one-call",
        breaks="A run is started that is not recorded, and the next attempt starts another one.",
        file="adapters/providers/sevenbridges/drafts.py",
        old='self._client.post("CreateTask", "/tasks", body)',
        new='self._client.post("CreateTask", "/tasks", body, action="run")',
        tests=[f"{_SB_SUBMISSION}::TestTheTwoSteps"],
    ),
    Mutant(
        name="draft-made-without-a-search",
        breaks="Every attempt makes another draft.",
        file="adapters/providers/sevenbridges/drafts.py",
        old="""        if found := self._found(plan):
            return found
        self._wait""",
        new="        self._wait",
        tests=[f"{_SB_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="draft-made-without-waiting-for-the-list",
        breaks="After a lost answer another draft is made, though the first may only not be listed yet.",
        file="adapters/providers/sevenbridges/drafts.py",
        old="        self._wait_for_listing(plan.key)\n",
        new="",
        tests=[f"{_SB_LOST}::TestLostAnswers::test_while_a_new_draft_may_not_be_listed_no_other_is_made"],
    ),
    Mutant(
        name="no-second-look-after-a-draft",
        breaks="Of two that make a draft at the same moment each takes its own.",
        file="adapters/providers/sevenbridges/drafts.py",
        old="return self._found(plan, draft) or draft",
        new="return draft",
        tests=[f"{_SB_SUBMISSION}::TestTwoAtOnce"],
    ),
    Mutant(
        name="old-listing-serves-whoever-asks",
        breaks="A run that a database without its last commits gives out again is made, and started, twice.",
        file="adapters/providers/sevenbridges/marked.py",
        old="self._complete_from is not None and self._complete_from > since",
        new="self._complete_from is not None",
        tests=[f"{_SB_SUBMISSION}::TestHeldAlone"],
    ),
    Mutant(
        name="old-listing-serves-after-a-lost-answer",
        breaks="A draft whose answer was lost is not found, and another is made.",
        file="adapters/providers/sevenbridges/drafts.py",
        old="return None if plan.key in self._doubts else plan.alone_since",
        new="return plan.alone_since",
        tests=[f"{_SB_SUBMISSION}::TestHeldAlone"],
    ),
    Mutant(
        name="newest-draft-taken",
        breaks="Two that find two drafts may not agree on one of them.",
        file="adapters/providers/sevenbridges/drafts.py",
        old="tasks[0] if tasks else None)",
        new="tasks[-1] if tasks else None)",
        tests=[f"{_SB_SUBMISSION}::TestAdopting", f"{_SB_SUBMISSION}::TestTwoAtOnce"],
    ),
    Mutant(
        name="draft-preferred-to-a-run",
        breaks="A draft is started although another task of the run runs already.",
        file="adapters/providers/sevenbridges/drafts.py",
        old="next((task for task in tasks if not task.is_draft), tasks[0] if tasks else None)",
        new="tasks[0] if tasks else None",
        tests=[f"{_SB_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="surplus-draft-left",
        breaks="Drafts pile up in the project, and anybody may start them.",
        file="adapters/providers/sevenbridges/drafts.py",
        old="remove_surplus(self._client, task.id)",
        new="pass",
        tests=[f"{_SB_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="draft-of-a-person-taken",
        breaks="A draft that a person has copied and changed is run, or deleted.",
        file="adapters/providers/sevenbridges/drafts.py",
        old="return task.is_draft and task.name == plan.key and task.description.startswith(plan.key)",
        new="return task.is_draft",
        tests=[f"{_SB_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="found-draft-run-instead-of-the-recorded-one",
        breaks="Two daemons that find different drafts run both.",
        file="adapters/providers/sevenbridges/provider.py",
        old="(task := self._recorded(submission.prepared_id)):",
        new="(task := self._drafts.task_for(read_plan(submission, self._config))):",
        tests=[f"{_SB_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="lost-start-means-no-start",
        breaks="A run whose start was carried out without an answer counts as not started.",
        file="adapters/providers/sevenbridges/starting.py",
        old="        if failure.is_certainly_nothing:\n            raise\n",
        new="        raise NotNow(str(failure)) from failure\n",
        tests=[f"{_SB_LOST}::TestLostAnswers::test_a_lost_start_is_seen_in_the_same_call"],
    ),
    Mutant(
        name="draft-that-still-shows-counts-as-started",
        breaks="A task that the service shows as a draft after it was told to run counts as running.",
        file="adapters/providers/sevenbridges/starting.py",
        old="if task.id == id and task.status and not task.is_draft:",
        new="if True:",
        tests=[f"{_SB_LOST}::TestLostAnswers::test_a_start_after_which_the_draft_still_shows_is_a_doubt"],
    ),
    Mutant(
        name="silence-means-nothing-happened-at-seven-bridges",
        breaks="A call that was carried out without an answer counts as one that was not.",
        file="adapters/providers/sevenbridges/errors.py",
        old="FailureKind.NO_ANSWER: AnswerLost,",
        new="FailureKind.NO_ANSWER: Unavailable,",
        tests=[f"{_SB_LOST}::TestLostAnswers::test_a_lost_answer_is_a_doubt_and_then_resolved", _SB_ANSWERS],
    ),
    Mutant(
        name="failed-list-is-empty",
        breaks="A list that could not be had counts as one without drafts, and another draft is made.",
        file="adapters/providers/sevenbridges/marked.py",
        old="            if is_own or not isinstance(meaning(failure), Unavailable):\n                raise\n",
        new="            if is_own:\n                return\n",
        tests=[f"{_HERE}/test_sevenbridges_refusals.py::TestErrors::test_a_busy_service_has_certainly_started_nothing"],
    ),
    Mutant(
        name="what-a-bulk-answer-leaves-out-is-gone",
        breaks="A run that the service forgot to tell of counts as unknown to it, and is ended.",
        file="adapters/providers/sevenbridges/sweep.py",
        old='return [] if len(errors) == missing else ["the service did not tell of every task"]',
        new="return []",
        tests=[f"{_SB_FOLLOWING}::TestSweeps"],
    ),
    Mutant(
        name="pages-that-hide-what-moved",
        breaks="What is deleted while a list is read hides a draft behind it.",
        file="adapters/providers/sevenbridges/client.py",
        old="offset += max(len(items) - overlap, 1)",
        new="offset += len(items)",
        tests=[f"{_SB_SUBMISSION}::TestTheTwoSteps"],
    ),
)

_HEALTHOMICS: Sequence[Mutant] = (
    Mutant(
        name="request-without-id",
        breaks="The SDK makes an id up, so that a request that is sent twice starts two runs.",
        file="adapters/providers/healthomics/payloads.py",
        old='        "requestId": submission.key,\n',
        new="",
        tests=[f"{_HO_SUBMISSION}::TestLostAnswers::test_a_run_that_is_not_listed_yet_is_found_by_the_request_id"],
    ),
    Mutant(
        name="request-without-tag",
        breaks="A run cannot be told from one that is only named like it.",
        file="adapters/providers/healthomics/payloads.py",
        old="ours = {RUN_ID_TAG: str(submission.run_id), KEY_TAG: str(submission.key)}",
        new="ours = {RUN_ID_TAG: str(submission.run_id)}",
        tests=["tests/unit/adapters/test_healthomics_requests.py"],
    ),
    Mutant(
        name="start-without-a-search",
        breaks="A run whose key the service has forgotten is started again.",
        file="adapters/providers/healthomics/submission.py",
        old="""        if found := self._find(submission.key):
            return found
        self._refuse""",
        new="        self._refuse",
        tests=[
            f"{_HO_SUBMISSION}::TestLostAnswers::test_a_run_of_any_age_is_found_though_the_service_has_forgotten_the_request"
        ],
    ),
    Mutant(
        name="no-horizon",
        breaks="A key that the service may have forgotten is sent again, where the first run may only be deleted.",
        file="adapters/providers/healthomics/submission.py",
        old="if submission.in_doubt_for > horizon:",
        new="if False:",
        tests=[f"{_HO_SUBMISSION}::TestForgottenRequests"],
    ),
    Mutant(
        name="name-believed",
        breaks="A run of somebody else that bears our name is taken for ours.",
        file="adapters/providers/healthomics/submission.py",
        old='provider_run_id if (run.get("tags") or {}).get(KEY_TAG) == key else None',
        new="provider_run_id",
        tests=[f"{_HO_SUBMISSION}::TestFinding"],
    ),
    Mutant(
        name="repetition-is-a-refusal",
        breaks="A run that runs is ended, for the service refuses to start it twice.",
        file="adapters/providers/healthomics/submission.py",
        old='if refusal.code == "ConflictException" or speaks_of_repetition(str(refusal)):',
        new="if False:",
        tests=[
            f"{_HO_SUBMISSION}::TestLostAnswers::test_a_repeated_request_is_no_rejection_though_the_run_is_not_listed_yet",
            f"{_HO_SUBMISSION}::TestLostAnswers::test_a_conflict_that_is_no_repetition_is_left_open",
        ],
    ),
    Mutant(
        name="no-search-after-a-refusal",
        breaks="A run that is listed by then is not found, and is ended as refused.",
        file="adapters/providers/healthomics/submission.py",
        old="""            found = self._find(submission.key)
        if found is not None:""",
        new="""            found = None
        if found is not None:""",
        tests=[f"{_HO_SUBMISSION}::TestLostAnswers::test_a_run_that_is_listed_only_by_then_is_found_after_the_refusal"],
    ),
    Mutant(
        name="rejected-unsearched",
        breaks="A run that was started under other settings is ended as refused under the new ones.",
        file="adapters/providers/healthomics/submission.py",
        old="return self._started_before(submission, rejection)",
        new="raise",
        tests=[f"{_HO_SUBMISSION}::TestLostAnswers::test_a_run_that_was_started_under_other_settings_is_not_rejected"],
    ),
    Mutant(
        name="refusal-takes-back-a-doubt",
        breaks="A run that an earlier attempt may have started is ended, for a later attempt was refused.",
        file="adapters/providers/healthomics/submission.py",
        old="    if not submission.resumed:\n        return rejection\n",
        new="    return rejection\n",
        tests=[f"{_HO_SUBMISSION}::TestForgottenRequests"],
    ),
    Mutant(
        name="uuid-not-compared",
        breaks="A later run that got the id of a deleted one is taken for it.",
        file="adapters/providers/healthomics/identity.py",
        old='return self.uuid is None or run.get("uuid") in (None, self.uuid)',
        new="return True",
        tests=[f"{_HO_FOLLOWING}::TestReusedIds"],
    ),
    Mutant(
        name="cancel-without-a-look",
        breaks="A cancel by a reused id stops somebody else's run.",
        file="adapters/providers/healthomics/provider.py",
        old="if run is None or not self._may_be_cancelled(run):",
        new="if run is None:",
        tests=[f"{_HO_FOLLOWING}::TestReusedIds"],
    ),
    Mutant(
        name="sweep-begun-again-after-trouble",
        breaks="What was read before the budget was spent is read again, so that a long sweep never comes to its end.",
        file="adapters/providers/healthomics/listing.py",
        old="return max(long_enough, _GOOD_AFTER_TROUBLE) if sweep.troubles else long_enough",
        new="return timedelta(0) if sweep.troubles else long_enough",
        tests=[f"{_HO_FOLLOWING}::TestTrouble", _HO_LISTING],
    ),
    Mutant(
        name="old-look-told-again",
        breaks="Who asks for a run again is told what was seen the last time.",
        file="adapters/providers/healthomics/sweep.py",
        old="        self._looks.update(dict.fromkeys(found))\n",
        new="",
        tests=[f"{_HO_FOLLOWING}::TestManyRuns", _HO_LISTING],
    ),
    Mutant(
        name="part-of-a-sweep-thrown-away",
        breaks="A sweep that one batch does not bring to its end is given up, and each run is asked for by itself.",
        file="adapters/providers/healthomics/listing.py",
        old="return spent < missing or sweep.ours >= sweep.pages",
        new="return spent < missing",
        tests=[_HO_LISTING],
    ),
    Mutant(
        name="broken-list-is-empty",
        breaks="A list that was cut short on its way counts as empty, and the run is started again.",
        file="adapters/providers/healthomics/connection.py",
        old='        client.meta.events.register("before-parse.omics.*", _check_body)\n',
        new="",
        tests=[f"{_HO_SUBMISSION}::TestFinding"],
    ),
    Mutant(
        name="first-page-is-all",
        breaks="A run that stands on the second page is not found, and is started again.",
        file="adapters/providers/healthomics/client.py",
        old='while (token := page.get("nextToken")) and token not in seen:',
        new="while token := None:",
        tests=[f"{_HO_SUBMISSION}::TestFinding"],
    ),
    Mutant(
        name="silence-means-nothing-happened-at-healthomics",
        breaks="A call that was carried out without an answer counts as one that was not.",
        file="adapters/providers/healthomics/errors.py",
        old='"ReadTimeoutError": Meaning.FAILED,',
        new='"ReadTimeoutError": Meaning.NOTHING_SENT,',
        tests=[_HO_ERRORS],
    ),
    Mutant(
        name="sdk-tries-by-itself",
        breaks="The SDK sends a request again without waiting for its turn.",
        file="adapters/providers/healthomics/connection.py",
        old='"total_max_attempts": 1',
        new='"total_max_attempts": 3',
        tests=[f"{_HERE}/test_healthomics_manners.py::TestNetwork"],
    ),
    Mutant(
        name="named-time-not-kept",
        breaks="A service that has named a time is called before it.",
        file="adapters/providers/healthomics/client.py",
        old="            self._hold(now + wait, operation)",
        new="            pass",
        tests=[
            f"{_HERE}/test_healthomics_manners.py::TestStorm::test_the_time_that_a_service_names_holds_for_everybody"
        ],
    ),
)

_LOCAL: Sequence[Mutant] = (
    Mutant(
        name="mark-made-twice",
        breaks="Two runners of one run both take it.",
        file="adapters/providers/local/run_directory.py",
        old="    except FileExistsError:\n        return False",
        new="    except FileExistsError:\n        return True",
        tests=[
            f"{_LOCAL_PROCESSES}::test_a_lost_run_is_not_started_again",
            f"{_HERE}/test_local_contract.py::TestLocalProvider::test_what_was_started_is_not_discarded",
        ],
    ),
    Mutant(
        name="accepted-without-a-runner",
        breaks="A run that nobody has taken counts as started.",
        file="adapters/providers/local/provider.py",
        old="        if not run.has_started:\n            raise OutcomeUnknown",
        new="        if False:\n            raise OutcomeUnknown",
        tests=[f"{_LOCAL_SETUP}::test_a_run_that_no_runner_took_is_not_called_accepted"],
    ),
    Mutant(
        name="disk-away-means-run-gone",
        breaks="While a disk is not mounted, all runs on it count as unknown, and are ended.",
        file="adapters/providers/local/provider.py",
        old='raise unusable(self._workdir, "there is no such directory")',
        new="return None",
        tests=[f"{_LOCAL_SETUP}::test_runs_are_not_called_unknown_while_their_disk_is_away"],
    ),
    Mutant(
        name="running-run-discarded",
        breaks="The directory of a run is removed while it runs.",
        file="adapters/providers/local/preparation.py",
        old="if run.is_cancelled or not run.mark_started(now):",
        new="if run.is_cancelled:",
        tests=[f"{_HERE}/test_local_contract.py::TestLocalProvider::test_what_was_started_is_not_discarded"],
    ),
    Mutant(
        name="directory-by-attempt",
        breaks="Every attempt has a directory of its own, and runs.",
        file="adapters/providers/local/provider.py",
        old="return self._directory(directory_name(key))",
        new='return self._directory(directory_name(IdempotencyKey(f"{key}-{self._clock.monotonic()}")))',
        tests=[f"{_LOCAL_SETUP}::test_a_run_that_is_there_is_accepted_again_without_being_judged_again"],
    ),
)

_DECORATIONS: Sequence[Mutant] = (
    Mutant(
        name="doubt-forgotten-by-the-next-attempt",
        breaks="An attempt that may have started the run is forgotten when the next one certainly did not.",
        file="adapters/providers/decorators/retrying.py",
        old="            if doubts:\n",
        new="            if False:\n",
        tests=[f"{_DECORATORS}::TestRetrying"],
    ),
    Mutant(
        name="unprovable-retried",
        breaks="What no call can tell is asked for again and again.",
        file="adapters/providers/decorators/retrying.py",
        old="if isinstance(error, CircuitOpen | Unprovable):",
        new="if isinstance(error, CircuitOpen):",
        tests=[f"{_DECORATORS}::TestRetrying"],
    ),
    Mutant(
        name="circuit-never-opens",
        breaks="A service that is down is called without end.",
        file="adapters/providers/decorators/breaking.py",
        old="if not is_open and self._failures < self._policy.failures:",
        new="if not is_open:",
        tests=[f"{_BREAKING}::TestClosed"],
    ),
    Mutant(
        name="circuit-never-closes",
        breaks="A service that is well again is left alone for ever.",
        file="adapters/providers/decorators/breaking.py",
        old="                self._opened_at = None\n                self._begin_era()",
        new="                self._begin_era()",
        tests=[f"{_BREAKING}::TestHalfOpen"],
    ),
    Mutant(
        name="circuit-not-in-the-way",
        breaks="Providers are called past the circuit.",
        file="adapters/providers/decorators/stack.py",
        old="Retrying(breaker, type",
        new="Retrying(provider, type",
        tests=[f"{_DECORATORS}::TestBreaking"],
    ),
    Mutant(
        name="two-calls-try-the-service",
        breaks="All daemons' threads fall upon a service that is just coming back.",
        file="adapters/providers/decorators/breaking.py",
        old="            raise self._refusal(self._policy.probe)\n        self._is_probing = True",
        new="            raise self._refusal(self._policy.probe)",
        tests=[f"{_BREAKING}::TestHalfOpen"],
    ),
    Mutant(
        name="throttling-is-a-failure",
        breaks="A service that is busy counts as down.",
        file="adapters/providers/decorators/breaking.py",
        old="except (Unavailable, AnswerLost) as error:",
        new="except (Unavailable, AnswerLost, Throttled) as error:",
        tests=[f"{_BREAKING}::TestClosed"],
    ),
    Mutant(
        name="late-failures-prolong-the-rest",
        breaks="Calls that were under way when the service went down keep its circuit open.",
        file="adapters/providers/decorators/breaking.py",
        old="            if era != self._era:\n                return None\n",
        new="",
        tests=[f"{_BREAKING}::TestOpen"],
    ),
    Mutant(
        name="hold-shortened",
        breaks="A service that has named two times is called after the earlier one.",
        file="adapters/providers/decorators/rate_limiting.py",
        old="self._held_until[operation] = max(before, end)",
        new="self._held_until[operation] = end",
        tests=[_TURNS],
    ),
    Mutant(
        name="turns-cost-nothing",
        breaks="Calls keep no pace, and the service throttles them.",
        file="adapters/providers/decorators/turns.py",
        old="        self._next_due = max(self._next_due, now) + self._interval\n",
        new="",
        tests=[_TURNS],
    ),
    Mutant(
        name="following-spends-the-reserve",
        breaks="A submission or a cancel has to wait for what polls have spent.",
        file="adapters/providers/decorators/shares.py",
        old="open = min(_whole(left.tokens - rate.reserve), wish.urgent + wish.following)",
        new="open = min(_whole(left.tokens), wish.urgent + wish.following)",
        tests=[f"{_SHARED}::TestTheReserve"],
    ),
    Mutant(
        name="old-blocks-stay-good",
        breaks="Replicas that were quiet for long all call at once, and pass the limit.",
        file="adapters/providers/decorators/turns.py",
        old="        if self._block.ends_at <= now:\n            self._block = Block()\n",
        new="",
        tests=[f"{_SHARED}::TestTheLimit"],
    ),
    Mutant(
        name="first-come-first-served",
        breaks="A submission waits behind all polls that came before it.",
        file="adapters/providers/decorators/turns.py",
        old="        first = order[: order.index(mine)]\n",
        new="        first = order[:0]\n",
        tests=["tests/unit/adapters/test_turns.py"],
    ),
    Mutant(
        name="throttling-unheard-by-others",
        breaks="Each replica has to be turned away itself before it slows down.",
        file="adapters/providers/decorators/turns.py",
        old="told = self._tell(partial(slow_down, rate=self._rate))",
        new="told = None",
        tests=[f"{_SHARED}::TestThrottling"],
    ),
    Mutant(
        name="sent-under-a-lease-that-ends",
        breaks="A request goes out that may arrive when others have taken the run over.",
        file="adapters/providers/decorators/under_lease.py",
        old='raise NotSent(f"{operation} was not sent: {error}", retry_after=longest_request) from error',
        new="pass",
        tests=["tests/unit/adapters/test_under_lease.py"],
    ),
)

OF_PROVIDERS: Sequence[Mutant] = (*_SEVENBRIDGES, *_HEALTHOMICS, *_LOCAL, *_DECORATIONS)
