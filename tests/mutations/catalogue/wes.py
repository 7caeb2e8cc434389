"""Mutants of the provider for WES servers: ownership markers, doubts, ends that are none, credentials."""

import ast
from collections.abc import Sequence

from tests.mutations.changes import drop, never, replace
from tests.mutations.mutant import Mutant
from tests.mutations.picks import calls, the, uses
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.errors import Failure
from wes_daemon.adapters.providers.wes.inventory import Inventory
from wes_daemon.adapters.providers.wes.logs import FailureWords
from wes_daemon.adapters.providers.wes.run_request import _tags
from wes_daemon.adapters.providers.wes.statuses import StatusReader
from wes_daemon.adapters.providers.wes.submission import RunStarter
from wes_daemon.application.ports.errors import Misconfigured
from wes_daemon.domain.states import RunState

_HERE = "tests/integration/providers"
_SUBMISSION = f"{_HERE}/test_wes_submission.py"
_DOUBTS = f"{_HERE}/test_wes_doubts.py"
_FOLLOWING = f"{_HERE}/test_wes_following.py"
_DETAILS = f"{_HERE}/test_wes_details.py"

WES: Sequence[Mutant] = (
    Mutant(
        name="doubt-sent-again",
        breaks="After a lost answer the request is sent again to a server that starts a second run.",
        at=RunStarter.submit,
        change=never(the(ast.If, calls(RunStarter._is_key_honoured))),
        tests=[f"{_DOUBTS}::TestDoubts"],
    ),
    Mutant(
        name="unclear-refusal-after-a-doubt",
        breaks="A run that may have been started is rejected when the server accepts other runs.",
        at=RunStarter._start_again,
        change=never(the(ast.If, calls(Misconfigured))),
        tests=[f"{_DOUBTS}::TestDoubts"],
    ),
    Mutant(
        name="run-without-tag",
        breaks="A run whose answer was lost is never found.",
        at=_tags,
        change=drop(the(ast.Expr, uses("KEY_TAG"))),
        tests=[f"{_SUBMISSION}::TestWhatIsSent"],
    ),
    Mutant(
        name="unstored-request-remembered",
        breaks="A run that the server lists before it has stored the request is never found.",
        at=Inventory._identity,
        change=never(the(ast.If, uses("request"))),
        tests=[f"{_DETAILS}::TestSearching"],
    ),
    Mutant(
        name="error-page-ends-runs",
        breaks="A wrong address or a proxy's error page makes every run count as unknown, and ends it after an hour.",
        at=Failure.is_unknown_run,
        change=replace(the(ast.BoolOp), lambda it: it.values[0]),
        tests=[f"{_FOLLOWING}::TestUnreadableRuns"],
    ),
    Mutant(
        name="end-not-confirmed",
        breaks="A run that goes on ends EXECUTOR_ERROR, because wes-service says so once after a restart.",
        at=StatusReader._confirmed,
        change=never(the(ast.If, uses(RunState.has_ended))),
        tests=[f"{_FOLLOWING}::TestStates"],
    ),
    Mutant(
        name="credential-for-another-host",
        breaks="The token is sent to any host that a server names as the place of a log.",
        at=FailureWords._end_of,
        change=never(the(ast.If, calls(WesConfig.is_same_server))),
        tests=[f"{_FOLLOWING}::TestFailures"],
    ),
)
