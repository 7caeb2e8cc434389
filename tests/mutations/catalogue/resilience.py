"""Mutants of the local provider, and of the decorators around every provider: retries, circuit breaker, quotas."""

import ast
from collections.abc import Sequence

from tests.mutations.changes import always, drop, never, replace
from tests.mutations.mutant import Mutant
from tests.mutations.picks import call, calls, constant, handler, has, name_of, raises, the, uses
from wes_daemon.adapters.providers.local.disk import write_when_possible
from wes_daemon.adapters.providers.local.downloads import _received
from wes_daemon.adapters.providers.local.external_engine import _is_json_object, external_result, was_killed
from wes_daemon.adapters.providers.local.journal import Journal
from wes_daemon.adapters.providers.local.plan import recorded_engine
from wes_daemon.adapters.providers.local.provider import LocalProvider
from wes_daemon.adapters.providers.local.run_directory import RunDirectory, _write_state_file, as_json
from wes_daemon.adapters.providers.local.runner import _execute_with
from wes_daemon.adapters.providers.local.work_directory import delete_draft, directory_name
from wes_daemon.adapters.resilience.call_gate import LeaseCheckedGate, _Blocks
from wes_daemon.adapters.resilience.call_priority import Prioritising
from wes_daemon.adapters.resilience.call_queue import CallQueue
from wes_daemon.adapters.resilience.circuit_breaking import CircuitBreaking, _Circuit, _State
from wes_daemon.adapters.resilience.quotas import LocalQuota, grant_calls
from wes_daemon.adapters.resilience.retrying import Retrying
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import AnswerLost, OutcomeUnknown, Throttled, Unprovable
from wes_daemon.domain.runs import IdempotencyKey
from wes_daemon.plugins.rates import Rate

_HERE = "tests/integration/providers"
_CONTRACT = f"{_HERE}/test_local_contract.py::TestLocalProvider"
_SETUP = f"{_HERE}/test_local_setup.py"
_ENGINES = f"{_HERE}/test_local_engines.py"
_DOWNLOADS = f"{_HERE}/test_local_downloads.py"
_FULL_DISK = f"{_HERE}/test_local_full_disk.py"
_INPUTS = f"{_HERE}/test_local_inputs.py"
_PROCESSES = f"{_HERE}/test_local_processes.py"
_DECORATORS = "tests/unit/adapters/test_decorators.py"
_BREAKING = "tests/unit/adapters/test_circuit_breaking.py"
_GATE = "tests/unit/adapters/test_call_gate.py"
_QUOTAS = "tests/unit/adapters/test_shared_quotas.py"

LOCAL: Sequence[Mutant] = (
    Mutant(
        name="jobs-of-a-killed-engine",
        breaks="The jobs that a killed engine has left go on in the scheduler.",
        at=_execute_with,
        change=never(the(ast.If, calls(was_killed))),
        tests=[f"{_ENGINES}::test_an_engine_that_ignores_sigterm_is_killed_and_its_jobs_are_ended"],
    ),
    Mutant(
        name="engine-of-a-lost-run-killed",
        breaks="The engine of a run whose runner died is killed before it has ended its jobs in the scheduler.",
        at=LocalProvider._finalise,
        change=never(the(ast.If, calls(recorded_engine))),
        tests=[f"{_ENGINES}::test_a_run_whose_runner_was_killed_ends_its_engine_as_a_cancellation_does"],
    ),
    Mutant(
        name="no-outputs-is-complete",
        breaks="A run of a command that is no engine, and prints something else than outputs, counts as complete.",
        at=external_result,
        change=replace(call(_is_json_object), "True"),
        tests=[f"{_ENGINES}::test_an_engine_that_prints_no_outputs_is_the_fault_of_the_set_up"],
    ),
    Mutant(
        name="state-file-written-twice",
        breaks="Two runners execute the same run.",
        at=_write_state_file,
        change=replace(handler(FileExistsError).the(ast.Return), "return True"),
        tests=[
            f"{_PROCESSES}::test_a_lost_run_is_not_started_again",
            f"{_CONTRACT}::test_a_started_run_is_not_deleted_as_a_draft",
        ],
    ),
    Mutant(
        name="accepted-without-a-runner",
        breaks="A run that no runner executes counts as started.",
        at=LocalProvider.submit,
        change=never(the(ast.If, raises(OutcomeUnknown))),
        tests=[f"{_SETUP}::test_a_run_that_no_runner_took_is_not_called_accepted"],
    ),
    Mutant(
        name="disk-away-means-run-gone",
        breaks="While a disk is not mounted, all runs on it count as unknown, and are ended.",
        at=LocalProvider._find,
        change=replace(the(ast.Raise), "return None"),
        tests=[f"{_SETUP}::test_runs_are_not_called_unknown_while_their_disk_is_away"],
    ),
    Mutant(
        name="running-run-deleted",
        breaks="The directory of a run is deleted while the run is running.",
        at=delete_draft,
        change=drop(the(ast.UnaryOp, calls(RunDirectory.record_start))),
        tests=[f"{_CONTRACT}::test_a_started_run_is_not_deleted_as_a_draft"],
    ),
    Mutant(
        name="directory-by-attempt",
        breaks="Every attempt has a directory of its own, and each of them is executed.",
        at=LocalProvider._run,
        change=replace(
            call(directory_name).part(lambda it: it.args[0]),
            f'key(f"{{_}}-{{self._clock.{name_of(Clock.monotonic)}()}}")',
            key=IdempotencyKey,
        ),
        tests=[f"{_SETUP}::test_a_run_that_is_there_is_accepted_again_without_being_judged_again"],
    ),
    Mutant(
        name="error-page-as-data",
        breaks="The text of an error page becomes the input of a run, which completes.",
        at=_received,
        change=always(the(ast.If, nth=0)),
        tests=[f"{_DOWNLOADS}::test_an_answer_that_is_not_the_file_is_refused_at_once"],
    ),
    Mutant(
        name="result-written-once",
        breaks="The result of a run that ends on a full disk is lost.",
        at=write_when_possible,
        change=always(the(ast.If)),
        tests=[f"{_FULL_DISK}::test_a_write_is_repeated_while_its_error_can_pass"],
    ),
    Mutant(
        name="deletion-forgotten",
        breaks="A run whose directory was deleted is unknown, and no cancellation finds its processes.",
        at=RunDirectory.record_result,
        change=always(the(ast.If)),
        tests=[f"{_HERE}/test_local_deleted.py::test_a_run_that_ended_after_its_directory_was_deleted_has_a_reason"],
    ),
    Mutant(
        name="surrogates-escaped",
        breaks="A character beyond the BMP reaches cwltool as two characters that no text may contain.",
        at=as_json,
        change=replace(constant(False), "True"),
        tests=[f"{_INPUTS}::test_characters_beyond_the_bmp_reach_the_workflow_and_come_back"],
    ),
    Mutant(
        name="notice-lost",
        breaks="An input that the workflow ignores leaves no notice.",
        at=Journal.note,
        change=drop(call(Journal._write)),
        tests=[f"{_INPUTS}::test_an_unknown_input_is_ignored_and_leaves_a_notice"],
    ),
)

RESILIENCE: Sequence[Mutant] = (
    Mutant(
        name="doubt-forgotten-by-the-next-attempt",
        breaks="An attempt that may have started the run is forgotten when the next attempt certainly did not.",
        at=Retrying._retry,
        change=never(the(ast.If, raises(OutcomeUnknown))),
        tests=[f"{_DECORATORS}::TestRetrying"],
    ),
    Mutant(
        name="unprovable-retried",
        breaks="A request whose outcome no call can determine is retried.",
        at=Retrying._is_retriable,
        change=drop(the(ast.Name, uses(Unprovable))),
        tests=[f"{_DECORATORS}::TestRetrying"],
    ),
    Mutant(
        name="circuit-never-opens",
        breaks="A service that is down is called without end.",
        at=_Circuit.record_failure,
        change=drop(the(ast.Compare, has(ast.Lt))),
        tests=[f"{_BREAKING}::TestClosed"],
    ),
    Mutant(
        name="circuit-never-closes",
        breaks="The circuit of a service that works again stays open for ever.",
        at=_Circuit.record_answer,
        change=drop(call(_Circuit._enter_state)),
        tests=[f"{_BREAKING}::TestHalfOpen"],
    ),
    Mutant(
        name="circuit-not-in-the-way",
        breaks="Providers are called past the circuit breaker.",
        at=decorated,
        change=replace(
            call(Retrying).part(lambda it: it.args[0]),
            "provider",
            provider=call(Prioritising).part(lambda it: it.args[0]),
        ),
        tests=[f"{_DECORATORS}::TestCircuitBreaking"],
    ),
    Mutant(
        name="two-calls-try-the-service",
        breaks="All threads of all daemons call a service that has just come back.",
        at=_Circuit._start_trial,
        change=drop(the(ast.Assign, uses(_State.HALF_OPEN))),
        tests=[f"{_BREAKING}::TestHalfOpen"],
    ),
    Mutant(
        name="throttling-is-a-failure",
        breaks="A service that throttles counts as down.",
        at=CircuitBreaking._call,
        change=replace(handler(AnswerLost).the(ast.Tuple), "(*_, throttled)", throttled=Throttled),
        tests=[f"{_BREAKING}::TestClosed"],
    ),
    Mutant(
        name="late-failures-prolong-the-cool-down",
        breaks="Calls that were in progress when the circuit opened prolong its cool-down.",
        at=_Circuit.record_failure,
        change=drop(the(ast.If, has(ast.NotEq))),
        tests=[f"{_BREAKING}::TestOpen"],
    ),
    Mutant(
        name="block-shortened",
        breaks="A service that has named two times is called after the earlier one.",
        at=_Blocks.extend,
        change=replace(call(max), lambda it: it.args[1]),
        tests=[_GATE],
    ),
    Mutant(
        name="calls-cost-nothing",
        breaks="Calls are not paced, and the service throttles them.",
        at=CallQueue._count_call,
        change=drop(the(ast.Assign, calls(max))),
        tests=[_GATE],
    ),
    Mutant(
        name="following-spends-the-reserve",
        breaks="A submission or a cancellation waits because status requests have spent the quota.",
        at=grant_calls,
        change=replace(the(ast.BinOp, uses(Rate.urgent_reserve)), lambda it: it.left),
        tests=[f"{_QUOTAS}::TestTheReserve"],
    ),
    Mutant(
        name="old-grants-stay-valid",
        breaks="Replicas that were idle for long all call at once, and exceed the limit.",
        at=CallQueue._next_step,
        change=drop(the(ast.If, calls(LocalQuota))),
        tests=[f"{_QUOTAS}::TestTheLimit"],
    ),
    Mutant(
        name="first-come-first-served",
        breaks="A submission waits behind all status requests that were made before it.",
        at=CallQueue._callers_ahead_of,
        change=replace(the(ast.Slice).the(ast.Call), "0"),
        tests=["tests/unit/adapters/test_call_queue.py"],
    ),
    Mutant(
        name="throttling-unheard-by-others",
        breaks="Each replica slows down only when the service has throttled the replica itself.",
        at=CallQueue.slow_down,
        change=replace(call(CallQueue._apply), "None"),
        tests=[f"{_QUOTAS}::TestThrottling"],
    ),
    Mutant(
        name="sent-under-a-lease-that-ends",
        breaks="A request is sent that may arrive after other daemons have taken the run over.",
        at=LeaseCheckedGate.acquire,
        change=drop(the(ast.Raise)),
        tests=["tests/unit/adapters/test_call_gate.py"],
    ),
)
