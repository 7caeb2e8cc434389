"""Mutants of first submissions: which runs may have been sent before, although the database does not know it."""

import ast
from collections.abc import Sequence

from tests.mutations.changes import always, drop, never, replace
from tests.mutations.mutant import Mutant
from tests.mutations.picks import argument, call, calls, field_of, has, the, uses
from wes_daemon.adapters.memory import watching as memory
from wes_daemon.adapters.memory.leases import MemoryLeaseRepository
from wes_daemon.adapters.memory.store import SubmissionRow
from wes_daemon.adapters.memory.submissions import MemorySubmissionQueue
from wes_daemon.adapters.persistence import watching
from wes_daemon.adapters.persistence.leases import SqlLeaseRepository
from wes_daemon.adapters.providers.healthomics.submission import RunStarter
from wes_daemon.application.ports.providers import Submission
from wes_daemon.application.reconciling.adopt_inherited_runs import AdoptInheritedRuns
from wes_daemon.application.reconciling.comparison import Comparison
from wes_daemon.application.submitting import submit_claimed_run
from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns

_FIRST = "tests/unit/application/test_first_submissions.py"
_HISTORIES = f"{_FIRST}::test_no_run_was_queued_longer_ago_than_its_provider_is_told"
_SQL = "tests/integration/persistence/test_first_submissions.py"
_RESTORED = f"{_SQL}::test_an_older_restored_database_starts_no_second_run_though_the_keys_are_forgotten"
_PROVIDER = "tests/integration/providers/test_healthomics_submission.py::TestFirstSubmissions"
_MEMORY = "tests/unit/adapters/test_memory_persistence.py::TestMemoryPersistence"

WATCHING: Sequence[Mutant] = (
    Mutant(
        name="old-row-unsearched",
        breaks="A run that a restored database has lost is started again once the service has forgotten its key.",
        at=RunStarter._may_have_been_sent,
        change=drop(the(ast.Compare, has(ast.Gt))),
        tests=[_PROVIDER],
    ),
    Mutant(
        name="doubt-unsearched",
        breaks="A run whose answer was lost is started again after the service has forgotten its key.",
        at=RunStarter._may_have_been_sent,
        change=drop(the(ast.Attribute, uses(field_of(Submission).resumed))),
        tests=[_PROVIDER],
    ),
    Mutant(
        name="new-run-searched",
        breaks="Each first submission to HealthOmics costs two calls.",
        at=RunStarter.submit,
        change=always(the(ast.If, uses(RunStarter._may_have_been_sent))),
        tests=[_PROVIDER],
    ),
    Mutant(
        name="gap-unnoticed",
        breaks="The rows of a database that was restored after a long time count as new.",
        at=SqlLeaseRepository.open,
        change=drop(call(watching.forget_watch_after_gap)),
        tests=[_RESTORED],
    ),
    Mutant(
        name="old-rows-watched",
        breaks="Rows that were there before any session count as new.",
        at=watching._beginning,
        change=drop(the(ast.UnaryOp, uses(watching._may_be_old))),
        tests=[_RESTORED],
    ),
    Mutant(
        name="gap-unnoticed-in-memory",
        breaks="The rows of a store that was restored after a long time count as new.",
        at=MemoryLeaseRepository.open,
        change=drop(call(memory.forget_watch_after_gap)),
        tests=[_HISTORIES],
    ),
    Mutant(
        name="old-rows-watched-in-memory",
        breaks="Rows that were there before any session count as new.",
        at=memory.watch,
        change=always(the(ast.If)),
        tests=[_HISTORIES],
    ),
    Mutant(
        name="queued-again-as-new-in-memory",
        breaks="A run that was given up in doubt and is queued again counts as new.",
        at=MemorySubmissionQueue._reopen,
        change=drop(argument(field_of(SubmissionRow).enrolled_at)),
        tests=[f"{_MEMORY}::test_a_run_that_is_queued_again_keeps_the_time_of_its_first_enrolment"],
    ),
    Mutant(
        name="no-time-before-the-enrolment",
        breaks="A run that waited before it was enrolled counts as younger than it is.",
        at=submit_claimed_run._queued_for,
        change=replace(the(ast.BinOp, has(ast.Add)), lambda it: it.left),
        tests=[_FIRST],
    ),
    Mutant(
        name="queued-again-as-new",
        breaks="A run that a provider has executed already counts as new.",
        at=submit_claimed_run._queued_for,
        change=drop(call(submit_claimed_run._was_queued_again)),
        tests=[_FIRST],
    ),
    Mutant(
        name="never-watched-while-rows-come",
        breaks="In a queue that is never empty no run counts as new, so each costs two calls.",
        at=SubmitQueuedRuns._enrol_batch,
        change=drop(the(ast.Return).the(ast.Call)),
        tests=[_FIRST],
    ),
    Mutant(
        name="inherited-unsearched-for-its-own",
        breaks="A run that this daemon submitted before the database was restored to its first state is released.",
        at=AdoptInheritedRuns._read_former_runs,
        change=never(the(ast.If, calls(Comparison.owned_runs_of))),
        tests=["tests/unit/application/test_adopt_inherited_runs.py"],
    ),
)
