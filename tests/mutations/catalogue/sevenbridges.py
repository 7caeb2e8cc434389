"""Mutants of the Seven Bridges provider: ownership markers, drafts, listings, lost answers."""

import ast
from collections.abc import Sequence

from tests.mutations.changes import always, drop, in_turn, never, replace
from tests.mutations.mutant import Mutant, Variable
from tests.mutations.picks import call, constant, entry, handler, has, name_of, receiver, the, uses
from wes_daemon.adapters.http_connections import NoConnection
from wes_daemon.adapters.providers.sevenbridges import errors, sdk
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient, requested_block
from wes_daemon.adapters.providers.sevenbridges.codes import Verdict
from wes_daemon.adapters.providers.sevenbridges.drafts import Drafts, OwnedTasks, _choose, _is_unmodified_draft
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, FailureKind
from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider
from wes_daemon.adapters.providers.sevenbridges.statuses import _reason_for_unknown
from wes_daemon.adapters.providers.sevenbridges.task_request import read_task_request, task_body
from wes_daemon.adapters.providers.sevenbridges.tasks import Task, _check_started, delete_surplus_draft, start_task
from wes_daemon.application.ports.errors import AmbiguousRefusal, NotNow, Unavailable

_HERE = "tests/integration/providers"
_SUBMISSION = f"{_HERE}/test_sevenbridges_submission.py"
_LOST = f"{_HERE}/test_sevenbridges_lost_answers.py"
_FOLLOWING = f"{_HERE}/test_sevenbridges_following.py"
_ANSWERS = "tests/unit/adapters/test_sevenbridges_answers.py"
_CODES = "tests/unit/adapters/test_sevenbridges_codes.py"

SEVENBRIDGES: Sequence[Mutant] = (
    Mutant(
        name="draft-without-marker",
        breaks="A draft has no ownership marker, so the next attempt does not find it and creates another one.",
        at=task_body,
        change=in_turn(replace(entry("name"), '"a run"'), replace(entry("description"), '""')),
        tests=[f"{_SUBMISSION}::TestTheTwoSteps"],
    ),
    Mutant(
        name="marker-only-in-the-name",
        breaks="A task that a person has renamed is not found again.",
        at=task_body,
        change=drop(entry("description")),
        tests=[f"{_SUBMISSION}::TestTheTwoSteps"],
    ),
    Mutant(
        name="draft-made-and-run-in-one-call",
        breaks="A run is started before it is recorded, and the next attempt starts another one.",
        at=Drafts._post_draft,
        change=replace(
            call(SevenBridgesClient.post),
            lambda it: ast.Call(it.func, it.args, [*it.keywords, ast.keyword("action", ast.Constant("run"))]),
        ),
        tests=[f"{_SUBMISSION}::TestTheTwoSteps"],
    ),
    Mutant(
        name="draft-made-without-a-search",
        breaks="Every attempt creates another draft.",
        at=Drafts.find_or_create,
        change=drop(call(Drafts._find)),
        tests=[f"{_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="draft-made-without-waiting-for-the-list",
        breaks="After a lost answer another draft is created, although the first one may only not be listed yet.",
        at=Drafts._create,
        change=drop(call(Drafts._refuse_within_listing_lag)),
        tests=[f"{_LOST}::TestLostAnswers::test_while_a_new_draft_may_not_be_listed_no_other_is_made"],
    ),
    Mutant(
        name="no-second-search-after-a-draft",
        breaks="Two daemons that create a draft at the same moment use one draft each.",
        at=Drafts._oldest,
        change=drop(call(Drafts._find)),
        tests=[f"{_SUBMISSION}::TestTwoAtOnce"],
    ),
    Mutant(
        name="old-listing-serves-a-later-claim",
        breaks="A run that is claimed again after the database lost its last commits is created and started twice.",
        at=OwnedTasks._is_listed_since,
        change=drop(the(ast.Compare, has(ast.Gt))),
        tests=[f"{_SUBMISSION}::TestHeldAlone"],
    ),
    Mutant(
        name="old-listing-serves-after-a-lost-answer",
        breaks="A draft whose creation was not answered is not found, and another one is created.",
        at=Drafts._exclusive_since,
        change=replace(the(ast.IfExp), lambda it: it.orelse),
        tests=[f"{_SUBMISSION}::TestHeldAlone"],
    ),
    Mutant(
        name="newest-draft-taken",
        breaks="Two daemons that find the same two drafts may choose different ones.",
        at=_choose,
        change=replace(constant(0), "-1"),
        tests=[f"{_SUBMISSION}::TestAdopting", f"{_SUBMISSION}::TestTwoAtOnce"],
    ),
    Mutant(
        name="draft-preferred-to-a-run",
        breaks="A draft is started although another task of the run is already running.",
        at=_choose,
        change=replace(call(next), lambda it: it.args[1]),
        tests=[f"{_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="surplus-draft-left",
        breaks="Surplus drafts accumulate in the project, where every member can start them.",
        at=Drafts._find,
        change=drop(call(delete_surplus_draft)),
        tests=[f"{_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="draft-of-a-person-taken",
        breaks="A draft that a person has copied and changed is started or deleted.",
        at=_is_unmodified_draft,
        change=replace(the(ast.BoolOp), "is_draft", is_draft=the(ast.Attribute, uses(Task.is_draft))),
        tests=[f"{_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="found-draft-run-instead-of-the-recorded-one",
        breaks="Two daemons that find different drafts start both.",
        at=SevenBridgesProvider.submit,
        change=replace(
            call(Drafts.recorded),
            f"drafts.{name_of(Drafts.find_or_create)}(read(submission, self._config))",
            drafts=call(Drafts.recorded).part(receiver),
            read=read_task_request,
            submission=call(Drafts.recorded).the(ast.Name, nth=-1),
        ),
        tests=[f"{_SUBMISSION}::TestAdopting"],
    ),
    Mutant(
        name="lost-start-means-no-start",
        breaks="A run whose start was executed but not answered counts as not started.",
        at=start_task,
        change=replace(
            handler(Failure).the(ast.If),
            "raise not_now(str(failure)) from failure",
            not_now=NotNow,
            failure=the(ast.Attribute, uses(Failure.is_unprocessed)).part(lambda it: it.value),
        ),
        tests=[f"{_LOST}::TestLostAnswers::test_a_lost_start_is_seen_in_the_same_call"],
    ),
    Mutant(
        name="draft-that-still-shows-counts-as-started",
        breaks="A task that is still a draft after the request to run it counts as running.",
        at=_check_started,
        change=always(the(ast.If, has(ast.Return))),
        tests=[f"{_LOST}::TestLostAnswers::test_a_start_after_which_the_draft_still_shows_is_a_doubt"],
    ),
    Mutant(
        name="silence-means-nothing-happened-at-seven-bridges",
        breaks="A call that was executed but not answered counts as not executed.",
        at=Variable(errors, errors._KINDS),
        change=replace(entry(FailureKind.NO_ANSWER), "other", other=Unavailable),
        tests=[f"{_LOST}::TestLostAnswers::test_a_lost_answer_is_a_doubt_and_then_resolved", _ANSWERS],
    ),
    Mutant(
        name="failed-list-is-empty",
        breaks="A listing that failed counts as a listing without drafts, and another draft is created.",
        at=OwnedTasks._wait_for_listing,
        change=in_turn(
            drop(handler(Failure).the(ast.UnaryOp, has(ast.Not))),
            replace(handler(Failure).the(ast.If).the(ast.Raise), "return"),
        ),
        tests=[f"{_HERE}/test_sevenbridges_refusals.py::TestErrors::test_a_busy_service_has_certainly_started_nothing"],
    ),
    Mutant(
        name="what-a-bulk-answer-leaves-out-is-gone",
        breaks="A run that a bulk answer omits counts as unknown to the service, and is ended.",
        at=_reason_for_unknown,
        change=replace(the(ast.IfExp), lambda it: it.body),
        tests=[f"{_FOLLOWING}::TestSweeps"],
    ),
    Mutant(
        name="pages-that-hide-what-moved",
        breaks="A task that is deleted while a listing is read hides a draft on the next page.",
        at=SevenBridgesClient.pages,
        change=replace(call(max), "length", length=call(len)),
        tests=[f"{_SUBMISSION}::TestTheTwoSteps"],
    ),
    Mutant(
        name="coded-refusal-blocks-the-provider",
        breaks="One run that names a file without permission keeps all other runs of the provider waiting.",
        at=Variable(errors, errors._VERDICTS),
        change=replace(entry(Verdict.RUN), "other", other=AmbiguousRefusal),
        tests=[f"{_CODES}::TestCodes"],
    ),
    Mutant(
        name="hidden-draft-rejects-its-run",
        breaks="A run whose recorded draft is not shown is rejected, although an earlier attempt may have started it.",
        at=Drafts.recorded,
        change=never(the(ast.If, has(ast.BinOp))),
        tests=[f"{_HERE}/test_sevenbridges_refusals.py::TestBlame"],
    ),
    Mutant(
        name="failed-handshake-may-have-started-a-run",
        breaks="A start that was never sent, because of a certificate or a proxy, is in doubt.",
        at=Variable(sdk, sdk._NOT_SENT),
        change=drop(the(ast.Name, uses(NoConnection))),
        tests=[f"{_HERE}/test_sevenbridges_connections.py::TestHandshakes", f"{_CODES}::TestExceptions"],
    ),
    Mutant(
        name="any-answer-waits-for-the-end-of-the-window",
        breaks="One 503 holds all calls for up to five minutes, because every answer names the end of the window.",
        at=requested_block,
        change=always(the(ast.If, nth=0)),
        tests=[f"{_ANSWERS}::TestRateHeaders"],
    ),
    Mutant(
        name="each-refused-thread-reads-the-token",
        breaks="Threads that are refused together read the file of the token one after the other.",
        at=SevenBridgesClient._reload_token,
        change=never(the(ast.If, nth=0)),
        tests=[f"{_HERE}/test_sevenbridges_tokens.py::TestReloading"],
    ),
)
